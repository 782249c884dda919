"""What a backend lets the world see of its cars: snapshots, and which of them are worth pushing.

The level is told as each car tells it: in steps of 1 or 5 percent, rounded its way. Energy counters are true at the
charging point and never reset. A sleeping car's snapshot is the last that it sent, with its own age on it, and says
that the car sleeps.
"""

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np

from ven_adapters.contract import ChargeState, Known, Reachability, Reading, Snapshot
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.cars.physics import Floats
from ven_adapters.simulator.faults.reading_faults import Sight

HEARTBEAT_S = 900.0
POWER_STEP_W = 250.0
FULL_SLACK_WH = 1.0
IDLE_W = 1.0

_STATES = tuple(ChargeState)
_CODE = {state: code for code, state in enumerate(_STATES)}


class Views:
    """The latest snapshot of every car, and what was last pushed of it."""

    def __init__(self, cloud: Cloud) -> None:
        cars = len(cloud.fleet.refs)
        self._cloud = cloud
        self._latest: dict[int, Snapshot] = {}
        self._seen_s = np.full(cars, -np.inf)
        self._pushed = np.full((5, cars), np.nan)
        self._volts: Floats = cloud.fleet.voltage_v.astype(float)

    def snapshot(self, car: int, *, fresh: bool) -> Snapshot:
        """The latest reading, taken anew when `fresh` is asked and the car is awake."""
        if car not in self._latest or (fresh and not self._asleep(car)):
            self._observe(np.array([car]))
        snapshot = self._latest[car]
        return _sleeping(snapshot) if self._cloud.asleep[car] else snapshot

    def _asleep(self, car: int) -> bool:
        return bool(self._cloud.asleep[car]) or self._cloud.fault_state.out_of_reach(car)

    def age_s(self, car: int, now: datetime) -> float:
        """How old the latest reading is."""
        return float(self._cloud.world.seconds(now) - self._seen_s[car])

    def forget(self) -> None:
        """Have every car pushed again: somebody new is listening."""
        self._pushed[:] = np.nan

    def changed(self) -> list[Snapshot]:
        """Snapshots of the cars whose level, power, plug or state moved, and every plugged car each quarter hour."""
        world, cloud = self._cloud.world, self._cloud
        seen = np.stack([self._levels(), world.power_w, world.plugged, world.home, cloud.asleep])
        before = self._pushed
        moved = np.isnan(before[0]) | (seen[0] != before[0]) | (np.abs(seen[1] - before[1]) > POWER_STEP_W)
        moved |= (np.abs(seen[1]) > IDLE_W) != (np.abs(before[1]) > IDLE_W)
        moved |= (seen[2:] != before[2:]).any(axis=0)
        moved |= world.plugged & ~cloud.asleep & (world.now_s - self._seen_s >= HEARTBEAT_S)
        cars = np.flatnonzero(moved)
        self._pushed[:, cars] = seen[:, cars]
        awake = cars[~cloud.asleep[cars] & ~cloud.fault_state.unheard[cars]]
        self._observe(awake)
        told = (car for car in cars.tolist() if not cloud.fault_state.silent(car, world.now_s))
        return [self.snapshot(car, fresh=False) for car in told]

    def _levels(self) -> Floats:
        world = self._cloud.world
        return self._cloud.fleet.truth.told_pct(100.0 * world.soc_wh / world.packs.usable_wh)

    def _observe(self, cars: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> None:
        world, fleet = self._cloud.world, self._cloud.fleet
        at = world.instant(world.now_s)
        cars = cars[self._due(cars)]
        power_w = np.round(world.power_w[cars])
        columns = zip(
            cars.tolist(),
            self._levels()[cars].tolist(),
            world.plugged[cars].tolist(),
            world.home[cars].tolist(),
            self._states(cars),
            power_w.tolist(),
            np.round(power_w / self._volts[cars], 1).tolist(),
            np.round(100.0 * world.ceiling_wh[cars] / world.packs.usable_wh[cars], 1).tolist(),
            np.round(world.added_wh[cars], 1).tolist(),
            np.round(world.exported_wh[cars], 1).tolist(),
            strict=True,
        )
        for row in columns:
            self._latest[row[0]] = self._told(row[0], _snapshot(fleet.refs[row[0]], row, at))
        self._seen_s[cars] = world.now_s

    def _due(self, cars: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Which cars tell something new: slow clouds and stale telemetry keep to the last reading for a while."""
        cloud, age_s = self._cloud, self._cloud.world.now_s - self._seen_s[cars]
        fault = age_s < cloud.fault_state.lag_s[cars]
        for car in cars[fault].tolist():
            cloud.ledger.met("stale_telemetry", car)
        return np.asarray(~fault & (age_s >= cloud.fleet.truth.reading_age_s[cars]))

    def _told(self, car: int, true: Snapshot) -> Snapshot:
        """What the backend passes on; what is only a moment's error is told anew at the next tick."""
        cloud = self._cloud
        sight = Sight(cloud.world.now_s, float(self._volts[car]), cloud.held(car))
        told, passing = cloud.fault_state.misread(car, true, sight)
        if passing:
            self._pushed[0, car] = np.nan
        return told

    def _states(self, cars: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> Iterable[ChargeState]:
        world, cloud = self._cloud.world, self._cloud
        power_w = world.power_w[cars]
        full = world.soc_wh[cars] >= world.target_wh[cars] - FULL_SLACK_WH
        held = np.array([cloud.held(car) for car in cars.tolist()], bool)
        codes = np.select(
            [~world.plugged[cars], power_w > IDLE_W, power_w < -IDLE_W, full, held],
            [
                _CODE[ChargeState.UNPLUGGED],
                _CODE[ChargeState.CHARGING],
                _CODE[ChargeState.DISCHARGING],
                _CODE[ChargeState.COMPLETE],
                _CODE[ChargeState.PAUSED_BY_DIRECTIVE],
            ],
            _CODE[ChargeState.STOPPED],
        )
        return [_STATES[code] for code in codes.tolist()]


def _snapshot(
    ref: str, row: tuple[int, float, bool, bool, ChargeState, float, float, float, float, float], at: datetime
) -> Snapshot:
    _, level, plugged, home, state, power_w, current_a, limit_pct, added_wh, exported_wh = row
    return Snapshot(
        ref,
        soc_pct=Reading(level, at, at),
        plugged=Reading(Known.YES if plugged else Known.NO, at, at),
        at_site=Reading(Known.YES if home else Known.NO, at, at),
        charge_state=Reading(state, at, at),
        power_w=Reading(power_w, at, at),
        current_a=Reading(abs(current_a), at, at),
        limit_soc_pct=Reading(limit_pct, at, at),
        energy_added_wh=Reading(added_wh, at, at),
        energy_exported_wh=Reading(exported_wh, at, at),
        reachability=Reading(Reachability.ONLINE, at, at),
    )


def _sleeping(snapshot: Snapshot) -> Snapshot:
    reading = snapshot.reachability
    if reading is None or reading.value is Reachability.ASLEEP:
        return snapshot
    return dataclasses.replace(snapshot, reachability=dataclasses.replace(reading, value=Reachability.ASLEEP))
