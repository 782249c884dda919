"""Enode's shapes as pure functions: data to the contract's units, refusals to errors, what a directive asks for.

Facts are those of Enode's public documentation; what is known of its cars stands in `oems.enode`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ven_adapters.contract import (
    BackendError,
    Capability,
    ChargeState,
    CurrentControl,
    Directive,
    ErrorCode,
    Known,
    Reachability,
    Setting,
    Snapshot,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.readings.vendor_readings import instant, near, number, pick, snapshot_of
from ven_adapters.transport.readings.vocabulary import word
from ven_adapters.transport.vendor_session import VendorRefusal, by_status

LEAST_A, MOST_A = 5, 48
PHASES, VOLTS = 3, 230
USUAL_W, USUAL_WH = 11_040, 75_000

STATES = {
    "UNPLUGGED": ChargeState.UNPLUGGED,
    "PLUGGED_IN:INITIALIZING": ChargeState.CHARGING,
    "PLUGGED_IN:CHARGING": ChargeState.CHARGING,
    "PLUGGED_IN:STOPPED": ChargeState.STOPPED,
    "PLUGGED_IN:COMPLETE": ChargeState.COMPLETE,
    "PLUGGED_IN:NO_POWER": ChargeState.NO_POWER,
    "PLUGGED_IN:FAULT": ChargeState.FAULT,
    "PLUGGED_IN:DISCHARGING": ChargeState.DISCHARGING,
    "UNKNOWN": ChargeState.UNKNOWN,
}
TRUTHS = {True: Known.YES, False: Known.NO}
REACHES = {True: Reachability.ONLINE, False: Reachability.ASLEEP}
SOURCE = "enode"
FAILURES = {
    "NO_RESPONSE": ErrorCode.UNREACHABLE,
    "FAILED_PRECONDITION": ErrorCode.REJECTED_BY_VEHICLE,
    "CONFLICT": ErrorCode.SCHEDULE_CONFLICT,
    "NOT_FOUND": ErrorCode.INVALID_REQUEST,
    "UNNECESSARY": ErrorCode.ALREADY_IN_STATE,
    "REQUESTED_CANCELLATION": ErrorCode.THIRD_PARTY_INTERFERENCE,
}
STATUSES = {
    401: ErrorCode.REAUTH_REQUIRED,
    403: ErrorCode.NOT_PERMITTED,
    422: ErrorCode.SCHEDULE_CONFLICT,
    429: ErrorCode.RATE_LIMITED,
}


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """A current where the car takes one, else a pause."""
    asked_w = fallback_ladder.asked_w(directive, capability)
    if asked_w is None:
        return fallback_ladder.resume(capability) if capability.can_start else _unable("startCharging")
    if asked_w < 0:
        return fallback_ladder.no_discharge()
    if (setting := fallback_ladder.current(asked_w, capability, snapshot)) is not None:
        return setting
    return fallback_ladder.pause() if capability.can_stop else _unable("stopCharging")


def _unable(what: str) -> BackendError:
    return BackendError(ErrorCode.NOT_SUPPORTED, f"{what}: this car is not capable")


def judge(refusal: VendorRefusal) -> BackendError:
    """What a refusal means; Enode's are told by their status."""
    return by_status(refusal, STATUSES, f"Enode answered {refusal.status}")


def action(raw: Any) -> str:
    """The action's own name; what it has already failed of is raised."""
    state = pick(raw, "state", code=ErrorCode.OUTCOME_UNKNOWN)
    if state in ("FAILED", "CANCELLED"):
        kind = str((raw.get("failureReason") or {}).get("type"))
        raise BackendError(FAILURES.get(kind, ErrorCode.REJECTED_BY_VEHICLE), f"the action is {state}: {kind}")
    return str(raw.get("id"))


def capability_of(car: Any) -> Capability:
    """What a car can do."""
    charge, able = pick(car, "chargeState"), car.get("capabilities") or {}
    kwh = number(charge.get("batteryCapacity"))
    capable = {name: isinstance(one, dict) and one.get("isCapable") is True for name, one in able.items()}
    takes_current = capable.get("setMaxCurrent", False)
    return Capability(
        model=str((car.get("information") or {}).get("model") or "unknown"),
        usable_wh=USUAL_WH if not kwh else round(1000.0 * kwh),
        max_charge_w=USUAL_W,
        phases=PHASES if takes_current else 1,
        voltage_v=VOLTS,
        can_start=capable.get("startCharging", False),
        can_stop=capable.get("stopCharging", False),
        can_resume_after_stop=capable.get("startCharging", False),
        current=CurrentControl(LEAST_A, MOST_A) if takes_current else None,
        wake_supported=False,
        latency_typical_s=30.0,
        latency_p99_s=300.0,
    )


def snapshot_of_vehicle(ref: str, car: Any, home: tuple[float, float] | None, now: datetime) -> Snapshot:
    """The car's state as a snapshot; every charging value is as old as `chargeState.lastUpdated`."""
    charge, place = pick(car, "chargeState"), car.get("location") or {}
    at = instant(charge.get("lastUpdated"))
    state = word(SOURCE, "powerDeliveryState", STATES, charge.get("powerDeliveryState"))
    left_min = number(charge.get("chargeTimeRemaining"))
    plugged = word(SOURCE, "isPluggedIn", TRUTHS, charge.get("isPluggedIn"))
    values = {
        "soc_pct": charge.get("batteryLevel"),
        "plugged": plugged or Known.UNKNOWN,
        "charge_state": state or ChargeState.UNKNOWN,
        "power_w": _power_w(charge, state),
        "limit_soc_pct": charge.get("chargeLimit"),
        "limit_current_a": charge.get("maxCurrent"),
        "time_to_complete_s": None if left_min is None else 60.0 * left_min,
    }
    seen: dict[str, tuple[Any, datetime | None]] = {name: (value, at) for name, value in values.items()}
    seen["at_site"] = (near((place.get("latitude"), place.get("longitude")), home), instant(place.get("lastUpdated")))
    reach = word(SOURCE, "isReachable", REACHES, car.get("isReachable"))
    seen["reachability"] = (reach, instant(car.get("lastSeen")) or at)
    return snapshot_of(ref, seen, SOURCE, now)


def _power_w(charge: Mapping[str, Any], state: ChargeState | None) -> float | None:
    """`chargeRate` is a magnitude: which way it flows is told by the state, and not known without one."""
    rate_kw = number(charge.get("chargeRate"))
    way = -1.0 if state is ChargeState.DISCHARGING else 1.0
    if rate_kw is None or (state in (None, ChargeState.UNKNOWN) and charge.get("isCharging") is not True):
        return None
    return way * 1000.0 * abs(rate_kw)
