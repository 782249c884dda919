"""Cars behind a vendor that takes single commands: stop, start, a current, a level to stop at; no windows, no end.

A command stands until the next one, until the cable moves, or until the driver takes over; nobody takes it back when
its sender is gone. It travels to the car as every directive here does, with the same latency and the same faults, and
commands of one car arrive in the order in which they were taken. The vendor itself refuses next to nothing: reserve,
readiness and consent are its callers' affair. Knows no vendor.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np

from ven_adapters.contract import Directive, DirectiveKind, DirectiveState, Rung, Setting
from ven_adapters.simulator.backend.cloud import BEGIN_RANK, Cloud
from ven_adapters.simulator.backend.directive_records import SimulatedDirective
from ven_adapters.simulator.cars.car_models import MIN_CURRENT_A
from ven_adapters.simulator.cars.fleets import SimulatedFleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults.command_faults import PHASES, Hold
from ven_adapters.simulator.faults.fault_draws import Rates
from ven_adapters.simulator.staged import StagedCloud
from ven_adapters.transport.http.codec import Order

FOR_GOOD = timedelta(days=60)
IDLE_W = 1.0
AFTER_S = 0.001
LEAST_A = 5


@dataclasses.dataclass(frozen=True, slots=True)
class CommandedState:
    """How a car was last told to stand; None is as its driver has it: the most current, the driver's own level."""

    stopped: bool = False
    current_a: int | None = None
    limit_pct: float | None = None


class Commands(Cloud):
    """The cloud of one vendor. Currents are per phase, `phases` of them at every car's supply."""

    phases = 1

    def __init__(self, fleet: SimulatedFleet, seed: int, rates: Rates, ledger: GroundTruth) -> None:
        self._wishes = [CommandedState()] * len(fleet.refs)
        self._amps = fleet.max_a.astype(np.int64).copy()
        self._numbers = itertools.count(1)
        super().__init__(fleet, seed, rates, ledger)
        packs = self.world.packs
        self.world.packs = dataclasses.replace(packs, min_charge_w=packs.min_charge_w * LEAST_A / MIN_CURRENT_A)

    def wish(self, car: int) -> CommandedState:
        """How the car was last told to stand."""
        return self._wishes[car]

    def current_a(self, car: int) -> int:
        """The current per phase that the car itself holds to."""
        return int(self._amps[car])

    def drawing(self, car: int) -> bool:
        """Whether the vendor takes the car to charge: what is on its way counts as done."""
        pending = self._directives.pending(car)
        if pending:
            return pending[-1].order.setting.rung is not Rung.PAUSE
        return bool(self.world.power_w[car] > IDLE_W)

    def full(self, car: int) -> bool:
        """Whether the car has reached the level at which it stops."""
        return bool(self.world.soc_wh[car] >= self.world.ceiling_wh[car] - IDLE_W)

    def tell(self, car: int, wish: CommandedState, now: datetime) -> SimulatedDirective:
        """Take one command and send it to the car; nothing is refused."""
        setting = self._setting(car, wish)
        kind = _KINDS[setting.rung]
        name = f"cmd-{next(self._numbers)}"
        until = now + FOR_GOOD
        directive = Directive(name, name, self.fleet.refs[car], kind, now, until, until, setting.power_w)
        self._wishes[car] = wish
        self.ledger.asked(car, kind, self.world.seconds(now), gone_s=0.0)
        return self._accept(car, Order(directive, setting), b"", now)

    def obeyed(self, record: SimulatedDirective) -> bool:
        """Whether the car does what the command says, by what flows."""
        drawing = bool(self.world.power_w[record.car] > IDLE_W)
        paused = record.order.setting.rung is Rung.PAUSE
        return record.began and (drawing is not paused or self.full(record.car))

    def forget(self, car: int) -> None:
        """Nothing that was told stands any more."""
        for record in (*self._directives.pending(car), self._current[car]):
            if record is not None:
                self._move(record, DirectiveState.RELEASED)
        self._current[car] = None
        self._as_found(car)

    def held(self, car: int) -> bool:
        """True while a command keeps the car from charging as its driver set it."""
        record = self._current[car]
        return record is not None and record.order.setting.rung is not Rung.RESUME

    def plug_changed(self, car: int) -> None:
        """Commands do not outlive the cable."""
        self.forget(car)
        super().plug_changed(car)

    def _setting(self, car: int, wish: CommandedState) -> Setting:
        if wish.stopped:
            return Setting(Rung.PAUSE, 0, limit_soc_pct=wish.limit_pct)
        if wish.current_a is not None and wish.current_a < self.fleet.max_a[car]:
            watts = wish.current_a * int(self.fleet.voltage_v[car]) * self.phases
            return Setting(Rung.CURRENT, watts, wish.current_a, wish.limit_pct)
        if wish.limit_pct is not None:
            return Setting(Rung.TARGET_LEVEL, limit_soc_pct=wish.limit_pct)
        return Setting(Rung.RESUME)

    def _begin(self, record: SimulatedDirective) -> None:
        """A command begins after those that were taken before it."""
        pending = self._directives.pending(record.car)
        if record in pending and pending[0] is not record:
            later_s = max(pending[0].begins_s, self.world.time_of(record.car)) + AFTER_S
            self.world.at(later_s, record.car, functools.partial(self._begin, record), rank=BEGIN_RANK)
            return
        super()._begin(record)

    def _asked(self, record: SimulatedDirective) -> Hold:
        hold, level = super()._asked(record), record.order.setting.limit_soc_pct
        if level is None:
            return hold
        return dataclasses.replace(hold, ceiling_wh=float(level / 100.0 * self.world.packs.usable_wh[record.car]))

    def _obey(self, record: SimulatedDirective) -> None:
        super()._obey(record)
        car, limit_w = record.car, float(self.world.limit_w[record.car])
        if limit_w == np.inf:
            self._amps[car] = self.fleet.max_a[car]
        elif limit_w > 0.0:
            thrice = PHASES if self.chance.car("three_phase", self.fleet.refs[car]) else 1
            self._amps[car] = round(limit_w / (self.fleet.voltage_v[car] * self.phases * thrice))

    def _hand_back(self, car: int) -> None:
        super()._hand_back(car)
        self._as_found(car)

    def _as_found(self, car: int) -> None:
        self._wishes[car], self._amps[car] = CommandedState(), self.fleet.max_a[car]


class StagedCommands(StagedCloud, Commands):
    """The same for judging adapters."""

    def __init__(self, fleet: SimulatedFleet, seed: int, ledger: GroundTruth, woke: Callable[[int], None]) -> None:
        super().__init__(fleet, seed, ledger, woke)

    def restore(self, ref: str) -> None:
        """Put a car right, and forget what was told it."""
        super().restore(ref)
        self._as_found(self.car(ref))


_KINDS = {
    Rung.PAUSE: DirectiveKind.CURTAIL,
    Rung.CURRENT: DirectiveKind.CAP,
    Rung.TARGET_LEVEL: DirectiveKind.CHARGE,
    Rung.RESUME: DirectiveKind.CHARGE,
}
