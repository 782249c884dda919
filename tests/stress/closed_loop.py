"""The closed loop: true cars told to the shipped engine every five minutes, and what the engine orders done to them.

The engine is `FleetState` and `ZoneController` as an adapter runs them; it knows enrolments, capabilities, readings and
OpenADR events, and nothing else. Its steps go through its own registry to a perfect cloud, which takes every order at
once and carries it out from its start instant to its end, to the second. A car that holds no order charges by itself to
its driver's target. A cable that goes in is told, and planned for, before the car draws anything; so it shows no power.
"""

import collections
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
from stress.told import ZONE, capabilities, enrolments, events
from stress.truth import DAY_S, HOUR_S, NIGHTS, NOON_S, STEP_S, Floats, TrueCars, is_cheap

from ven_adapters.contract import (
    Ack,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectiveState,
    Known,
    Reading,
    Snapshot,
)
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.zone_control import ControlSettings, ZoneController
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.reconcile import Do, Step
from ven_adapters.ven.planning.charging_need import PlanSettings

LEAD_S = 300.0
WINDOWS = 4
IDLE_EVERY_S = 900.0
STEPS_PER_DAY = int(DAY_S / STEP_S)
FULL_WITHIN_PCT = 1e-6


@dataclasses.dataclass(slots=True)
class NightBooks:
    """What happened, per night and car: level on leaving, kWh drawn off-peak and in all, lowest level while giving."""

    left_pct: Floats
    cheap_kwh: Floats
    drawn_kwh: Floats
    given_kwh: Floats
    lowest_pct: Floats

    @classmethod
    def empty(cls, count: int) -> "NightBooks":
        shape = (NIGHTS, count)
        return cls(np.full(shape, np.nan), *(np.zeros(shape) for _ in range(3)), np.full(shape, np.inf))


class PerfectCloud:
    """Orders by car, oldest first; a newer one replaces the older ones when it starts, and none of them comes back."""

    def __init__(self, count: int) -> None:
        self._held: list[list[Directive]] = [[] for _ in range(count)]
        self._start_s = np.full((count, WINDOWS), np.inf)
        self._end_s = np.full((count, WINDOWS), -np.inf)
        self._kw = np.full((count, WINDOWS), np.nan)

    def submit(self, car: int, order: Directive, now: datetime) -> None:
        """Take an order; those that can never count again are forgotten."""
        kept = [one for one in self._held[car] if one.start < max(order.start, now) and one.end > now]
        self._put(car, [*kept, order][-WINDOWS:])

    def cancel(self, car: int, directive_id: str) -> None:
        """Forget an order."""
        self._put(car, [one for one in self._held[car] if one.directive_id != directive_id])

    def _put(self, car: int, orders: list[Directive]) -> None:
        self._held[car] = orders
        self._start_s[car], self._end_s[car], self._kw[car] = np.inf, -np.inf, np.nan
        for place, one in enumerate(orders):
            self._start_s[car, place], self._end_s[car, place] = one.start.timestamp(), one.end.timestamp()
            self._kw[car, place] = _ordered_kw(one)

    def seconds(self, from_s: float, to_s: float) -> tuple[Floats, Floats]:
        """(cars, WINDOWS) seconds of a stretch that each order governs, and its signed kW; NaN where it asks none."""
        later_s = np.minimum.accumulate(self._start_s[:, ::-1], axis=1)[:, ::-1]
        replaced_s = np.concatenate([later_s[:, 1:], np.full((len(later_s), 1), np.inf)], axis=1)
        end_s = np.minimum(np.minimum(self._end_s, replaced_s), to_s)
        return np.maximum(0.0, end_s - np.maximum(self._start_s, from_s)), self._kw

    def kw_at(self, at_s: float) -> Floats:
        """What the order in force just before an instant asks; NaN for free charging."""
        seconds, kw = self.seconds(at_s - 1.0, at_s)
        place = np.argmax(seconds, axis=1)[:, None]
        return np.where(seconds.max(axis=1) > 0, np.take_along_axis(kw, place, axis=1)[:, 0], np.nan)


def _ordered_kw(order: Directive) -> float:
    if order.kind is DirectiveKind.CURTAIL:
        return 0.0
    return np.nan if order.kind in (DirectiveKind.CHARGE, DirectiveKind.RELEASE) else (order.power_w or 0) / 1000


class ClosedLoop:
    """One cell over its nights; `run` gives the books."""

    def __init__(self, cars: TrueCars, settings: PlanSettings, seed: int) -> None:
        self._cars = cars
        self._refs = [f"car-{seed}-{number}" for number in range(len(cars))]
        self._place = {ref: place for place, ref in enumerate(self._refs)}
        self._engine = FleetState(NOON_S, {}, 1)
        self._engine.enrol(enrolments(cars, self._refs), datetime.fromtimestamp(NOON_S, UTC))
        self._engine.learn(capabilities(cars, self._refs))
        self._controller = ZoneController(self._engine, ControlSettings(settings, str(seed), LEAD_S))
        self._events = events(cars)
        self._cloud = PerfectCloud(len(cars))
        count = len(cars)
        self._level_pct, self._plugged = np.full(count, np.nan), np.zeros(count, dtype=np.bool_)
        self._told_s, self._told_state = (
            np.full(count, -np.inf),
            np.full(count, ChargeState.UNPLUGGED.value, dtype="U24"),
        )
        self._session_kwh, self._exported_kwh = np.zeros(count), np.zeros(count)
        self._unheard: collections.deque[tuple[float, list[Snapshot]]] = collections.deque()
        self.books = NightBooks.empty(count)

    def run(self) -> NightBooks:
        """All nights, step by step."""
        for step in range(NIGHTS * STEPS_PER_DAY):
            now_s, night = NOON_S + step * STEP_S, step // STEPS_PER_DAY
            left, arrived = self._turn(now_s, night)
            if not (self._plugged.any() or left.any() or self._unheard):
                continue
            self._tell(now_s, arrived)
            self._steer(datetime.fromtimestamp(now_s, UTC))
            self._charge(now_s, night)
        return self.books

    # --- the engine's side ----------------------------------------------------------------------------------------

    def _steer(self, now: datetime) -> None:
        """A cycle as the control loop runs it: time passes, the zone is planned, every step goes out."""
        self._engine.registry.age(now)
        for ref, step in self._controller.steer(ZONE, self._events, now).steps:
            self._carry_out(ref, step, now)

    def _carry_out(self, ref: str, step: Step, now: datetime) -> None:
        """What the dispatcher does with a step when every call succeeds at once."""
        registry, target = self._engine.registry, step.target
        registry.put(ref, step.car, step.ended)
        if target is None or step.do is Do.NOTHING:
            return
        order = target.directive
        if step.do is Do.SUBMIT:
            registry.taken_up(ref, target, now)
            if (order.power_w or 0) < 0 and order.origin is not None:
                self._engine.exports.begin_for(ref, order.origin.event_id, now)
            ack = Ack(order.directive_id, DirectiveState.ACCEPTED)
            registry.outcome(ref, order.directive_id, lambda held: lifecycle.apply_ack(held, ack, now), now)
            self._cloud.submit(self._place[ref], order, now)
        elif step.do is Do.CANCEL:
            registry.ending(ref, target, now)
            self._cloud.cancel(self._place[ref], order.directive_id)
            registry.cancelled(ref, target, now)
        else:
            raise AssertionError("a cloud that answers every call leaves nothing in doubt")

    # --- the cars' side -------------------------------------------------------------------------------------------

    def _turn(self, now_s: float, night: int) -> tuple[Floats, Floats]:
        """Cars that leave and cars that come at this instant."""
        cars = self._cars
        left = self._plugged & (cars.left_s[night] == now_s)
        self.books.left_pct[night, left] = self._level_pct[left]
        arrived = cars.arrival_s[night] == now_s
        self._level_pct[arrived] = cars.arrival_pct[night, arrived]
        self._session_kwh[arrived] = 0.0
        self._plugged = (self._plugged & ~left) | arrived
        return left, arrived

    def _tell(self, now_s: float, arrived: Floats) -> None:
        """Readings, told to the engine when they are old enough.

        A car that gives or takes power, or turned to something else, tells so every five minutes; one that stays idle
        every quarter of an hour; one that drives nothing.
        """
        at = datetime.fromtimestamp(now_s, UTC)
        heard = at + timedelta(seconds=self._cars.cell.age_s)
        states, kw = self._doing(now_s, arrived)
        often = (kw != 0) | (states != self._told_state) | self._cars.cell.gives
        speaks = np.where(self._plugged, often | (now_s - self._told_s >= IDLE_EVERY_S), states != self._told_state)
        self._told_s[speaks], self._told_state[speaks] = now_s, states[speaks]
        snapshots = list(self._snapshots(np.flatnonzero(speaks), (states, 1000 * kw), at, heard))
        self._unheard.append((heard.timestamp(), snapshots))
        while self._unheard and self._unheard[0][0] <= now_s:
            self._engine.observe(self._unheard.popleft()[1], at)

    def _snapshots(
        self, speaks: Floats, doing: tuple[Floats, Floats], at: datetime, heard: datetime
    ) -> Iterator[Snapshot]:
        def of(value):
            return Reading(value, at, heard)

        gives, yes, no = self._cars.cell.gives, of(Known.YES), of(Known.NO)
        shared = {state.value: of(state) for state in ChargeState}
        told_pct = self._cars.cell.told_pct(self._level_pct)
        columns = (told_pct, *doing, 1000 * self._session_kwh, 1000 * self._exported_kwh)
        of_cars = zip(speaks.tolist(), *(column[speaks].tolist() for column in columns), strict=True)
        for place, level_pct, state, power_w, added_wh, exported_wh in of_cars:
            if state == ChargeState.UNPLUGGED:
                yield Snapshot(self._refs[place], plugged=no, at_site=no, charge_state=shared[state], power_w=of(0.0))
                continue
            yield Snapshot(
                self._refs[place],
                soc_pct=of(level_pct),
                plugged=yes,
                at_site=yes,
                charge_state=shared[state],
                power_w=of(power_w),
                energy_added_wh=of(added_wh),
                energy_exported_wh=of(exported_wh) if gives else None,
            )

    def _doing(self, at_s: float, arrived: Floats) -> tuple[Floats, Floats]:
        """What every car did just before an instant, and its kW."""
        cars, ordered_kw = self._cars, self._cloud.kw_at(at_s)
        full = self._level_pct >= cars.target_pct - FULL_WITHIN_PCT
        free_kw = np.where(full, 0.0, cars.power_kw * cars.curve.share(self._level_pct))
        kw = np.where(np.isnan(ordered_kw), free_kw, np.minimum(ordered_kw, free_kw))
        kw = np.where(arrived | ~self._plugged, 0.0, kw)
        states = {
            ChargeState.UNPLUGGED: ~self._plugged,
            ChargeState.STOPPED: arrived,
            ChargeState.DISCHARGING: kw < 0,
            ChargeState.CHARGING: kw > 0,
            ChargeState.COMPLETE: full,
            ChargeState.PAUSED_BY_DIRECTIVE: ordered_kw == 0,
        }
        return np.select(list(states.values()), [one.value for one in states], ChargeState.STOPPED.value), kw

    def _charge(self, now_s: float, night: int) -> None:
        """Five minutes of every plugged car: free charging in what no order governs, then order by order."""
        cars, books, plugged = self._cars, self.books, self._plugged
        seconds, kw = self._cloud.seconds(now_s, now_s + STEP_S)
        free = np.isnan(kw)
        seconds = np.where(plugged[:, None], seconds, 0.0)
        before = np.where(plugged, self._level_pct, 0.0)
        level = cars.charged_pct(before, np.where(plugged, STEP_S, 0.0) - np.where(free, 0.0, seconds).sum(axis=1))
        gained_pct, given_kwh = level - before, np.zeros(len(cars))
        moves = (seconds > 0) & ~free & (kw != 0)
        for place in np.flatnonzero(moves.any(axis=0)).tolist():
            ordered_kw = np.where(moves[:, place], kw[:, place], 0.0)
            charged = cars.charged_pct(level, seconds[:, place], np.maximum(0.0, ordered_kw))
            gained_pct += charged - level
            gives_kwh = np.where(charged > 0, np.maximum(0.0, -ordered_kw) * seconds[:, place] / HOUR_S, 0.0)
            given_kwh += gives_kwh
            level = cars.given_pct(charged, gives_kwh)
        drawn_kwh = gained_pct * cars.kwh_per_pct
        self._level_pct = np.where(plugged, level, self._level_pct)
        self._session_kwh += drawn_kwh
        self._exported_kwh += given_kwh
        books.drawn_kwh[night] += drawn_kwh
        books.given_kwh[night] += given_kwh
        books.cheap_kwh[night] += drawn_kwh if is_cheap(now_s) else 0.0
        books.lowest_pct[night] = np.where(
            given_kwh > 0, np.minimum(books.lowest_pct[night], level), books.lowest_pct[night]
        )
