"""The fields of Tesla's Fleet Telemetry as pure functions: which are asked of cars, and what their values mean.

Cars tell a field when it has changed, no oftener than its interval; some are told again when they have not, so that a
car that is connected is known to be. The MQTT output of Tesla's server gives each value as JSON and no instant beside
it: a value is taken to be `TRANSIT` older than its arrival. `null` is a value that the car has marked invalid: what is
told of it no more is not known, and never nothing. Numbers may come as text.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ven_adapters.contract import ChargeState, Known, Reachability, Snapshot
from ven_adapters.oems.tesla.shapes import CHARGING, PHASES_TOLD
from ven_adapters.transport.readings.phases import phases_shown
from ven_adapters.transport.readings.vendor_readings import near, snapshot_of
from ven_adapters.transport.readings.vocabulary import note, shown, word

SOURCE = "tesla-telemetry"
TRANSIT = timedelta(seconds=2)
# A car that is connected tells at least this often that it is.
RESEND_S = 180
KILO = 1000.0
HOUR_S = 3600.0
POWER_SLACK_W = 100.0
# The field of the charging state; its words begin with its name.
STATE = "DetailedChargeState"


@dataclasses.dataclass(frozen=True, slots=True)
class FieldRate:
    """How often a field is told at most, how often at least (None: on change alone), and how large a change counts."""

    interval_s: int
    resend_s: int | None = None
    minimum_delta: float | None = None

    def plain(self) -> dict[str, float]:
        """As the configuration of a car has it."""
        told: dict[str, float | None] = {
            "interval_seconds": self.interval_s,
            "resend_interval_seconds": self.resend_s,
            "minimum_delta": self.minimum_delta,
        }
        return {name: value for name, value in told.items() if value is not None}


WANTED: Mapping[str, FieldRate] = {
    STATE: FieldRate(5, RESEND_S),
    "ScheduledChargingPending": FieldRate(60),
    "BatteryLevel": FieldRate(60, 900, 0.5),
    "ACChargingPower": FieldRate(30, 300, 0.1),
    "DCChargingPower": FieldRate(60, None, 1.0),
    "ChargeAmps": FieldRate(30, None, 1.0),
    "ChargerVoltage": FieldRate(60, None, 5.0),
    "ChargerPhases": FieldRate(60),
    "ChargeCurrentRequest": FieldRate(60),
    "ChargeLimitSoc": FieldRate(60),
    "ACChargingEnergyIn": FieldRate(300, None, 0.1),
    "TimeToFullCharge": FieldRate(300, None, 0.1),
    "FastChargerPresent": FieldRate(60),
    "Location": FieldRate(60, 3600),
}
# What a new value of a field may change.
AFFECTED: Mapping[str, tuple[str, ...]] = {
    STATE: ("charge_state", "plugged"),
    "ScheduledChargingPending": ("charge_state",),
    "BatteryLevel": ("soc_pct",),
    "ACChargingPower": ("power_w", "phases"),
    "DCChargingPower": ("power_w",),
    "ChargeAmps": ("current_a", "phases"),
    "ChargerVoltage": ("voltage_v", "phases"),
    "ChargerPhases": ("phases",),
    "ChargeCurrentRequest": ("limit_current_a",),
    "ChargeLimitSoc": ("limit_soc_pct",),
    "ACChargingEnergyIn": ("energy_added_wh",),
    "TimeToFullCharge": ("time_to_complete_s",),
    "FastChargerPresent": ("at_site",),
    "Location": ("at_site",),
}


@dataclasses.dataclass(frozen=True, slots=True)
class FieldValue:
    """What a car told of a field, as it came, and when it is taken to have been so."""

    raw: Any
    at: datetime


Held = Mapping[str, FieldValue]
Place = tuple[float, float] | None


def snapshot_of_field(ref: str, name: str, held: Held, home: Place, now: datetime) -> Snapshot:
    """What one field's newest value changes; `held` are the newest of all fields, that one too."""
    at = held[name].at
    seen: dict[str, tuple[Any, datetime | None]] = {"reachability": (Reachability.ONLINE, at)}
    seen |= {reading: (_READERS[reading](held, home), at) for reading in AFFECTED[name]}
    return snapshot_of(ref, seen, SOURCE, now)


def number_in(raw: Any) -> float | None:
    """A finite number, or a text that is one."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def flag_in(raw: Any) -> bool | None:
    """True or false, or a text that says so."""
    return {"true": True, "false": False}.get(str(raw).lower()) if isinstance(raw, bool | str) else None


def _raw(held: Held, name: str) -> Any:
    return held[name].raw if name in held else None


def _number(held: Held, name: str) -> float | None:
    raw = _raw(held, name)
    value = number_in(raw)
    if raw is not None and value is None:
        note(SOURCE, f"{name}: {shown(raw)} is no number")
    return value


def _flag(held: Held, name: str) -> bool | None:
    return flag_in(_raw(held, name))


def _named(held: Held) -> ChargeState | None:
    raw = _raw(held, STATE)
    return word(SOURCE, STATE, CHARGING, raw.removeprefix(STATE) if isinstance(raw, str) else raw)


def _charge_state(held: Held, _: Place) -> ChargeState | None:
    named = _named(held)
    waits = named is ChargeState.STOPPED and _flag(held, "ScheduledChargingPending") is True
    return ChargeState.WAITING_SCHEDULE if waits else named


def _plugged(held: Held, _: Place) -> Known | None:
    named = _named(held)
    return None if named is None else Known.NO if named is ChargeState.UNPLUGGED else Known.YES


def _power_w(held: Held, _: Place) -> float | None:
    """Of the two meters the one that shows something; nothing at both, or at the one of a car that does not charge."""
    ac_kw, dc_kw = _number(held, "ACChargingPower"), _number(held, "DCChargingPower")
    flowing = next((kw for kw in (ac_kw, dc_kw) if kw), None)
    if flowing is not None:
        return KILO * flowing
    if ac_kw is None or (dc_kw is None and _named(held) in {ChargeState.CHARGING, None}):
        return None
    return 0.0


def _phases_streamed(held: Held, _: Place) -> int | None:
    """As told; what current, voltage and power show counts where one record of the car brought all three.

    Of a car that is polled: `shapes.phases_reported`.
    """
    told = PHASES_TOLD.get(_number(held, "ChargerPhases") or 0)
    names = ("ChargeAmps", "ChargerVoltage", "ACChargingPower")
    at = [held[name].at for name in names if name in held]
    if len(at) < len(names) or max(at) - min(at) > TRANSIT:
        return told
    amps, volts, kw = (_number(held, name) for name in names)
    return phases_shown(told, amps, volts, None if kw is None else KILO * kw, POWER_SLACK_W)


def _at_site(held: Held, home: Place) -> str | None:
    if _flag(held, "FastChargerPresent") is True:  # no home has one
        return Known.NO
    place = _raw(held, "Location")
    if not isinstance(place, dict):
        return None
    return near((number_in(place.get("latitude")), number_in(place.get("longitude"))), home)


def _scaled(name: str, scale: float = 1.0) -> Callable[[Held, Place], float | None]:
    def read(held: Held, _: Place) -> float | None:
        value = _number(held, name)
        return None if value is None else scale * value

    return read


_READERS: Mapping[str, Callable[[Held, Place], Any]] = {
    "charge_state": _charge_state,
    "plugged": _plugged,
    "soc_pct": _scaled("BatteryLevel"),
    "power_w": _power_w,
    "current_a": _scaled("ChargeAmps"),
    "voltage_v": _scaled("ChargerVoltage"),
    "phases": _phases_streamed,
    "limit_current_a": _scaled("ChargeCurrentRequest"),
    "limit_soc_pct": _scaled("ChargeLimitSoc"),
    "energy_added_wh": _scaled("ACChargingEnergyIn", KILO),
    "time_to_complete_s": _scaled("TimeToFullCharge", HOUR_S),
    "at_site": _at_site,
}
