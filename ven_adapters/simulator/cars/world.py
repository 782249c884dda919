"""The cars as columns, and the one loop that moves them through time.

Time is seconds since the fleet's midnight. What happens to a car at an instant (a plug, a directive's start or end) is
an entry of the agenda; a step never passes the next entry of any car, each car being stepped to its own entry first.
So a late tick changes nothing but the tick: every entry takes effect at its exact instant. Beside each car runs its
counterfactual, the same car with the same plug and nobody asking for anything. Wh and W are the cars' true ones, not
what they tell. Cars on one circuit are always stepped together.
"""

import dataclasses
import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np

from ven_adapters.simulator.cars import physics
from ven_adapters.simulator.cars.car_models import MIN_CURRENT_A
from ven_adapters.simulator.cars.fleets import PREROLL_HOUR, SimulatedFleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.cars.physics import Flags, Floats, Ints, Packs, PackState, PowerOrders
from vtn.clock import HOUR_S

Effect = Callable[[], None]

STEP_S = 60.0
BIN_S = 300.0
IDLE_W = 1.0
DRIVEN_WARM = 0.5  # how warm a battery comes home on a cold night


@dataclasses.dataclass(order=True, slots=True)
class _WorldEntry:
    at_s: float
    rank: int
    number: int
    car: int = dataclasses.field(compare=False)
    effect: Effect = dataclasses.field(compare=False)


class World:
    """N cars, their clock and their agenda. Columns are public: the cloud reads them, only this module steps them."""

    def __init__(self, fleet: SimulatedFleet, ledger: GroundTruth) -> None:
        cars = len(fleet.refs)
        self.fleet = fleet
        self.ledger = ledger
        self.now_s = PREROLL_HOUR * HOUR_S
        self.packs = packs_of(fleet)
        self.target_wh: Floats = fleet.target_pct / 100.0 * self.packs.usable_wh
        self.reserve_wh: Floats = fleet.reserve_pct / 100.0 * self.packs.usable_wh
        self.soc_wh: Floats = fleet.soc_pct / 100.0 * self.packs.usable_wh
        self.asked_soc_wh: Floats = self.soc_wh.copy()
        self.warm: Floats = np.zeros(cars)
        self.asked_warm: Floats = np.zeros(cars)
        self.home: Flags = np.zeros(cars, bool)
        self.plugged: Flags = np.zeros(cars, bool)
        self.limit_w: Floats = np.full(cars, np.inf)
        self.ceiling_wh: Floats = self.target_wh.copy()
        self.floor_wh: Floats = np.zeros(cars)
        self.power_w: Floats = np.zeros(cars)
        self.idle_since_s: Floats = np.full(cars, self.now_s)
        self.added_wh: Floats = np.zeros(cars)
        self.exported_wh: Floats = np.zeros(cars)
        self._car_s: Floats = np.full(cars, self.now_s)
        self._everyone: Ints = np.arange(cars)
        self._agenda: list[_WorldEntry] = []
        self._numbers = itertools.count()

    def seconds(self, at: datetime) -> float:
        """An instant on the world's own scale."""
        return (at - self.fleet.midnight).total_seconds()

    def instant(self, at_s: float) -> datetime:
        """The instant of a time on the world's scale, to the millisecond."""
        return self.fleet.midnight + timedelta(milliseconds=round(at_s * 1_000.0))

    def at(self, at_s: float, car: int, effect: Effect, *, rank: int = 0) -> None:
        """Have `effect` happen to `car` at `at_s`; entries of one instant go by rank, ends before beginnings."""
        heapq.heappush(self._agenda, _WorldEntry(max(at_s, self.now_s), rank, next(self._numbers), car, effect))

    def time_of(self, car: int) -> float:
        """How far a car has lived: within an effect, the effect's exact instant."""
        return float(self._car_s[car])

    def hold(self, car: int, limit_w: float, ceiling_wh: float, floor_wh: float) -> None:
        """Put a car under a signed power limit, a level to stop at and a level to keep."""
        self.limit_w[car], self.ceiling_wh[car], self.floor_wh[car] = limit_w, ceiling_wh, floor_wh

    def hand_back(self, car: int) -> None:
        """Let a car charge as its driver set it."""
        self.hold(car, np.inf, self.target_wh[car], 0.0)

    def came_home(self, car: int) -> None:
        """A drive has warmed the battery."""
        self.warm[car] = self.asked_warm[car] = DRIVEN_WARM

    def reachable_wh(self, car: int, seconds: float) -> float:
        """The charge that a car would have after charging at once, as its driver set it, from now on for so long."""
        rows = np.array([car, *self._partner(car)])
        plugged = np.tile(self.plugged[rows], (max(1, int(seconds // STEP_S)), 1))
        plugged[:, 0] = True
        state = PackState(self.soc_wh[rows], self.warm[rows])
        _, levels = physics.immediate_charge(self.packs.at(rows), state, self.target_wh[rows], plugged, STEP_S)
        return float(levels[-1, 0])

    def _partner(self, car: int) -> tuple[int, ...]:
        """The other car on the circuit, if any."""
        other = int(self.packs.partner[car])
        return (other,) if other >= 0 else ()

    def advance(self, to_s: float) -> None:
        """Live until `to_s`, in steps of a minute at most, every entry of the agenda at its instant."""
        while self.now_s < to_s:
            edge_s = (self.now_s // BIN_S + 1.0) * BIN_S
            until_s = min(to_s, self.now_s + STEP_S, edge_s)
            self._live(until_s)
            self.now_s = until_s
            if until_s == edge_s:
                self.ledger.close_bin(edge_s, self.soc_wh[self.plugged] / self.packs.usable_wh[self.plugged])

    def _live(self, until_s: float) -> None:
        while batch := self._due(until_s):
            due_s = {car: entry.at_s for entry in batch for car in (entry.car, *self._partner(entry.car))}
            self._step(np.array(list(due_s)), np.array(list(due_s.values())))
            for entry in batch:
                entry.effect()
        self._step(self._everyone, np.full(self._everyone.size, until_s))

    def _due(self, until_s: float) -> list[_WorldEntry]:
        """The next entries in time order, at most one per circuit, so that all of them can be stepped to at once."""
        batch: list[_WorldEntry] = []
        taken: set[int] = set()
        while self._agenda and self._agenda[0].at_s <= until_s and self._agenda[0].car not in taken:
            entry = heapq.heappop(self._agenda)
            batch.append(entry)
            taken.update((entry.car, *self._partner(entry.car)))
        return batch

    def _step(self, cars: Ints, to_s: Floats) -> None:
        packs = self.packs if cars is self._everyone else self.packs.at(cars)
        plugged, target_wh = self.plugged[cars], self.target_wh[cars]
        orders = PowerOrders(plugged, self.limit_w[cars], self.ceiling_wh[cars], self.floor_wh[cars])
        dt_s = np.maximum(to_s - self._car_s[cars], 0.0)
        state, grid_wh = physics.step(packs, PackState(self.soc_wh[cars], self.warm[cars]), orders, dt_s)
        asked = PackState(self.asked_soc_wh[cars], self.asked_warm[cars])
        asked, asked_grid_wh = physics.step(packs, asked, physics.driver_orders(plugged, target_wh), dt_s)
        self.soc_wh[cars], self.warm[cars], self._car_s[cars] = state.soc_wh, state.warm, to_s
        self.asked_soc_wh[cars], self.asked_warm[cars] = asked.soc_wh, asked.warm
        self.added_wh[cars] += np.maximum(grid_wh, 0.0)
        self.exported_wh[cars] -= np.minimum(grid_wh, 0.0)
        self.power_w[cars] = physics.power_w(packs, state, orders)
        busy = np.abs(self.power_w[cars]) > IDLE_W
        self.idle_since_s[cars] = np.where(busy, to_s, self.idle_since_s[cars])
        self.ledger.energy(cars, to_s, grid_wh, asked_grid_wh)
        self.ledger.flow(cars, to_s, grid_wh, dt_s)
        if orders.may_discharge:
            self.ledger.discharge(cars, grid_wh, state.soc_wh, dt_s)


def packs_of(fleet: SimulatedFleet) -> Packs:
    """The true batteries and chargers of a fleet. A circuit gives what the stronger of its two points is told to."""
    truth, min_charge_w = fleet.truth, (MIN_CURRENT_A * fleet.voltage_v).astype(float)
    other_w = np.where(truth.partner >= 0, fleet.max_charge_w[truth.partner], 0.0)
    return Packs(
        usable_wh=fleet.usable_wh * truth.usable_share,
        max_charge_w=fleet.max_charge_w * truth.power_share,
        min_charge_w=min_charge_w,
        max_discharge_w=fleet.max_discharge_w,
        charge_efficiency=truth.charge_efficiency,
        discharge_efficiency=truth.discharge_efficiency,
        taper_from=truth.taper_from,
        taper_end=truth.taper_end,
        cold_power=truth.cold_power,
        cold_efficiency=truth.cold_efficiency,
        warms_wh=truth.warms_wh,
        circuit_w=np.where(truth.partner >= 0, np.maximum(fleet.max_charge_w, other_w), np.inf),
        partner=truth.partner,
    )
