"""One car and its directives as values: what it holds, what ended, when it is to be left alone. Pure.

A car holds at most one directive; what that one replaces stays beside it until the replacement has started, because
until then the backend may still act on it.
"""

import dataclasses
from collections.abc import Iterable
from datetime import datetime, timedelta

from ven_adapters.contract import DirectiveKind, DirectiveState, ErrorCode, Origin
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.lifecycle import DirectiveRecord, SettingsLeft, move


@dataclasses.dataclass(frozen=True, slots=True)
class CommandBlock:
    """Why a car is left alone for an event: a driver took over, or the car or its backend said no for good."""

    event_id: str
    why: DirectiveState
    until: datetime
    kind: DirectiveKind | None = None
    until_replug: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class CarDirectives:
    """One car as the reconciler sees it. `older`, oldest first: what the backend may hold until `held` replaces it.

    `stops`: how often its charging was interrupted since it was last plugged in. `left`: how its driver had set it
    before we last held it, and when we let go; a reading older than that shows our own doing.
    """

    held: DirectiveRecord | None = None
    older: tuple[DirectiveRecord, ...] = ()
    blocks: tuple[CommandBlock, ...] = ()
    sends: tuple[datetime, ...] = ()
    flipped_at: datetime | None = None
    stops: int = 0
    calling: bool = False
    left: SettingsLeft | None = None


def direction(kind: DirectiveKind, power_w: int | None) -> int:
    """1 charges, 0 holds still, -1 discharges; two of different direction are opposite commands."""
    if kind in (DirectiveKind.CHARGE, DirectiveKind.RELEASE):
        return 1
    if kind is DirectiveKind.CURTAIL or not power_w:
        return 0
    return 1 if power_w > 0 else -1


def event_of(origin: Origin | None) -> str:
    """The event of an origin; empty for what no event decided."""
    return origin.event_id if origin is not None else ""


def fall_back(car: CarDirectives) -> CarDirectives:
    """The car when what it held is gone: whatever the backend had before."""
    return dataclasses.replace(car, held=car.older[-1] if car.older else None, older=car.older[:-1])


def current_direction(car: CarDirectives) -> int:
    """What the newest directive that a backend took makes the car do; a car without one charges."""
    taken = [one for one in (*car.older, car.held) if one is not None and one.state is not DirectiveState.REQUESTED]
    return direction(taken[-1].directive.kind, taken[-1].directive.power_w) if taken else 1


def block_after(car: CarDirectives, ended: DirectiveRecord) -> CarDirectives:
    """Leave the car alone for as long as the way its directive ended demands."""
    if ended.state not in _BLOCKING:
        return car
    kind = None if ended.state is DirectiveState.OVERRIDDEN else ended.directive.kind
    replug = ended.error in _UNTIL_REPLUG
    block = CommandBlock(event_of(ended.directive.origin), ended.state, _left_alone_until(ended), kind, replug)
    return dataclasses.replace(car, blocks=(*car.blocks, block))


def _left_alone_until(ended: DirectiveRecord) -> datetime:
    """A driver who took over is left alone until the next departure; a refusal holds for the window refused."""
    directive = ended.directive
    if ended.state is not DirectiveState.OVERRIDDEN:
        return directive.end
    return max(directive.end, directive.ready_by or directive.end + timedelta(days=1))


_BLOCKING = frozenset({DirectiveState.OVERRIDDEN, DirectiveState.REJECTED, DirectiveState.FAILED})
_UNTIL_REPLUG = frozenset({ErrorCode.NOT_PLUGGED, ErrorCode.NOT_AT_SITE})


def unblocked(car: CarDirectives, now: datetime, *, replugged: bool = False) -> CarDirectives:
    """Forget blocks that have run out, and after a replug those that waited for it."""
    if replugged and car.stops:
        car = dataclasses.replace(car, stops=0)
    kept = tuple(block for block in car.blocks if now < block.until and not (replugged and block.until_replug))
    return car if len(kept) == len(car.blocks) else dataclasses.replace(car, blocks=kept)


def with_wear(car: CarDirectives, flipped_at: datetime | None, stops: int) -> CarDirectives:
    """The car with what an earlier life of this process knew of its wear."""
    return dataclasses.replace(car, flipped_at=flipped_at, stops=stops)


def with_wear_since(car: CarDirectives) -> CarDirectives:
    """The car with the wear of what it holds, when that was not written down before an earlier life ended."""
    held = car.held
    if held is None or held.sent_at is None or direction(held.directive.kind, held.directive.power_w) == 1:
        return car
    if held.directive.supersedes is not None:  # more of the same, most often
        return car
    if car.flipped_at is not None and car.flipped_at >= held.sent_at:
        return car
    return dataclasses.replace(car, flipped_at=held.sent_at, stops=car.stops + 1)


def let_go(car: CarDirectives, ended: Iterable[DirectiveRecord], now: datetime) -> CarDirectives:
    """Remember how the driver had set a car that we no longer hold."""
    if car.held is not None:
        return car
    before = next((one.before for one in ended if one.before is not None and one.sent_at is not None), None)
    return car if before is None else dataclasses.replace(car, left=SettingsLeft(before, now))


def apply_outcome(
    car: CarDirectives, outcome: DirectiveRecord, now: datetime
) -> tuple[CarDirectives, tuple[DirectiveRecord, ...]]:
    """A call came back with `outcome`: the car that follows, and every directive that changed with it.

    A replacement that was taken ends the older ones when it starts; one that failed leaves them to be dealt with.
    """
    car = dataclasses.replace(car, calling=False)
    if car.held is None or car.held.directive.directive_id != outcome.directive.directive_id:
        return car, ()
    if outcome.final:
        return replace_directive(car, outcome), (outcome,)
    car, ended = start_directive(dataclasses.replace(count_switch(car, outcome, now), held=outcome), now)
    return car, (outcome, *ended)


def count_switch(car: CarDirectives, taken: DirectiveRecord, now: datetime) -> CarDirectives:
    """The car with what wears it counted: a directive that was taken just now may turn it the other way."""
    was_asked = car.held is not None and car.held.state is DirectiveState.REQUESTED
    if not was_asked or taken.final or taken.state is DirectiveState.REQUESTED:
        return car
    before, after = current_direction(car), direction(taken.directive.kind, taken.directive.power_w)
    flipped_at = car.flipped_at if before == after else now
    return dataclasses.replace(car, flipped_at=flipped_at, stops=car.stops + (after < 1 == before))


def start_directive(car: CarDirectives, now: datetime) -> tuple[CarDirectives, tuple[DirectiveRecord, ...]]:
    """Once a replacement that was taken has started, what it replaces is over."""
    held = car.held
    if not car.older or held is None or held.state is DirectiveState.REQUESTED or held.directive.start > now:
        return car, ()
    ended = tuple(move(one, DirectiveState.SUPERSEDED, Trigger.REPLACED, now) for one in car.older if not one.final)
    return dataclasses.replace(car, older=()), ended


def replace_directive(car: CarDirectives, held: DirectiveRecord) -> CarDirectives:
    """The car with a newer view of the directive that it holds; one that ended leaves its block behind."""
    if not held.final:
        return dataclasses.replace(car, held=held)
    after = block_after(fall_back(car), held)
    return let_go(after, (held,), held.changed_at or held.directive.end)


def apply_time(car: CarDirectives, now: datetime) -> tuple[CarDirectives, tuple[DirectiveRecord, ...]]:
    """Time went by: starts, ends and expiries of everything a car holds, and blocks that have run out."""
    car, ended = start_directive(unblocked(car, now), now)
    over = tuple(one for one in (lifecycle.apply_time(one, now) for one in car.older) if one.final)
    if over:
        gone = {one.directive.directive_id for one in over}
        left = tuple(one for one in car.older if one.directive.directive_id not in gone)
        car, ended = dataclasses.replace(car, older=left), (*ended, *over)
    if car.held is None or car.calling:
        return car, ended
    held = lifecycle.apply_time(car.held, now)
    return (replace_directive(car, held), (*ended, held)) if held is not car.held else (car, ended)


def cancel_directive(
    car: CarDirectives, target: DirectiveRecord, now: datetime
) -> tuple[CarDirectives, tuple[DirectiveRecord, ...]]:
    """A cancel was taken: what was held before counts again, and without one the car is the driver's."""
    flips = direction(target.directive.kind, target.directive.power_w) != 1
    car = dataclasses.replace(car, calling=False, flipped_at=now if flips else car.flipped_at)
    if car.held is None or car.held.directive.directive_id != target.directive.directive_id:
        return car, ()
    ended = car.held if car.held.final else move(car.held, DirectiveState.CANCELLED, Trigger.CANCEL, now)
    return let_go(fall_back(car), (ended,), now), (ended,)
