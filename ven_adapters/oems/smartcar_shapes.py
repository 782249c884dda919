"""Smartcar's shapes as pure functions: signals to the contract's units, refusals to errors, what a late body means."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ven_adapters.contract import (
    BackendError,
    Capability,
    ChargeState,
    Directive,
    ErrorCode,
    Known,
    LimitSocControl,
    Reachability,
    Setting,
    Snapshot,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.readings import vocabulary
from ven_adapters.transport.readings.phases import MOST_PHASES, phases_shown
from ven_adapters.transport.readings.vendor_readings import instant, number, pick, snapshot_of
from ven_adapters.transport.readings.vocabulary import measured, word
from ven_adapters.transport.vendor_session import VendorRefusal, by_status

ASLEEP_AGAIN_S = 900.0
BAD_GATEWAY = 502
USUAL_W, USUAL_THREE_PHASE_W, USUAL_WH = 7_200, 11_040, 75_000
WATTAGE_SLACK_W = 250.0
SOURCE = "smartcar"

CODES = {
    "ASLEEP": ErrorCode.ASLEEP,
    "CHARGING_IN_PROGRESS": ErrorCode.ALREADY_IN_STATE,
    "NOT_CHARGING": ErrorCode.ALREADY_IN_STATE,
    "FULLY_CHARGED": ErrorCode.ALREADY_IN_STATE,
    "CHARGING_PLUG_NOT_CONNECTED": ErrorCode.NOT_PLUGGED,
    "CHARGE_FAULT": ErrorCode.SCHEDULE_CONFLICT,
    "IN_MOTION": ErrorCode.REJECTED_BY_VEHICLE,
    "REMOTE_ACCESS_DISABLED": ErrorCode.NOT_PERMITTED,
    "UNREACHABLE": ErrorCode.UNREACHABLE,
    "VEHICLE_OFFLINE_FOR_SERVICE": ErrorCode.UNREACHABLE,
    "SUBSCRIPTION": ErrorCode.SUBSCRIPTION_LAPSED,
    "VEHICLE_MISSING": ErrorCode.CONSENT_REVOKED,
    "NO_VEHICLES": ErrorCode.CONSENT_REVOKED,
    "PERMISSION": ErrorCode.CONSENT_REVOKED,
    "ACCOUNT_ISSUE": ErrorCode.REAUTH_REQUIRED,
    "AUTHENTICATION_FAILED": ErrorCode.REAUTH_REQUIRED,
    "VIRTUAL_KEY_REQUIRED": ErrorCode.REAUTH_REQUIRED,
    "DEVICE_PAIRING_REQUIRED": ErrorCode.REAUTH_REQUIRED,
    "RATE_LIMIT": ErrorCode.RATE_LIMITED,
}
TYPES = {
    "COMPATIBILITY": ErrorCode.NOT_SUPPORTED,
    "RATE_LIMIT": ErrorCode.RATE_LIMITED,
    "BILLING": ErrorCode.QUOTA_EXHAUSTED,
    "AUTHENTICATION": ErrorCode.REAUTH_REQUIRED,
    "PERMISSION": ErrorCode.NOT_PERMITTED,
    "VALIDATION": ErrorCode.INVALID_REQUEST,
}
STATUSES = {
    401: ErrorCode.REAUTH_REQUIRED,
    403: ErrorCode.NOT_PERMITTED,
    409: ErrorCode.REJECTED_BY_VEHICLE,
    429: ErrorCode.RATE_LIMITED,
    430: ErrorCode.QUOTA_EXHAUSTED,
    501: ErrorCode.NOT_SUPPORTED,
}
# Signals that are numbers, and their units; the first is that of a number without one.
NUMBERS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "soc_pct": ("tractionbattery-stateofcharge", vocabulary.PERCENT),
    "power_w": ("charge-wattage", vocabulary.WATTS),
    "voltage_v": ("charge-voltage", vocabulary.VOLTS),
    "current_a": ("charge-amperage", vocabulary.AMPERES),
    "limit_current_a": ("charge-amperagerequested", vocabulary.AMPERES),
    "energy_added_wh": ("charge-energyadded", vocabulary.WATT_HOURS),
    "time_to_complete_s": ("charge-timetocomplete", vocabulary.SECONDS),
}
# What the state of charging says beyond yes and no: a full car stopped by itself.
STATUS_WORDS = {
    "CHARGING": ChargeState.CHARGING,
    "NOT_CHARGING": ChargeState.STOPPED,
    "FULLY_CHARGED": ChargeState.COMPLETE,
}
TRUTHS = {True: Known.YES, False: Known.NO}
Signals = Mapping[str, tuple[Mapping[str, Any], datetime]]


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """Start, else stop: there is nothing between."""
    del snapshot
    asked_w = fallback_ladder.asked_w(directive, capability)
    if asked_w is None:
        return fallback_ladder.resume(capability)
    return fallback_ladder.no_discharge() if asked_w < 0 else fallback_ladder.pause()


def judge(refusal: VendorRefusal) -> BackendError:
    """What a refusal means: its code, else its type, else the status."""
    told = first_error(refusal.document)
    kind, name = str(told.get("type")), str(told.get("code"))
    code = CODES.get(name) or TYPES.get(kind)
    if code is None:
        return by_status(refusal, STATUSES, f"Smartcar answered {refusal.status}")
    waits_s = ASLEEP_AGAIN_S if code is ErrorCode.ASLEEP else None
    return BackendError(code, f"{kind}: {name}", retry_after_s=refusal.retry_after_s or waits_s)


def outcome(raw: Any) -> str | None:
    """The command's own name when the body says that it succeeded; otherwise what the body says went wrong."""
    if isinstance(raw, dict) and ("errors" in raw or "code" in raw):
        told = number(first_error(raw).get("statusCode"))
        raise judge(VendorRefusal(int(told or BAD_GATEWAY), raw, None, writes=True))
    value = pick(raw, "data", "attributes", "status", "value", code=ErrorCode.OUTCOME_UNKNOWN)
    if value != "SUCCESS":
        failed = value in ("FAILURE", "FAILED", "ERROR")
        raise BackendError(ErrorCode.REJECTED_BY_VEHICLE if failed else ErrorCode.OUTCOME_UNKNOWN, f"status: {value}")
    return str(raw["data"].get("id"))


def first_error(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error that an answer tells: the first of a list, or the answer itself."""
    errors = raw.get("errors")
    return errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else raw


def linked(connection: Any, what: str) -> str:
    """The id of a connection's vehicle or user."""
    if isinstance(connection, dict) and "relationships" in connection:
        return str(pick(connection, "relationships", what, "data", "id"))
    return str(pick(connection, "attributes", f"{what}Id"))


def signals_of(raw: Any) -> Signals:
    """The signals of an answer that carry a value and the car's own instant, by code."""
    return signals_in([dict(pick(one, "attributes")) | {"meta": one.get("meta")} for one in pick(raw, "data")])


def signals_in(found: Any) -> Signals:
    """The same, of a webhook's list."""
    out = {}
    for one in found:
        at = instant((one.get("meta") or {}).get("oemUpdatedAt"))
        if at is not None and isinstance(one.get("body"), dict):
            out[str(one.get("code"))] = (one["body"], at)
    return out


def told(signals: Signals, code: str) -> tuple[Any, datetime | None]:
    """A signal's bare value, with its instant; (None, None) when it was not told."""
    body, at = signals.get(code, ({}, None))
    return body.get("value"), at


def figure(signals: Signals, code: str, units: Mapping[str, float]) -> tuple[float | None, datetime | None]:
    """A signal's number in the contract's unit, with its instant."""
    body, at = signals.get(code, ({}, None))
    return measured(SOURCE, code, body.get("value"), body.get("unit"), units), at


def truth(signals: Signals, code: str) -> tuple[Known | None, datetime | None]:
    """A signal's yes or no, with its instant."""
    raw, at = told(signals, code)
    return word(SOURCE, code, TRUTHS, raw), at


def capability_of(signals: Signals) -> Capability:
    """What a car can do; a size or power that its make does not tell is taken to be a usual one."""
    kwh = number(signals.get("tractionbattery-nominalcapacity", ({}, None))[0].get("capacity"))
    most_a, amps = (figure(signals, f"charge-{what}", vocabulary.AMPERES)[0] for what in ("amperagemax", "amperage"))
    volts = figure(signals, "charge-voltage", vocabulary.VOLTS)[0]
    watts = figure(signals, "charge-wattage", vocabulary.WATTS)[0]
    count = number(told(signals, "charge-chargerphases")[0])
    count = None if count is None or count not in (1, 2, 3) else int(count)
    phases = phases_shown(count, amps, volts, watts, WATTAGE_SLACK_W)
    return Capability(
        model="Smartcar",
        usable_wh=USUAL_WH if not kwh else round(1000.0 * kwh),
        max_charge_w=_most_w(most_a, volts, phases),
        phases=phases or 1,
        limit_soc=LimitSocControl(50.0, 100.0, 1.0, applies_from_pct=50.0),
        wake_supported=False,
        latency_typical_s=45.0,
        latency_p99_s=300.0,
        telemetry_floor_s=1800,
    )


def _most_w(amps: float | None, volts: float | None, phases: int | None) -> int:
    """The most that a car draws. A count of phases that is not told is no count of one: three, on a usual charger."""
    if not amps or not volts:
        return USUAL_W
    if phases is not None:
        return round(amps * volts * phases)
    return round(max(amps * volts, min(amps * volts * MOST_PHASES, USUAL_THREE_PHASE_W)))


def snapshot_of_signals(ref: str, signals: Signals, now: datetime) -> Snapshot:
    """The car's signals as a snapshot."""
    seen: dict[str, tuple[Any, datetime | None]] = {
        name: figure(signals, code, units) for name, (code, units) in NUMBERS.items()
    }
    limits, limits_at = signals.get("charge-chargelimits", ({}, None))
    active_pct = measured(
        SOURCE, "charge-chargelimits", limits.get("activeLimit"), limits.get("unit"), vocabulary.PERCENT
    )
    seen["limit_soc_pct"] = (active_pct, limits_at)
    seen["plugged"] = truth(signals, "charge-ischargingcableconnected")
    seen["at_site"] = truth(signals, "location-isathome")
    charging, at = truth(signals, "charge-ischarging")
    status = word(
        SOURCE, "charge-detailedchargingstatus", STATUS_WORDS, told(signals, "charge-detailedchargingstatus")[0]
    )
    full = status is ChargeState.COMPLETE
    idle = (
        ChargeState.UNPLUGGED
        if seen["plugged"][0] is Known.NO
        else ChargeState.COMPLETE
        if full
        else ChargeState.STOPPED
    )
    states = {Known.YES: ChargeState.CHARGING, Known.NO: idle, None: ChargeState.UNKNOWN}
    seen["charge_state"] = (states[charging], at)
    seen["reachability"] = _reach(signals)
    return snapshot_of(ref, seen, SOURCE, now)


def _reach(signals: Signals) -> tuple[Reachability | None, datetime | None]:
    """Asleep, or else on line or not; what is not told is not known."""
    asleep, asleep_at = truth(signals, "connectivitystatus-isasleep")
    if asleep is Known.YES:
        return Reachability.ASLEEP, asleep_at
    online, online_at = truth(signals, "connectivitystatus-isonline")
    if online is None:
        return (None if asleep is None else Reachability.ONLINE), asleep_at
    return (Reachability.ONLINE if online is Known.YES else Reachability.OFFLINE), online_at
