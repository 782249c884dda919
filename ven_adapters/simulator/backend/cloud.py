"""An automaker's own backend: it keeps directives, makes cars obey them, and gives every car back to its driver.

A directive travels to the car as one window with its own end, so no car outlives its directive, whatever happens to the
network. A newer directive for the same car replaces an older one when it begins. A discharge stops where the directive
itself bounds it, by energy or by the level that the car tells, and nowhere else: whatever else a battery must keep is
its caller's affair. Time comes as an argument. Nothing here knows of HTTP.
"""

import functools
import math
from datetime import datetime

import numpy as np

from ven_adapters.contract import (
    Ack,
    BackendError,
    BackendEvent,
    Capability,
    DirectivesChanged,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Rung,
    Setting,
)
from ven_adapters.simulator.backend.directive_records import SimulatedDirective, SimulatedDirectives, status_of
from ven_adapters.simulator.backend.order_checks import Circumstances, refusal
from ven_adapters.simulator.cars.car_models import CONTROLS, MODELS, Numbers, capability
from ven_adapters.simulator.cars.drivers import Drivers
from ven_adapters.simulator.cars.enrolment import missing_paper
from ven_adapters.simulator.cars.fleets import SimulatedFleet, control_of, resumes
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.cars.world import World
from ven_adapters.simulator.faults import table
from ven_adapters.simulator.faults.command_faults import Hold, Taken
from ven_adapters.simulator.faults.fault_draws import Chance, Rates, minute_of
from ven_adapters.simulator.faults.fault_state import FaultState
from ven_adapters.transport.fallback_ladder import whole_hours
from ven_adapters.transport.http.codec import Order

CANCEL_RANK, END_RANK, BEGIN_RANK = 0, 1, 2


class Cloud:
    """The backend of one fleet; `outbox` fills with what is to be pushed."""

    def __init__(self, fleet: SimulatedFleet, seed: int, rates: Rates, ledger: GroundTruth) -> None:
        cars = len(fleet.refs)
        self.fleet, self.world, self.ledger = fleet, World(fleet, ledger), ledger
        self.outbox: list[BackendEvent] = []
        self.asleep = np.zeros(cars, bool)
        self.chance = Chance(seed, rates)
        self.fault_state = FaultState(self.chance, fleet, ledger)
        self._number = {ref: car for car, ref in enumerate(fleet.refs)}
        self._resumes = resumes(fleet) & ~self.fault_state.once
        self._stranded = np.zeros(cars, bool)
        self._unplugged_s = np.full(cars, -np.inf)
        self._directives = SimulatedDirectives(cars)
        self._current: list[SimulatedDirective | None] = [None] * cars
        self._changed: dict[int, SimulatedDirective] = {}
        self.drivers = Drivers(self.world, ledger, self, self.outbox.append)

    def car(self, ref: str) -> int:
        """The column of a car; INVALID_REQUEST when the backend does not know it."""
        if ref not in self._number:
            raise BackendError(ErrorCode.INVALID_REQUEST, "vehicle_ref: is not enrolled here")
        return self._number[ref]

    def capability(self, car: int) -> Capability:
        """What a car can do."""
        fleet = self.fleet
        numbers = Numbers(int(fleet.max_a[car]), int(fleet.voltage_v[car]), int(fleet.max_discharge_w[car]))
        sound = capability(MODELS[fleet.brand][fleet.model[car]], CONTROLS[control_of(fleet, car)], numbers)
        return self.fault_state.capability(car, sound)

    def held(self, car: int) -> bool:
        """True while a directive is in force on a car."""
        return self._current[car] is not None

    def advance(self, now: datetime) -> None:
        """Let the cars live until `now`; what they and their drivers did goes to the outbox."""
        self.world.advance(self.world.seconds(now))
        idle_s = self.world.now_s - self.world.idle_since_s
        idle = idle_s > table.SLEEPS_AFTER_S
        self.asleep = self.fleet.fates.sleeper & idle
        self.fault_state.rest(idle)
        if self._changed:
            now_s = self.world.now_s
            told = [one for one in self._changed.values() if not self.fault_state.silent(one.car, now_s)]
            self.outbox.append(DirectivesChanged(tuple(map(self._status, told))))
            self._changed = {}

    def submit(self, car: int, order: Order, body: bytes, now: datetime) -> Ack:
        """Take a directive, or raise why not. The same key and body gets its first record's answer."""
        found = self._directives.seen(order, body)
        if found is not None:
            return found.ack()
        now_s = self.world.seconds(now)
        gone_s = 0.0 if self.world.plugged[car] else now_s - self._unplugged_s[car]
        self.ledger.asked(car, order.directive.kind, now_s, gone_s=gone_s)
        try:
            self._admit(car, order, now)
        except BackendError as error:
            self.ledger.refused(error.code)
            raise
        return self._accept(car, order, body, now).ack()

    def cancel(self, car: int, directive_id: str, now: datetime) -> tuple[Ack, bool]:
        """End a directive; the answer and whether the car has already let go."""
        record = self._directives.get(car, directive_id)
        if record.state is DirectiveState.ACCEPTED:
            self._move(record, DirectiveState.CANCELLED)
        elif not record.final:
            now_s = self.world.seconds(now)
            at_s = now_s + self.chance.latency_s(f"cancel/{minute_of(self.fleet.refs[car], now_s)}")
            self.world.at(at_s, car, functools.partial(self._end, record, DirectiveState.CANCELLED), rank=CANCEL_RANK)
        return record.ack(), record.final

    def status(self, car: int, directive_id: str) -> DirectiveStatus:
        """Where a directive stands."""
        return self._status(self._directives.get(car, directive_id))

    def wake(self, car: int, now: datetime) -> float:
        """Call a sleeping car; the seconds until it can be reached."""
        now_s = self.world.seconds(now)
        wait_s = self.chance.wake_s(minute_of(self.fleet.refs[car], now_s))
        self.ledger.met("asleep", car)
        self.world.at(now_s + wait_s, car, functools.partial(self._awake, car))
        return wait_s

    def read(self, car: int, now: datetime) -> None:
        """A reading is taken from the car itself."""
        if not self.world.plugged[car]:
            self.fault_state.read(car, self.world.seconds(now))

    def plug_changed(self, car: int) -> None:
        """A cable went in or out: a directive in force is interrupted, or taken up again within its window."""
        self._awake(car)
        self._stranded[car] = False
        self.fault_state.touched(car)
        self._unplugged_s[car] = self.world.time_of(car)
        record = self._current[car]
        if record is None:
            self._hand_back(car)
        elif self.world.plugged[car]:
            if self.fault_state.forgets(car, record.order.setting):
                self._hand_back(car)
            self._move(record, DirectiveState.IN_FORCE)
        else:
            self._move(record, DirectiveState.INTERRUPTED, ErrorCode.NOT_PLUGGED)

    def driver_took_over(self, car: int) -> None:
        """Whatever holds the car, or is on its way to it, gives way to the driver."""
        for record in (*self._directives.pending(car), self._current[car]):
            if record is not None:
                self._move(record, DirectiveState.OVERRIDDEN, ErrorCode.USER_OVERRIDE)
        self._current[car] = None
        self._stranded[car] = False
        self._hand_back(car)

    def _admit(self, car: int, order: Order, now: datetime) -> None:
        error = refusal(self._circumstances(car, now), order)
        if error is not None and error.code is ErrorCode.ASLEEP:
            raise BackendError(error.code, error.detail, retry_after_s=math.ceil(self.wake(car, now)))
        if error is not None:
            raise error

    def _circumstances(self, car: int, now: datetime) -> Circumstances:
        world, fleet = self.world, self.fleet
        ready_s = self.drivers.ready_by_s(car)
        return Circumstances(
            now=now,
            capability=self.capability(car),
            home=bool(world.home[car]) and not self.fault_state.elsewhere[car],
            plugged=bool(world.plugged[car]),
            asleep=bool(self.asleep[car]),
            out_of_reach=self.fault_state.out_of_reach(car),
            opted_out=bool(fleet.opted_out[car]),
            driver_busy=self.drivers.busy(car, world.seconds(now)),
            lacks=missing_paper(fleet, car),
            unguarded=bool(self.fault_state.unguarded[car]),
            export_limit_w=float(fleet.export_limit_w[car]),
            told_pct=self._told_pct(car),
            target_pct=float(fleet.target_pct[car]),
            departs=now if ready_s == math.inf else world.instant(ready_s),
        )

    def _told_pct(self, car: int) -> float:
        """The level that the car tells now."""
        one = np.array([car])
        true_pct = 100.0 * self.world.soc_wh[one] / self.world.packs.usable_wh[one]
        return float(self.fleet.truth.told_pct(true_pct, one)[0])

    def _accept(self, car: int, order: Order, body: bytes, now: datetime) -> SimulatedDirective:
        directive, seconds = order.directive, self.world.seconds
        what = minute_of(self.fleet.refs[car], seconds(now))
        lands_s = seconds(now) + self.chance.latency_s(what)
        for name, shows in (
            ("delayed", self.chance.delayed(what)),
            ("unguarded_discharge", self.fault_state.unguarded[car] and (order.setting.power_w or 0) < 0),
        ):
            if shows:
                self.ledger.met(name, car)
        begins, ends = directive.start, directive.end
        if order.setting.rung is Rung.SCHEDULE and order.setting.power_w == 0:
            begins, ends = whole_hours(begins, ends) or (begins, ends)
        record = SimulatedDirective(order, body, car, max(seconds(begins), lands_s), seconds(ends))
        self._replace(record, seconds(now))
        self._directives.add(record)
        if lands_s > seconds(directive.not_after) or record.begins_s >= record.ends_s:
            expires = functools.partial(self._end, record, DirectiveState.EXPIRED)
            self.world.at(seconds(directive.not_after), car, expires, rank=END_RANK)
            return record
        self.world.at(record.begins_s, car, functools.partial(self._begin, record), rank=BEGIN_RANK)
        self.world.at(record.ends_s, car, functools.partial(self._end, record, DirectiveState.RELEASED), rank=END_RANK)
        return record

    def _replace(self, newer: SimulatedDirective, now_s: float) -> None:
        """Older directives that have not begun give way, unless their time comes before the newer one's."""
        for older in self._directives.pending(newer.car):
            named = older.order.directive.directive_id == newer.order.directive.supersedes
            if named or older.order.directive.start >= newer.order.directive.start or older.begins_s <= now_s:
                self._move(older, DirectiveState.SUPERSEDED)

    def _begin(self, record: SimulatedDirective) -> None:
        car = record.car
        if record.final:
            return
        if not self.world.plugged[car]:
            self._move(record, DirectiveState.EXPIRED, ErrorCode.NOT_PLUGGED)
            return
        older = self._current[car]
        if older is not None:
            self._move(older, DirectiveState.SUPERSEDED)
        self._current[car], record.began = record, True
        self._obey(record)
        self._move(record, DirectiveState.IN_FORCE)
        self.ledger.began(car, self.world.time_of(car))
        if self.world.limit_w[car] < math.inf or self.world.ceiling_wh[car] < self.world.target_wh[car]:
            self.drivers.held_back(car)

    def _obey(self, record: SimulatedDirective) -> None:
        """Put the setting on the car, as far as the car takes it."""
        world, car, setting = self.world, record.car, record.order.setting
        asked = self._asked(record)
        stops = world.power_w[car] > 0.0 and asked.limit_w <= 0.0
        held = self._taken(car, setting, asked)
        if setting.rung is Rung.PAUSE and not self._resumes[car]:
            self._stranded[car] = True
        self._stranded[car] |= self.fault_state.blocks(car, stops=bool(stops))
        world.hold(car, 0.0 if self._stranded[car] else held.limit_w, held.ceiling_wh, held.floor_wh)
        wait_s = self.fault_state.restarts_after_s(car, asked, float(world.target_wh[car]), world.time_of(car))
        if wait_s is not None:
            self.world.at(world.time_of(car) + wait_s, car, functools.partial(self._restart, record))

    def _asked(self, record: SimulatedDirective) -> Hold:
        """What a directive asks; a discharge ends with its energy, or once the car tells less than its reserve."""
        world, car, directive, setting = self.world, record.car, record.order.directive, record.order.setting
        floor_pct = self.fleet.truth.least_pct(car, directive.reserve_soc_pct or 0.0)
        floor_wh = floor_pct / 100.0 * world.packs.usable_wh[car]
        if directive.max_energy_wh is not None:
            bound_wh = directive.max_energy_wh / world.packs.discharge_efficiency[car]
            floor_wh = max(floor_wh, world.soc_wh[car] - bound_wh)
        ceiling_wh, limit_w = world.target_wh[car], math.inf
        if setting.rung is Rung.TARGET_LEVEL and setting.limit_soc_pct is not None:
            ceiling_wh = setting.limit_soc_pct / 100.0 * world.packs.usable_wh[car]
        elif setting.rung is not Rung.RESUME and setting.power_w is not None:
            limit_w = float(setting.power_w)
        return Hold(limit_w, float(ceiling_wh), float(floor_wh))

    def _taken(self, car: int, setting: Setting, asked: Hold) -> Hold:
        """What the car makes of a setting."""
        world = self.world
        before = Hold(float(world.limit_w[car]), float(world.ceiling_wh[car]), float(world.floor_wh[car]))
        number = self.fault_state.sends(car, setting)
        told = Taken(setting, asked, before, float(world.target_wh[car]), float(world.packs.min_charge_w[car]), number)
        return self.fault_state.taken(car, told, world.time_of(car))

    def _restart(self, record: SimulatedDirective) -> None:
        """The car charges again by itself; its backend goes on believing."""
        if self._current[record.car] is record and not record.final:
            self.ledger.met("restarts_itself", record.car)
            self._hand_back(record.car)

    def _end(self, record: SimulatedDirective, state: DirectiveState) -> None:
        if record.final:
            return
        if self._current[record.car] is record:
            self._current[record.car] = None
            self._hand_back(record.car)
        elif state is DirectiveState.RELEASED:
            state = DirectiveState.EXPIRED
        self._move(record, state)

    def _hand_back(self, car: int) -> None:
        self.world.hand_back(car)
        if self._stranded[car]:
            self.world.limit_w[car] = 0.0

    def _awake(self, car: int) -> None:
        self.asleep[car] = False
        self.world.idle_since_s[car] = self.world.time_of(car)

    def _move(self, record: SimulatedDirective, state: DirectiveState, error: ErrorCode | None = None) -> None:
        record.state, record.error = state, error
        record.observed_s = self.world.time_of(record.car)
        self._changed[id(record)] = record
        self.ledger.reached(state.value)

    def _status(self, record: SimulatedDirective) -> DirectiveStatus:
        observed_s = record.observed_s
        return status_of(record, None if observed_s is None else self.world.instant(observed_s))
