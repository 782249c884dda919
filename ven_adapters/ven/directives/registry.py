"""Every car's directives, in memory: what is held, what ended, what the store and the account must hear of.

The one mutable place between the pure rules of `reconcile` and the shells that call backends. No I/O.
"""

import collections
import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ven_adapters.contract import (
    BackendError,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    OnEnd,
    Snapshot,
)
from ven_adapters.ven.directives import history, lifecycle
from ven_adapters.ven.directives.car_directives import (
    CarDirectives,
    CommandBlock,
    apply_outcome,
    apply_time,
    block_after,
    cancel_directive,
    count_switch,
    current_direction,
    event_of,
    replace_directive,
    unblocked,
    with_wear,
    with_wear_since,
)
from ven_adapters.ven.directives.directive_rows import held_of, values_of
from ven_adapters.ven.directives.held_columns import HeldColumns
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
from ven_adapters.ven.directives.rung_powers import RungPowers
from ven_adapters.ven.fleet.car_faults import CarFaults
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.store.database import DirectiveRow, RowValues, WearRow, parse_at, print_at

T = TypeVar("T")

NOBODY = CarDirectives()
WATCHED_FOR = timedelta(hours=2)
MOST_UNTOLD = 100_000
_GIVEN_BACK = frozenset({DirectiveState.RELEASED, DirectiveState.CANCELLED})
_NOT_FOLLOWED = (DirectiveState.FAILED, DirectiveState.REJECTED, DirectiveState.OVERRIDDEN)
USUALLY_FOLLOWED, AS_MUCH_AS = 0.95, 20


class DirectiveRegistry:
    """Cars by name. Every directive that changes is noted for the store and counted by state.

    With a `fleet`, what its cars hold is kept beside it as columns too, in `columns`.
    """

    def __init__(self, fleet: FleetColumns | None = None, faults: CarFaults | None = None) -> None:
        self._cars: dict[str, CarDirectives] = {}
        self._faults = faults or CarFaults()
        self._fleet = fleet
        self.columns = HeldColumns()
        self._due: dict[int, dict[str, None]] = {}
        self._seconds: list[int] = []
        self._marks: dict[str, int] = {}
        self._pressing: dict[str, DirectiveRecord] = {}
        self._later: dict[str, DirectiveRecord] = {}
        self._history: list[RowValues] = []
        self._worn: dict[str, str] = {}
        self._unread: set[str] = set()
        self.given_back: dict[str, DirectiveRecord] = {}
        self._blocked: dict[str, None] = {}
        self.overridden: collections.deque[tuple[str, str]] = collections.deque(maxlen=MOST_UNTOLD)
        self.by_state: collections.Counter[DirectiveState] = collections.Counter()
        self.confirmed = 0
        self.achieved = RungPowers()

    def car(self, ref: str) -> CarDirectives:
        """A car; one that was never commanded holds nothing."""
        return self._cars.get(ref, NOBODY)

    def __iter__(self) -> Iterator[tuple[str, CarDirectives]]:
        return iter(self._cars.items())

    def put(self, ref: str, car: CarDirectives, changed: Iterable[DirectiveRecord] = ()) -> None:
        """The car as it is now, and the directives that changed with it."""
        self._keep(ref, car)
        for held in changed:
            self._note(held)

    def _keep(self, ref: str, car: CarDirectives) -> None:
        """The one write of a car: its columns follow, and it is looked at again when time will change something."""
        before, self._cars[ref] = self._cars.get(ref, NOBODY), car
        if car.blocks:
            self._blocked[ref] = None
        elif before.blocks:
            self._blocked.pop(ref, None)
        if car.flipped_at is not before.flipped_at or car.stops != before.stops:
            self._worn[ref] = ref
        self._put_in_columns(ref, car)
        due = next_change(car)
        if due is not None:
            self._look_again(ref, int(due.timestamp()))

    def _put_in_columns(self, ref: str, car: CarDirectives) -> None:
        row = self._fleet.find(ref) if self._fleet is not None else None
        if row is None or self._fleet is None:
            return
        self.columns.put(row, car.held)
        if car.flipped_at is not None:
            self._fleet.note_toggle(row, car.flipped_at, on=current_direction(car) > 0)

    def _look_again(self, ref: str, second: int) -> None:
        if second not in self._due:
            self._due[second] = {}
            heapq.heappush(self._seconds, second)
        self._due[second][ref] = None

    def _note(self, held: DirectiveRecord) -> None:
        """Have a directive stored as it is now, and its step added to the history when it is one."""
        key, mark = held.directive.directive_id, history.mark_of(held)
        known = self._marks.get(key)
        before = None if known is None else history.state_of(known)
        if before is not held.state:
            if before is not None:
                self.by_state[before] -= 1
            self.by_state[held.state] += 1
            self.confirmed += held.state is DirectiveState.IN_FORCE and before is not DirectiveState.INTERRUPTED
            if before is DirectiveState.REQUESTED:
                self.achieved.take(held)
            if held.state is DirectiveState.OVERRIDDEN and (event_id := event_of(held.directive.origin)):
                self.overridden.append((held.ref, event_id))
        self._noted_of(held)[key] = held
        if known != mark and (held.sent_at is not None or held.final):
            self._history.append(history.step(held, before))
        if held.final:
            self._marks.pop(key, None)
            self._watch(held)
        else:
            self._marks[key] = mark

    def _noted_of(self, held: DirectiveRecord) -> dict[str, DirectiveRecord]:
        """Where a directive waits for the store: what was taken may wait, for whoever starts anew reads its backend.

        That it is to be taken back may not: no backend knows that before it is told.
        """
        key, ending = held.directive.directive_id, held.ending_at is not None
        if key in self._pressing or held.final or ending or held.state is DirectiveState.REQUESTED:
            self._later.pop(key, None)
            return self._pressing
        return self._later

    @property
    def followed(self) -> float:
        """The share of directives that cars followed, 0 to 1; at first mostly what is usual."""
        refused = sum(self.by_state[state] for state in _NOT_FOLLOWED)
        return (self.confirmed + USUALLY_FOLLOWED * AS_MUCH_AS) / (self.confirmed + refused + AS_MUCH_AS)

    def _watch(self, held: DirectiveRecord) -> None:
        """See whether a car that was given back is set again as its driver had it."""
        restores = held.directive.on_end is OnEnd.RESTORE and held.before is not None
        if restores and held.state in _GIVEN_BACK and held.sent_at is not None:
            self.given_back[held.ref] = held

    def taken_up(self, ref: str, held: DirectiveRecord, now: datetime) -> DirectiveRecord:
        """The directive as it goes out; from here on only newer observations count."""
        out = lifecycle.mark_sent(held, now)
        self.put(ref, dataclasses.replace(self.car(ref), held=out), (out,))
        return out

    def unsent(self, ref: str, target: DirectiveRecord, now: datetime) -> None:
        """What was taken up did not leave: all is as before, and the next cycle decides anew."""
        car = self.car(ref)
        if car.held is None or car.held.directive.directive_id != target.directive.directive_id:
            self.call_failed(ref)
            return
        self._marks[target.directive.directive_id] = history.mark_of(target)
        self._history.append(history.unsent(target, now))
        self.put(ref, dataclasses.replace(car, held=target, sends=car.sends[:-1], calling=False), (target,))

    def woken(self, ref: str, directive_id: str, now: datetime) -> None:
        """The car is called out of its sleep for a directive."""
        car = self.car(ref)
        if car.held is not None and car.held.directive.directive_id == directive_id:
            held = dataclasses.replace(car.held, woken_at=now)
            self._history.append(history.woken(held, now))
            self.put(ref, dataclasses.replace(car, held=held), (held,))

    def ending(self, ref: str, target: DirectiveRecord, now: datetime) -> None:
        """It was decided to cancel a directive: whatever happens to us, it will be."""
        car = self.car(ref)
        held = car.held
        if held is None or held.directive.directive_id != target.directive.directive_id or held.ending_at is not None:
            return
        held = dataclasses.replace(held, ending_at=now)
        self._history.append(history.ending(held, now))
        self.put(ref, dataclasses.replace(car, held=held), (held,))

    def unread(self) -> list[str]:
        """Cars that an earlier life left with something of which nobody has asked the backend yet."""
        self._unread = {ref for ref in self._unread if (held := self.car(ref).held) is not None and held.unread}
        return sorted(self._unread)

    def outcome(
        self, ref: str, directive_id: str, step: Callable[[DirectiveRecord], DirectiveRecord], now: datetime
    ) -> DirectiveRecord | None:
        """A call for the car's directive came back; None when the directive ended meanwhile."""
        car = self.car(ref)
        held = car.held
        if held is None or held.directive.directive_id != directive_id:
            self.put(ref, dataclasses.replace(car, calling=False))
            return None
        after = step(held)
        self.put(ref, *apply_outcome(car, after, now))
        return after

    def cancelled(self, ref: str, target: DirectiveRecord, now: datetime) -> None:
        """The backend took a cancel."""
        self.put(ref, *cancel_directive(self.car(ref), target, now))

    def call_failed(self, ref: str) -> None:
        """A cancel or a read did not get through; the next cycle tries again."""
        self._keep(ref, dataclasses.replace(self.car(ref), calling=False))

    def observe(self, snapshot: Snapshot, now: datetime) -> DirectiveState | None:
        """Hold telemetry against what the car holds; the new state when it changed."""
        car = self._cars.get(snapshot.vehicle_ref)
        if car is None or car.held is None:
            return None
        held = lifecycle.apply_telemetry(car.held, snapshot, now)
        if held is car.held:
            return None
        if history.mark_of(held) != self._marks.get(held.directive.directive_id):
            self._note(held)
        self._keep(snapshot.vehicle_ref, replace_directive(car, held))
        return held.state if held.state is not car.held.state else None

    def seen_after(self, snapshot: Snapshot, now: datetime) -> None:
        """A reading of a car that was given back: once it is newer, how the car is set goes to the history."""
        held = self.given_back.get(snapshot.vehicle_ref)
        if held is None:
            return
        since = held.changed_at or held.directive.end
        after = lifecycle.settings_since(snapshot, since)
        if after is not None:
            self._history.append(history.restored(held, after, now))
        if after is not None or now - since > WATCHED_FOR or self.car(snapshot.vehicle_ref).held is not None:
            del self.given_back[snapshot.vehicle_ref]

    def told(self, status: DirectiveStatus, now: datetime) -> DirectiveState | None:
        """The backend's view of a directive; the new state when it changed."""
        car = self._cars.get(status.vehicle_ref)
        if car is None or car.held is None or car.held.directive.directive_id != status.directive_id:
            return None
        held = lifecycle.apply_status(car.held, status, now)
        if held is car.held:
            return None
        self.put(status.vehicle_ref, replace_directive(count_switch(car, held, now), held), (held,))
        return held.state

    def replugged(self, ref: str, now: datetime) -> None:
        """The cable is in again: blocks that waited for it are gone."""
        if ref in self._cars:
            self._keep(ref, unblocked(self._cars[ref], now, replugged=True))

    def age(self, now: datetime, most: int | None = None) -> bool:
        """Let time pass for the cars that it changes, at most so many of them; whether some are left."""
        found: list[str] = []
        second = int(now.timestamp())
        while self._seconds and self._seconds[0] <= second and (most is None or len(found) < most):
            found += self._due.pop(heapq.heappop(self._seconds))
        for ref in found[:most]:
            with self._faults.only(ref):
                self.present(ref, now)
        for ref in found[len(found) if most is None else most :]:
            self._look_again(ref, second)
        return bool(self._seconds and self._seconds[0] <= second)

    def present(self, ref: str, now: datetime) -> CarDirectives:
        """A car as it is at `now`, what time has ended being over."""
        car = self._cars.get(ref)
        if car is None:
            return NOBODY
        after, ended = apply_time(car, now)
        if after is not car or ended:
            self.put(ref, after, ended)
        elif (due := next_change(car)) is not None:
            self._look_again(ref, max(int(due.timestamp()), int(now.timestamp()) + 1))
        return after

    def drain(self, most: int | None = None) -> list[RowValues]:
        """Rows for the store: what changed since the last drain; of what may wait, at most so many of a kind."""
        pressing, self._pressing = self._pressing, {}
        history, self._history = self._history, []
        noted = [*pressing.values(), *_first(self._later, most)]
        wear = [_wear_of(ref, self.car(ref)) for ref in _first(self._worn, most)]
        rows = [RowValues(DirectiveRow, values_of(held)) for held in noted]
        return [*rows, *history, *(RowValues(WearRow, values) for values in wear)]

    def leave_alone(self, rows: Iterable[DirectiveRow], now: datetime) -> None:
        """Take up the overrides and refusals of an earlier run: a restart is no reason to ask again."""
        for row in rows:
            with self._faults.only(row.vehicle_ref):
                held = held_of(row)
                self._keep(held.ref, unblocked(block_after(self.car(held.ref), held), now))

    def leave_out(self, ref: str, event_id: str, until: datetime, now: datetime) -> bool:
        """A driver takes no part in one event; whether the car is held for it now."""
        car = self.car(ref)
        if not any(block.event_id == event_id and block.until >= until for block in car.blocks):
            block = CommandBlock(event_id, DirectiveState.OVERRIDDEN, until)
            told = {"event": event_id, "until": until}
            self._history.append(history.of_car(ref, history.LEFT_OUT, now, told))
            self._keep(ref, dataclasses.replace(car, blocks=(*car.blocks, block)))
        held = (*car.older, car.held)
        return any(one is not None and event_of(one.directive.origin) == event_id for one in held)

    def left_out(self, event_id: str) -> list[str]:
        """The cars whose drivers take no part in an event, or took over in it."""
        return [
            ref
            for ref in self._blocked
            if any(block.kind is None and block.event_id == event_id for block in self._cars[ref].blocks)
        ]

    def restore(self, rows: Iterable[DirectiveRow], wear: Iterable[WearRow], now: datetime) -> None:
        """Take up the live directives of an earlier run. What may have been under way is read before anything else.

        A command whose answer that run did not live to see may have left at any time until now, so that only what is
        observed from now on can show its effect.
        """
        found: list[DirectiveRecord] = []
        for kept in rows:
            with self._faults.only(kept.vehicle_ref):
                found.append(held_of(kept))
        for held in sorted(found, key=lambda held: held.directive.revision):
            car = self.car(held.ref)
            if held.state is DirectiveState.REQUESTED and held.sent_at is not None:
                held = dataclasses.replace(held, in_doubt=True, sent_at=now, retry_at=None)  # noqa: PLW2901 - as it is now
            older = car.older if car.held is None else (*car.older, car.held)
            self._keep(held.ref, dataclasses.replace(car, held=held, older=older))
            self._marks[held.directive.directive_id] = history.mark_of(held)
            self.by_state[held.state] += 1
            self.confirmed += held.confirmed_once
        for row in wear:
            flipped_at = None if row.flipped_at is None else parse_at(row.flipped_at)
            self._keep(row.vehicle_ref, with_wear(self.car(row.vehicle_ref), flipped_at, row.stops))
        for ref, car in list(self._cars.items()):
            if car.held is not None and car.held.sent_at is not None:
                self._unread.add(ref)
                held = dataclasses.replace(car.held, unread=True)
                self._keep(ref, dataclasses.replace(with_wear_since(car), held=held))
        self._worn = {}


def next_change(car: CarDirectives) -> datetime | None:
    """When time by itself may change a car: something ends, or expires unsent, or a replacement starts."""
    held = car.held
    instants = [block.until for block in car.blocks]
    instants += [one.directive.end for one in car.older]
    if held is not None:
        instants.append(held.over_at)
        if held.state is DirectiveState.REQUESTED:
            instants.append(held.directive.not_after)
        if car.older:
            instants.append(held.directive.start)
    return min(instants, default=None)


def _first(waiting: dict[str, T], most: int | None) -> list[T]:
    """The first of what waits, taken out."""
    return [waiting.pop(key) for key in list(itertools.islice(waiting, most))]


def _wear_of(ref: str, car: CarDirectives) -> dict[str, Any]:
    flipped_at = None if car.flipped_at is None else print_at(car.flipped_at)
    return {"vehicle_ref": ref, "flipped_at": flipped_at, "stops": car.stops}


def lost(error: BackendError) -> bool:
    """Whether the backend says that it does not know the directive asked about."""
    return error.code is ErrorCode.INVALID_REQUEST
