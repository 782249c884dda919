"""What an evening came to by the physics alone: what each car drew, what it would have drawn, what could be held.

A car could be held in five minutes in which it had stood there long enough to be known, was above its driver's reserve,
can be stopped and started again, and, as it truly charges, would have been full three quarters of an hour before its
driver leaves although it began only afterwards. Nothing here asks an adapter, and nothing is assumed as it assumes it.
"""

import dataclasses
from datetime import datetime

import numpy as np

from ven_adapters.simulator.cars import physics
from ven_adapters.simulator.cars.world import BIN_S
from vtn.clock import HOUR_S

KNOWN_WITHIN_S = 15 * 60.0
SPARE_S = 0.75 * HOUR_S
LONGEST_S = 24 * HOUR_S
FULL_WITHIN_WH = 50.0


@dataclasses.dataclass(frozen=True)
class Shed:
    """kWh between two instants: drawn by nobody's leave, what of that could be held, what was drawn all the same."""

    unmanaged_kwh: float
    controllable_kwh: float
    drawn_kwh: float
    all_drawn_kwh: float

    @property
    def of_controllable(self) -> float:
        return 1.0 - self.drawn_kwh / self.controllable_kwh

    @property
    def of_all(self) -> float:
        return 1.0 - self.all_drawn_kwh / self.unmanaged_kwh


class EveningTruth:
    """Kept by the ledger of a cloud, five minutes by five minutes, from its making on."""

    def __init__(self, cloud, until: datetime, *, at_stations: bool) -> None:
        self._cloud, self._ledger = cloud, cloud.ledger
        fleet, world = cloud.fleet, cloud.world
        cars = len(fleet.refs)
        self._first = int(world.now_s // BIN_S)
        bins = int(world.seconds(until) // BIN_S) - self._first + 1
        self._drawn_wh, self._asked_wh = np.zeros((bins, cars)), np.zeros((bins, cars))
        self._stood = np.zeros((bins + 1, cars), dtype=bool)
        self._filled = np.zeros((bins + 1, cars), dtype=bool)
        self._soc_wh, self._warm = np.zeros((bins + 1, cars)), np.ones((bins + 1, cars))
        capabilities = [cloud.capability(car) for car in range(cars)]
        self._least_pct = np.array([0.0 if at_stations else _least_pct(one) for one in capabilities])
        self._plugged_s = np.where(world.plugged, -np.inf, np.inf)
        self.arrived = 0
        self._energy, self._close_bin = self._ledger.energy, self._ledger.close_bin
        self._ledger.energy, self._ledger.close_bin = self._note_energy, self._note_edge
        self._look(0)

    def _note_energy(self, cars, to_s, grid_wh, asked_wh):
        place = np.ceil(to_s / BIN_S).astype(int) - 1 - self._first
        kept = (place >= 0) & (place < len(self._drawn_wh))
        np.add.at(self._drawn_wh, (place[kept], cars[kept]), grid_wh[kept])
        np.add.at(self._asked_wh, (place[kept], cars[kept]), asked_wh[kept])
        self._energy(cars, to_s, grid_wh, asked_wh)

    def _note_edge(self, edge_s, levels):
        self._look(round(edge_s / BIN_S) - self._first)
        self._close_bin(edge_s, levels)

    def _look(self, place):
        """How the cars stand at the beginning of five minutes."""
        world = self._cloud.world
        now_s = (self._first + place) * BIN_S
        new = world.plugged & np.isinf(self._plugged_s) & (self._plugged_s > 0)
        self.arrived += int(new.sum())
        self._plugged_s = np.where(world.plugged, np.where(new, now_s, self._plugged_s), np.inf)
        if 0 <= place < len(self._stood):
            self._stood[place] = now_s - self._plugged_s >= KNOWN_WITHIN_S
            least_wh = np.maximum(world.reserve_wh, self._least_pct / 100.0 * world.packs.usable_wh)
            self._filled[place] = world.soc_wh >= least_wh
            self._soc_wh[place], self._warm[place] = world.soc_wh, world.warm

    def _could_wait(self, place):
        """Of which cars the charging could wait until these five minutes are over."""
        world, fleet = self._cloud.world, self._cloud.fleet
        left_s = fleet.declared_s[0] - SPARE_S - (self._first + place + 1) * BIN_S
        steps = int(np.clip(left_s.max(), 0.0, LONGEST_S) // BIN_S)
        state = physics.PackState(self._soc_wh[place], self._warm[place])
        plugged = np.ones((steps, len(fleet.refs)), dtype=bool)
        _, levels_wh = physics.immediate_charge(world.packs, state, world.target_wh, plugged, BIN_S)
        at_leaving = np.clip(left_s // BIN_S, 0, steps).astype(int)
        reached_wh = levels_wh[at_leaving, np.arange(len(at_leaving))]
        return (left_s > 0) & (reached_wh >= world.target_wh - FULL_WITHIN_WH)

    def between(self, first: datetime, last: datetime) -> Shed:
        """The kWh of these bins."""
        begin, end = (int(self._cloud.world.seconds(at) // BIN_S) - self._first for at in (first, last))
        inside = slice(begin, end)
        could = self._stood[inside] & self._filled[inside] & (self._asked_wh[inside] > 0)
        could &= np.array([self._could_wait(place) for place in range(begin, end)])
        drawn_wh = np.maximum(self._drawn_wh[inside], 0.0)
        return Shed(
            self._asked_wh[inside].sum() / 1000.0,
            self._asked_wh[inside][could].sum() / 1000.0,
            drawn_wh[could].sum() / 1000.0,
            drawn_wh.sum() / 1000.0,
        )


def _least_pct(capability):
    """The level from which on a car can be held, by a stop or by its target; inf for a car that cannot be."""
    if capability.can_stop and capability.can_resume_after_stop:
        return 0.0
    return (
        np.inf
        if capability.limit_soc is None
        else max(capability.limit_soc.min_pct, capability.limit_soc.applies_from_pct)
    )
