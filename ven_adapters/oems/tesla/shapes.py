"""Tesla's shapes as pure functions: data to the contract's units, refusals to errors, prices, commands.

Facts are those of the Fleet API's public documentation; what is known of its cars stands in `oems.tesla.backend`.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ven_adapters.contract import (
    BackendError,
    Capability,
    ChargeState,
    CurrentControl,
    Directive,
    ErrorCode,
    Known,
    LimitSocControl,
    Reachability,
    Rung,
    Setting,
    Snapshot,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.readings.phases import COARSE_W, LIVE_VOLTS, MOST_PHASES, phases_shown, power_shown_w
from ven_adapters.transport.readings.vendor_readings import instant, near, number, snapshot_of
from ven_adapters.transport.readings.vocabulary import word
from ven_adapters.transport.vendor_session import VendorRefusal, by_status

LEAST_A = 5
TWICE_UP_TO_A = 5
ASLEEP_AGAIN_S = 120.0
MISDIRECTED = 421
# Prices of 2026, in millionths of a US dollar: 50 wakes, 1000 commands or 500 readings for a dollar.
WAKE_PRICE, COMMAND_PRICE, DATA_PRICE = 20_000, 1_000, 2_000
# The interface does not tell a battery's size. The largest of each model errs towards charging early.
USABLE_WH = {"model3": 79_000, "modely": 79_000, "models": 98_000, "modelx": 98_000, "cybertruck": 123_000}
USABLE_WH_UNKNOWN = 100_000
# What the on-board chargers of all models take, where a car does not tell its own most.
USUAL_W = 11_520
SOURCE = "tesla"
# The one schedule of ours in a car; its owner's have numbers made of the time.
SCHEDULE_ID = 0x6576746E
# Phases and volts of a house by whether the car is European.
MARKETS: Mapping[Any, tuple[int, int]] = {True: (3, 230), False: (1, 240)}

# Phases as the car numbers them: 2 is how a Tesla writes three.
PHASES_TOLD: Mapping[float, int] = {1: 1, 2: 3, 3: 3}
CHARGING = {
    "Disconnected": ChargeState.UNPLUGGED,
    "NoPower": ChargeState.NO_POWER,
    "Starting": ChargeState.CHARGING,
    "Charging": ChargeState.CHARGING,
    "Complete": ChargeState.COMPLETE,
    "Stopped": ChargeState.STOPPED,
}
REASONS = {
    "is_charging": ErrorCode.ALREADY_IN_STATE,
    "not_charging": ErrorCode.ALREADY_IN_STATE,
    "complete": ErrorCode.ALREADY_IN_STATE,
    "already_set": ErrorCode.ALREADY_IN_STATE,
    "disconnected": ErrorCode.NOT_PLUGGED,
    "no_power": ErrorCode.NO_POWER,
    "could_not_wake_buses": ErrorCode.ASLEEP,
}
STATUSES = {
    401: ErrorCode.REAUTH_REQUIRED,
    402: ErrorCode.QUOTA_EXHAUSTED,
    403: ErrorCode.NOT_PERMITTED,
    408: ErrorCode.ASLEEP,
    412: ErrorCode.NOT_SUPPORTED,
    422: ErrorCode.NOT_SUPPORTED,
    423: ErrorCode.REAUTH_REQUIRED,
    429: ErrorCode.RATE_LIMITED,
    451: ErrorCode.NOT_PERMITTED,
    499: ErrorCode.BACKEND_TRANSIENT,
}


class WrongRegion(BackendError):
    """The owner's account lives at another host."""


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """Whole amperes from 5 A, else a pause."""
    asked_w = fallback_ladder.asked_w(directive, capability)
    if asked_w is None:
        return fallback_ladder.resume(capability)
    if asked_w < 0:
        return fallback_ladder.no_discharge()
    return fallback_ladder.current(asked_w, capability, snapshot) or fallback_ladder.pause()


def judge(refusal: VendorRefusal) -> BackendError:
    """What a refusal of the Fleet API means."""
    told = str(refusal.document.get("error") or "")
    if refusal.status == MISDIRECTED:
        return WrongRegion(ErrorCode.INVALID_REQUEST, "the account lives in another region")
    named = next((code for reason, code in REASONS.items() if told.endswith(reason)), None)
    if named is not None:
        return BackendError(named, told)
    if "revoked" in told or "login_required" in told:
        return BackendError(ErrorCode.CONSENT_REVOKED, "the owner took the grant back")
    if "Vehicle Command Protocol" in told:
        return BackendError(ErrorCode.NOT_SUPPORTED, "this car takes signed commands only: let url name the proxy")
    error = by_status(refusal, STATUSES, f"Tesla answered {refusal.status}")
    if error.code is ErrorCode.ASLEEP:
        error.retry_after_s = error.retry_after_s or ASLEEP_AGAIN_S
    return error


def price(call: Call) -> int:
    """What a call costs, in millionths of a US dollar."""
    if call.path.endswith("/wake_up"):
        return WAKE_PRICE
    return COMMAND_PRICE if call.writes else DATA_PRICE


def command(setting: Setting) -> tuple[str, bytes | None]:
    """The command's name and body for one setting."""
    if setting.rung is Rung.CURRENT:
        return "set_charging_amps", dumps({"charging_amps": setting.current_a})
    if setting.rung is Rung.TARGET_LEVEL:
        return "set_charge_limit", dumps({"percent": fallback_ladder.whole_pct(setting)})
    return ("charge_stop" if setting.rung is Rung.PAUSE else "charge_start"), None


def start_once(at: datetime, place: tuple[float, float]) -> bytes:
    """The body of `add_charge_schedule`: start once, at the first whole minute from `at`, the home's local time."""
    minute = at.replace(second=0, microsecond=0)
    at = minute if minute == at else minute + timedelta(minutes=1)
    return dumps(
        {
            "id": SCHEDULE_ID,
            "days_of_week": at.strftime("%A"),
            "enabled": True,
            "one_time": True,
            "start_enabled": True,
            "start_time": 60 * at.hour + at.minute,
            "end_enabled": False,
            "lat": place[0],
            "lon": place[1],
        }
    )


def phases_reported(charge: Mapping[str, Any]) -> int | None:
    """How many phases the car charges on, by its own figures; None when it does not tell.

    `charger_phases` 2 is how a Tesla writes three; the power that it tells beside current and voltage settles it.
    Of a car that streams: `fields`.
    """
    told = PHASES_TOLD.get(charge.get("charger_phases") or 0)
    amps, volts = number(charge.get("charger_actual_current")), number(charge.get("charger_voltage"))
    return phases_shown(told, amps, volts, told_w(charge), COARSE_W)


def told_w(charge: Mapping[str, Any]) -> float | None:
    """The power that the car tells, in whole kilowatts."""
    kw = number(charge.get("charger_power"))
    return None if kw is None else 1000.0 * kw


def phases_and_volts(raw: Mapping[str, Any]) -> tuple[int, int]:
    """Phases and volts (phase to neutral, rounded up), as seen while charging; else as the car's market has them.

    A car that tells neither its phases nor its market is taken to have three, which errs towards less power.
    """
    charge, european = raw["charge_state"], (raw.get("vehicle_config") or {}).get("eu_vehicle")
    usual_phases, usual_volts = MARKETS.get(european, (MOST_PHASES, 240))
    volts = number(charge.get("charger_voltage"))
    return phases_reported(charge) or usual_phases, math.ceil(
        usual_volts if volts is None or volts < LIVE_VOLTS else volts
    )


def capability_of(raw: Mapping[str, Any]) -> Capability:
    """What a car can do, from its own data."""
    charge, config = raw["charge_state"], raw.get("vehicle_config") or {}
    phases, volts = phases_and_volts(raw)
    told_a = number(charge.get("charge_current_request_max"))
    most_a = int(told_a) if told_a is not None and told_a > 0 else max(LEAST_A, USUAL_W // (volts * phases))
    model = str(config.get("car_type") or "unknown")
    least, most = (number(charge.get(f"charge_limit_soc_{end}")) for end in ("min", "max"))
    return Capability(
        model=model,
        usable_wh=USABLE_WH.get(model, USABLE_WH_UNKNOWN),
        max_charge_w=most_a * volts * phases,
        phases=phases,
        voltage_v=volts,
        limit_soc=LimitSocControl(
            50.0 if least is None else least, 100.0 if most is None else most, 1.0, applies_from_pct=50.0
        ),
        current=CurrentControl(LEAST_A, max(most_a, LEAST_A), resets_on_replug=True),
    )


def snapshot_of_vehicle_data(
    ref: str, raw: Mapping[str, Any], home: tuple[float, float] | None, now: datetime
) -> Snapshot:
    """The car's data in the contract's units, each with the instant that the car itself gave; missing is no value."""
    charge, place = raw["charge_state"], raw.get("drive_state") or raw.get("location_data") or {}
    at, named = instant(charge.get("timestamp")), word(SOURCE, "charging_state", CHARGING, charge.get("charging_state"))
    waits = named is ChargeState.STOPPED and charge.get("scheduled_charging_pending") is True
    plugged = Known.UNKNOWN if named is None else Known.NO if named is ChargeState.UNPLUGGED else Known.YES
    at_site = near((place.get("latitude"), place.get("longitude")), home)
    amps, volts = number(charge.get("charger_actual_current")), number(charge.get("charger_voltage"))
    phases = phases_reported(charge)
    added_kwh, left_min = number(charge.get("charge_energy_added")), number(charge.get("minutes_to_full_charge"))
    values = {
        "soc_pct": charge.get("battery_level"),
        "plugged": plugged,
        "charge_state": ChargeState.WAITING_SCHEDULE if waits else named or ChargeState.UNKNOWN,
        "power_w": power_shown_w(amps, volts, phases, told_w(charge), COARSE_W),
        "current_a": amps,
        "voltage_v": volts,
        "phases": phases,
        "limit_soc_pct": charge.get("charge_limit_soc"),
        "limit_current_a": charge.get("charge_current_request"),
        "energy_added_wh": None if added_kwh is None else 1000.0 * added_kwh,
        "time_to_complete_s": None if left_min is None else 60.0 * left_min,
        "reachability": Reachability.ONLINE,
    }
    seen = {name: (value, at) for name, value in values.items()}
    fast = charge.get("fast_charger_present") is True  # no home has one
    seen["at_site"] = (Known.NO, at) if fast else (at_site, instant(place.get("timestamp")))
    return snapshot_of(ref, seen, SOURCE, now)
