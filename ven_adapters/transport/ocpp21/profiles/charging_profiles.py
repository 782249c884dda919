"""Charging profiles: from a directive and its setting to the payload of SetChargingProfile. Pure.

A window is one `TxProfile`, `Absolute`, in total watts, or in amperes per phase at a station that takes no watts, with
the three dead-man fields: how long the station may be offline before the profile is void, the schedule's duration, and
`validTo`; versions before 2.1 have the latter two. A discharge ends in `Idle` as soon as the energy that it may take is
gone, so that the reserve holds even if nobody is left to watch. The profile's number follows from the directive's id:
sent twice it is one profile, and a program that has forgotten everything can name it again.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from datetime import datetime

from ven_adapters.contract import BackendError, Directive, ErrorCode, Rung, Setting
from ven_adapters.transport.ocpp21.frames import Payload
from ven_adapters.transport.ocpp21.stations.charging_points import RegisteredPoint
from ven_adapters.transport.ocpp21.stations.meter_values import stamp
from vtn.clock import HOUR_S

LOWEST_LEVEL = 1
USUAL_HIGHEST_LEVEL = 9
AGAIN_S = 60.0
FINEST_PER_A, ROUNDING = 10.0, 1e-9

_REASONS: Mapping[str, ErrorCode] = {
    "TxNotFound": ErrorCode.NOT_PLUGGED,
    "UnsupportedPurpose": ErrorCode.NOT_SUPPORTED,
    "UnsupportedKind": ErrorCode.NOT_SUPPORTED,
    "UnsupportedRateUnit": ErrorCode.NOT_SUPPORTED,
    "UnsupportedParam": ErrorCode.NOT_SUPPORTED,
    "NoPhaseForDC": ErrorCode.NOT_SUPPORTED,
    "NoFreqWattCurve": ErrorCode.NOT_SUPPORTED,
    "RateLimitExceeded": ErrorCode.RATE_LIMITED,
    "DuplicateProfile": ErrorCode.INVALID_REQUEST,
    "InvalidProfileId": ErrorCode.INVALID_REQUEST,
    "InvalidStackLevel": ErrorCode.INVALID_REQUEST,
    "InvalidSchedule": ErrorCode.INVALID_REQUEST,
    "InvalidProfile": ErrorCode.INVALID_REQUEST,
    "MissingParam": ErrorCode.INVALID_REQUEST,
    "InvalidValue": ErrorCode.INVALID_REQUEST,
    "InternalError": ErrorCode.BACKEND_TRANSIENT,
}


@dataclasses.dataclass(frozen=True, slots=True)
class ProfileWindow:
    """What a profile is made of; `spare_wh` bounds a discharge.

    `unit`: "W", or "A" with the wiring `phases` and `voltage_v`; `phases` None is direct current.
    """

    directive: Directive
    setting: Setting
    place: RegisteredPoint
    transaction: str
    level: int
    offline_limit_s: int
    spare_wh: float = 0.0
    unit: str = "W"
    phases: int | None = None
    voltage_v: int = 0


def profile_id(directive_id: str) -> int:
    """The number of a directive's profile: 31 bits of a digest of its id."""
    return int.from_bytes(hashlib.sha256(directive_id.encode()).digest()[:4]) & 0x7FFF_FFFF


def set_profile(window: ProfileWindow, now: datetime) -> Payload:
    """The payload of SetChargingProfile for the part of the window that is still to come."""
    directive, place = window.directive, window.place
    start = max(directive.start, now)
    duration_s = max(1, int((directive.end - start).total_seconds()))
    return {
        "evseId": place.evse,
        "chargingProfile": {
            "id": profile_id(directive.directive_id),
            "stackLevel": window.level,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Absolute",
            "transactionId": window.transaction,
            "validFrom": stamp(start),
            "validTo": stamp(directive.end),
            "maxOfflineDuration": window.offline_limit_s,
            "invalidAfterOfflineDuration": True,
            "chargingSchedule": [
                {
                    "id": 1,
                    "chargingRateUnit": window.unit,
                    "startSchedule": stamp(start),
                    "duration": duration_s,
                    "chargingSchedulePeriod": _periods(window, duration_s),
                }
            ],
        },
    }


def limit_of(window: ProfileWindow) -> float:
    """What a profile without discharge limits its transaction to, in its schedule's unit."""
    return _rate(max(0.0, float(window.setting.power_w or 0)), window)


def _periods(window: ProfileWindow, duration_s: int) -> list[Payload]:
    """One period; for a discharge that may not last, an idle one after it. Every rate is rounded towards nothing."""
    power_w = float(window.setting.power_w or 0)
    if window.setting.rung is Rung.PAUSE or power_w >= 0:
        return [{"startPeriod": 0, "operationMode": "ChargingOnly", "limit": _rate(power_w, window), **_phases(window)}]
    place = window.place
    give: Payload = {
        "startPeriod": 0,
        "operationMode": "CentralSetpoint",
        "setpoint": _rate(power_w, window),
        "dischargeLimit": _rate(-float(place.max_discharge_w), window),
        "limit": _rate(float(place.max_charge_w), window),
        **_phases(window),
    }
    lasts_s = int(window.spare_wh / -power_w * HOUR_S)
    return [give] if lasts_s >= duration_s else [give, {"startPeriod": lasts_s, "operationMode": "Idle"}]


def _rate(power_w: float, window: ProfileWindow) -> float:
    """A power in the schedule's unit: watts of all phases, or amperes of each, of which a tenth is the finest step."""
    if window.unit == "W":
        return power_w
    amps = abs(power_w) / (window.voltage_v * (window.phases or 1))
    return math.copysign(math.floor(amps * FINEST_PER_A + ROUNDING) / FINEST_PER_A, power_w) if amps else 0.0


def _phases(window: ProfileWindow) -> Payload:
    """Amperes mean three phases where no number is given."""
    return {"numberPhases": window.phases} if window.unit == "A" and window.phases is not None else {}


def clear_profile(directive_id: str) -> Payload:
    """The payload of ClearChargingProfile for one directive."""
    return {"chargingProfileId": profile_id(directive_id)}


def refusal(answer: Payload) -> BackendError | None:
    """A SetChargingProfile answer that is not Accepted, in the contract's words."""
    if answer["status"] == "Accepted":
        return None
    info = answer.get("statusInfo", {})
    reason = str(info.get("reasonCode", "none given"))
    code = _REASONS.get(reason, ErrorCode.REJECTED_BY_VEHICLE)
    wait_s = AGAIN_S if code is ErrorCode.RATE_LIMITED else None  # no station says how long
    return BackendError(code, f"SetChargingProfile: {reason}", retry_after_s=wait_s)


def refused_unit(answer: Payload) -> bool:
    """Whether a SetChargingProfile was rejected for the unit of its schedule."""
    return answer["status"] != "Accepted" and "unit" in str(answer.get("statusInfo", {}).get("reasonCode", "")).lower()
