"""Faults of what a car tells of itself: pure functions from a true snapshot to the one that the backend passes on."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from ven_adapters.contract import ChargeState, Known, Reading, Snapshot
from ven_adapters.simulator.faults.fault_draws import Chance, minute_of

COARSE_W = 1_000.0
PHASES = 3
IDLE_W = 1.0
NO_LEVEL_PCT = 255.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Local wall time sent as UTC, UTC read as local time, and a clock that runs a few minutes ahead.
SKEWS = (timedelta(hours=-7), timedelta(hours=7), timedelta(minutes=5))

_READINGS = tuple(field.name for field in dataclasses.fields(Snapshot) if field.name != "vehicle_ref")


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """Circumstances of one reading: the seconds since midnight, the voltage, whether a directive holds the car."""

    at_s: float
    voltage_v: float
    held: bool


def sentinel(chance: Chance, sight: Sight, snapshot: Snapshot) -> Snapshot:
    """255 % charge, or a date in 1970, or no level at all."""
    form = chance.form("sentinel", minute_of(snapshot.vehicle_ref, sight.at_s), 3)
    level = snapshot.soc_pct
    if level is None or form == 0:
        return dataclasses.replace(snapshot, soc_pct=None)
    changes: dict[str, Any] = {"value": NO_LEVEL_PCT} if form == 1 else {"observed_at": EPOCH}
    return dataclasses.replace(snapshot, soc_pct=dataclasses.replace(level, **changes))


def plug_flaps(_: Chance, __: Sight, snapshot: Snapshot) -> Snapshot:
    """The plug flag says out while everything else says in."""
    return _with(snapshot, plugged=Known.NO)


def wrong_location(chance: Chance, _: Sight, snapshot: Snapshot) -> Snapshot:
    """The car says that it is elsewhere, or does not say where it is."""
    return _with(snapshot, at_site=(Known.UNKNOWN, Known.NO)[chance.form("wrong_location", snapshot.vehicle_ref, 2)])


def coarse_power(_: Chance, sight: Sight, snapshot: Snapshot) -> Snapshot:
    """Power in whole kilowatts, beside an exact current and voltage."""
    if snapshot.power_w is None:
        return snapshot
    told = _with(snapshot, power_w=round(snapshot.power_w.value / COARSE_W) * COARSE_W)
    return _electric(told, sight, 1)


def three_phases_told(_: Chance, sight: Sight, snapshot: Snapshot) -> Snapshot:
    """Telemetry tells three phases, which the capability does not."""
    return _electric(snapshot, sight, PHASES)


def meter_disagrees(_: Chance, sight: Sight, snapshot: Snapshot) -> Snapshot:
    """The state says what was commanded, the power what flows."""
    power, state = snapshot.power_w, snapshot.charge_state
    if power is None or state is None or not sight.held:
        return snapshot
    if power.value > IDLE_W:
        return _with(snapshot, charge_state=ChargeState.PAUSED_BY_DIRECTIVE)
    return _with(snapshot, charge_state=ChargeState.CHARGING) if state.value in _STOPPED else snapshot


def clock_skew(chance: Chance, _: Sight, snapshot: Snapshot) -> Snapshot:
    """Every instant is off by a time zone, or by the minutes that the car's clock runs ahead."""
    skew = SKEWS[chance.form("clock_skew", snapshot.vehicle_ref, len(SKEWS))]
    moved = {
        name: dataclasses.replace(reading, observed_at=reading.observed_at + skew)
        for name in _READINGS
        if (reading := getattr(snapshot, name)) is not None
    }
    return dataclasses.replace(snapshot, **moved)


_STOPPED = frozenset({ChargeState.PAUSED_BY_DIRECTIVE, ChargeState.STOPPED})


def _with(snapshot: Snapshot, **values: Any) -> Snapshot:
    """Other values in readings that are there."""
    told = {name: getattr(snapshot, name) for name in values}
    changed = {
        name: dataclasses.replace(reading, value=values[name]) for name, reading in told.items() if reading is not None
    }
    return dataclasses.replace(snapshot, **changed)


def _electric(snapshot: Snapshot, sight: Sight, phases: int) -> Snapshot:
    current = snapshot.current_a
    if current is None:
        return snapshot
    at, heard = current.observed_at, current.received_at
    return dataclasses.replace(
        snapshot,
        voltage_v=Reading(sight.voltage_v, at, heard),
        phases=Reading(phases, at, heard),
        current_a=dataclasses.replace(current, value=round(current.value / phases, 1)),
    )
