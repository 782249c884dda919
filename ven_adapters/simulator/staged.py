"""A backend for judging adapters: few cars that stand still, faults at the call, and every car put right again.

The same cloud, physics and faults as ever; only chance is taken out. A fault that is armed befalls its cars at once and
every time, and nothing else happens to them.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ven_adapters.contract import DirectiveKind, DirectiveState, DriverChoice
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.backend.directive_records import SimulatedDirective
from ven_adapters.simulator.cars.car_models import CONTROL_NAMES
from ven_adapters.simulator.cars.fleets import COMPLETE, PREROLL_HOUR, SimulatedFleet, plan_fleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults import table
from ven_adapters.simulator.faults.fault_draws import DELAY_S, Chance
from ven_adapters.simulator.faults.fault_state import FaultState
from ven_adapters.simulator.settings import SimulatorSettings
from vtn.clock import HOUR_S

LATENCY_S = 10.0
HALF_FULL_PCT, TARGET_PCT, RESERVE_PCT = 55.0, 80.0, 25.0
MAX_A, VOLTAGE_V, DISCHARGE_W, EXPORT_LIMIT_W = 32, 240, 7_000.0, 10_000.0
STAYS_S = 60.0 * 24.0 * HOUR_S
TWO_WAY = "bidirectional"

# Faults that begin at some hour of the night: here they begin when they are armed.
_BEGINNING = frozenset({"token_revoked", "path_gone", "schedule_clobbered"})


@dataclasses.dataclass(frozen=True, slots=True)
class Armed(Chance):
    """No chance at all: the named faults befall the named cars, `since_s` on; `forms` fixes how a fault shows."""

    cars_of: Mapping[str, frozenset[str]]
    forms: Mapping[str, int]
    since_s: float

    def car(self, name: str, ref: str) -> bool:
        """Whether the fault is armed for this car."""
        return ref in self.cars_of.get(name, ())

    def cars(self, name: str, refs: Sequence[str]) -> NDArray[np.bool_]:
        """For which of these cars it is armed."""
        return np.fromiter((self.car(name, ref) for ref in refs), bool, len(refs))

    def minute(self, name: str, ref: str, _at_s: float) -> bool:
        """The same in every minute."""
        return self.car(name, ref)

    def delayed(self, what: str) -> bool:
        """Whether a command is obeyed only minutes later."""
        return self.car("delayed", what.rpartition("/")[0].rpartition("cancel/")[2])

    def between(self, bounds: tuple[float, float], name: str, what: str) -> float:
        """A value as ever, but the hour at which a fault begins is now."""
        return self.since_s if name in _BEGINNING else Chance.between(self, bounds, name, what)

    def latency_s(self, what: str) -> float:
        """Every command takes equally long, a delayed one its minutes."""
        return self.between(DELAY_S, "delayed", what) if self.delayed(what) else LATENCY_S

    def form(self, name: str, what: str, forms: int) -> int:
        """The form that was asked for, else one drawn."""
        return self.forms[name] if name in self.forms else Chance.form(self, name, what, forms)


def still_fleet(settings: SimulatorSettings, controls: Sequence[str]) -> SimulatedFleet:
    """One car for each of these controls: at home, half full, just plugged in, staying for two months, and as told."""
    fleet = plan_fleet(dataclasses.replace(settings, cars=len(controls), nights=1, faults={}, truth="as_told"))
    starts_s = (settings.starts_at - fleet.midnight).total_seconds()
    cars, shape = len(controls), fleet.arrive_s.shape
    two_way = np.array([control == TWO_WAY for control in controls])
    return dataclasses.replace(
        fleet,
        control=np.array([CONTROL_NAMES.index(control) for control in controls]),
        max_a=np.full(cars, MAX_A),
        voltage_v=np.full(cars, VOLTAGE_V),
        max_charge_w=np.full(cars, float(MAX_A * VOLTAGE_V)),
        max_discharge_w=np.where(two_way, DISCHARGE_W, 0.0),
        export_limit_w=np.full(cars, EXPORT_LIMIT_W),
        papers=np.full(cars, COMPLETE),
        soc_pct=np.full(cars, HALF_FULL_PCT),
        target_pct=np.full(cars, TARGET_PCT),
        reserve_pct=np.full(cars, RESERVE_PCT),
        opted_out=np.zeros(cars, bool),
        away=np.zeros(shape, bool),
        plugs_in=np.ones(shape, bool),
        arrive_s=np.full(shape, max(starts_s - 60.0, PREROLL_HOUR * HOUR_S)),
        declared_s=np.full(shape, starts_s + STAYS_S),
        depart_s=np.full(shape, starts_s + STAYS_S + 300.0),
    )


class StagedCloud(Cloud):
    """A cloud whose faults are armed by name, and whose cars can be put right; `woke` is told of each wake."""

    def __init__(self, fleet: SimulatedFleet, seed: int, ledger: GroundTruth, woke: Callable[[int], None]) -> None:
        super().__init__(fleet, seed, {}, ledger)
        self.effects: list[tuple[int, datetime, DirectiveKind, str]] = []
        self._seed, self._woke = seed, woke
        self._armed: dict[str, frozenset[str]] = {}
        self._forms: dict[str, int] = {}
        self._dozing = np.zeros(len(fleet.refs), bool)
        self._rearm()

    def arm(self, name: str, refs: Sequence[str], form: int | None = None) -> None:
        """Play a fault on these cars from now on; what the car or its driver does happens now."""
        self._armed[name] = self._armed.get(name, frozenset()) | frozenset(refs)
        self._forms |= {} if form is None else {name: form}
        self._rearm()
        deed = _DEEDS.get(name)
        for car in map(self.car, refs) if deed is not None else ():
            deed(self, car)  # type: ignore[misc]  # deed is not None here

    def disarm(self) -> None:
        """Play nothing any more."""
        self._armed, self._forms = {}, {}
        self._rearm()

    def restore(self, ref: str) -> None:
        """Put a car right: half full, plugged in, awake, nobody holding it, its driver content."""
        car, world = self.car(ref), self.world
        for record in (*self._directives.pending(car), self._current[car]):
            if record is not None:
                record.state = DirectiveState.CANCELLED
        self._current[car] = None
        self._stranded[car] = self._dozing[car] = self.asleep[car] = False
        self.drivers.calm(car)
        self.fault_state.touched(car)
        world.home[car] = world.plugged[car] = True
        world.soc_wh[car] = world.asked_soc_wh[car] = HALF_FULL_PCT / 100.0 * world.packs.usable_wh[car]
        world.idle_since_s[car] = world.now_s
        world.hand_back(car)

    def as_driver_set(self, car: int) -> bool:
        """Whether nothing holds the car."""
        world = self.world
        free = world.limit_w[car] == math.inf and world.ceiling_wh[car] >= world.target_wh[car]
        return bool(free) and not self._stranded[car]

    def advance(self, now: datetime) -> None:
        """Live until `now`; a car that was put to sleep sleeps whatever flows."""
        super().advance(now)
        self.asleep |= self._dozing

    def wake(self, car: int, now: datetime) -> float:
        """Call a sleeping car; somebody counts."""
        self._woke(car)
        return super().wake(car, now)

    def _accept(self, car: int, order: Any, body: bytes, now: datetime) -> SimulatedDirective:
        directive = order.directive
        self.effects.append((car, now, directive.kind, directive.key))
        return super()._accept(car, order, body, now)

    def _awake(self, car: int) -> None:
        # The cloud wakes every car that is plugged in while it is being built, when there is nobody dozing yet.
        if hasattr(self, "_dozing"):
            self._dozing[car] = False
        super()._awake(car)

    def _rearm(self) -> None:
        rates = dict.fromkeys(self._armed, 1.0)
        self.chance = Armed(self._seed, rates, self._armed, self._forms, self.world.now_s)
        self.fault_state = FaultState(self.chance, self.fleet, self.ledger)

    def doze(self, car: int) -> None:
        """The car falls asleep now."""
        self._dozing[car] = self.asleep[car] = True

    def sleep_deeply(self, car: int) -> None:
        """The car falls asleep for good now."""
        self.fault_state.rest(np.arange(len(self.fleet.refs)) == car)

    def unplug(self, car: int) -> None:
        """The cable is pulled now."""
        self.world.plugged[car] = False
        self.plug_changed(car)

    def take_over(self, car: int, choice: DriverChoice) -> None:
        """The driver decides now."""
        self.drivers.choose(car, choice, self.world.now_s, self.drivers.departs_s(car))

    def tire(self, car: int) -> None:
        """The car has been stopped as often as it bears."""
        for _ in range(table.BLOCKS_AFTER):
            self.fault_state.blocks(car, stops=True)


_DEEDS: Mapping[str, Callable[[StagedCloud, int], None]] = {
    "asleep": StagedCloud.doze,
    "deep_sleep": StagedCloud.sleep_deeply,
    "unplugged": StagedCloud.unplug,
    "override": functools.partial(StagedCloud.take_over, choice=DriverChoice.BOOST),
    "opt_out": functools.partial(StagedCloud.take_over, choice=DriverChoice.OPT_OUT),
    "blocks_after_stops": StagedCloud.tire,
}
