"""Desired state against held state, one car at a time: the next step, or none. Pure; sends nothing itself.

The rules that keep cars whole live here: one call per car at a time, so opposite commands never overlap; what may have
happened is read before anything is sent; a driver who took over is left alone; no state flips faster than the dwell.
"""

import dataclasses
import enum
import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from ven_adapters.contract import Directive, DirectiveKind, DirectiveState, OnCommLoss, Origin, Snapshot
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.ven.directives.car_directives import (
    CarDirectives,
    CommandBlock,
    block_after,
    current_direction,
    direction,
    event_of,
    fall_back,
)
from ven_adapters.ven.directives.lifecycle import (
    CONTRARY_FOR,
    MAX_ATTEMPTS,
    MAX_SENDS_AGAIN,
    SEND_MARGIN,
    DirectiveRecord,
    move,
    settings_before,
)
from vtn.clock import still_waits

MIN_DWELL_S = 300
SENDS_PER_HOUR = 12
# Some cars charge no more after about ten interruptions, until somebody plugs them in again (field fault 14).
MAX_STOPS = 8
NEAR_W = 150
NEAR_SHARE = 0.05
RENEW_BEFORE = timedelta(seconds=300)
WORTH_SENDING = timedelta(seconds=120)
WORTH_EXTENDING = timedelta(seconds=60)
UNCONFIRMED_FOR = timedelta(seconds=900)


@dataclasses.dataclass(frozen=True, slots=True)
class Desire:
    """What the plan wants of one car; `urgent` lets mobility pass the dwell. Levels in percent of usable capacity.

    `why`: the name of the `guardrails.Reason` that decided, `limited_by` the node of the grid whose limit did,
    `level_pct` the battery's level as it was looked at; `crawls`: the car charges, at far less than it usually does, or
    nothing bears out that it was told to.
    """

    vehicle_ref: str
    zone: str
    kind: DirectiveKind
    power_w: int | None
    start: datetime
    end: datetime
    origin: Origin | None = None
    urgent: bool = False
    site_id: str | None = None
    reserve_soc_pct: float | None = None
    target_soc_pct: float | None = None
    ready_by: datetime | None = None
    max_energy_wh: int | None = None
    why: str = ""
    limited_by: str = ""
    level_pct: float | None = None
    crawls: bool = False


class Do(enum.Enum):
    """What to do for a car."""

    NOTHING = "nothing"
    SUBMIT = "submit"
    READ = "read"
    CANCEL = "cancel"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """The next step for a car, the car as it is once the step is taken up, and the directives that ended with it."""

    do: Do
    car: CarDirectives
    target: DirectiveRecord | None = None
    ended: tuple[DirectiveRecord, ...] = ()


def directive_key(origin: Origin | None, vehicle_ref: str, revision: int) -> str:
    """The idempotency key: sha256 over program, event, interval, vehicle and revision; no event, no names."""
    event = (origin.program_id, origin.event_id, str(origin.interval_id)) if origin is not None else ("", "", "")
    parts = (*event, vehicle_ref, str(revision))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def reconcile(
    desire: Desire | None, car: CarDirectives, snapshot: Snapshot | None, now: datetime, *, willing: bool = True
) -> Step:
    """The next step for one car. `snapshot` is its newest reading, kept as the driver's settings before we act.

    What a pulled cable interrupted is kept until its end, in case the car comes back, unless its driver is unwilling.
    """
    held = car.held
    if car.calling:
        return Step(Do.NOTHING, car)
    if held is not None and (held.in_doubt or held.unread):
        return _read(car, held, now)
    if held is not None and held.ending_at is not None:
        return Step(Do.CANCEL, dataclasses.replace(car, calling=True), held)
    if desire is None or _blocked(desire, car.blocks, now):
        waits = willing and desire is None and held is not None and held.state is DirectiveState.INTERRUPTED
        return Step(Do.NOTHING, car) if waits else _give_back(car, now)
    if held is not None and serves(held, desire, now):
        return _keep(desire, car, held, snapshot, now)
    return _submit(desire, car, snapshot, now)


def _read(car: CarDirectives, held: DirectiveRecord, now: datetime) -> Step:
    """A command that may have happened is read, never sent again blindly."""
    if still_waits(held.changed_at, held.retry_at, now):
        return Step(Do.NOTHING, car)
    return Step(Do.READ, dataclasses.replace(car, calling=True), held)


def _give_back(car: CarDirectives, now: datetime) -> Step:
    """Nothing is wanted: what the backend has is cancelled, newest first; what never left is dropped."""
    ended: tuple[DirectiveRecord, ...] = ()
    if car.held is not None and car.held.state is DirectiveState.REQUESTED:
        ended = (move(car.held, DirectiveState.CANCELLED, Trigger.CANCEL, now),)
        car = fall_back(car)
    if car.held is None:
        return Step(Do.NOTHING, car, None, ended)
    return Step(Do.CANCEL, dataclasses.replace(car, calling=True), car.held, ended)


def serves(held: DirectiveRecord, desire: Desire, now: datetime) -> bool:
    """Whether what the car holds is as good as what is wanted."""
    directive = held.directive
    if direction(directive.kind, directive.power_w) != direction(desire.kind, desire.power_w):
        return False
    if directive.start > now and desire.start <= now:
        return False
    ends_soon = directive.end <= now + RENEW_BEFORE and desire.end > directive.end + WORTH_EXTENDING
    too_long = directive.end > desire.end + RENEW_BEFORE
    return near(directive, desire) and not ends_soon and not too_long and not _other_target(directive, desire)


def near(directive: Directive, desire: Desire) -> bool:
    """Whether two directives ask a car for the same, within what a car can tell apart."""
    mine, theirs = _asked_w(directive.kind, directive.power_w), _asked_w(desire.kind, desire.power_w)
    if mine is None or theirs is None:
        return mine is theirs
    return abs(mine - theirs) <= max(NEAR_W, NEAR_SHARE * abs(theirs))


def _other_target(directive: Directive, desire: Desire) -> bool:
    """Whether a car that charges is to charge to another level."""
    if desire.kind is not DirectiveKind.CHARGE or directive.target_soc_pct is None or desire.target_soc_pct is None:
        return False
    return abs(directive.target_soc_pct - desire.target_soc_pct) >= 1


def _asked_w(kind: DirectiveKind, power_w: int | None) -> int | None:
    if kind in (DirectiveKind.CHARGE, DirectiveKind.RELEASE):
        return None
    return 0 if kind is DirectiveKind.CURTAIL else power_w or 0


def _keep(desire: Desire, car: CarDirectives, held: DirectiveRecord, snapshot: Snapshot | None, now: datetime) -> Step:
    """The same is wanted still: send what is due again, assert what the car forgot, else leave it."""
    if held.state is DirectiveState.REQUESTED:
        waits = still_waits(held.changed_at, held.retry_at, now)
        late = held.attempts >= MAX_ATTEMPTS or now > held.directive.not_after
        if waits or late or _overdrawn(car, desire, now):
            return Step(Do.NOTHING, car)
        return Step(Do.SUBMIT, _calling(car, held, now), held)
    forgotten, worn_out = _forgotten(held, now), held.sends_again >= MAX_SENDS_AGAIN
    if forgotten and worn_out:
        return _give_up(car, held, now)
    if not forgotten and (worn_out or not _without_effect(desire, held, now)):
        return Step(Do.NOTHING, car)
    return _submit(desire, car, snapshot, now, sends_again=held.sends_again + 1)


def _forgotten(held: DirectiveRecord, now: datetime) -> bool:
    """A car that does otherwise than told: at once if it obeyed (field fault 16), else long after (field fault 11)."""
    if held.contradicted_at is None or held.sent_at is None:
        return False
    if held.state in (DirectiveState.IN_FORCE, DirectiveState.INTERRUPTED):
        return now - held.contradicted_at >= CONTRARY_FOR
    since = max(held.sent_at, held.directive.start)
    return held.state is DirectiveState.ACCEPTED and now - since >= UNCONFIRMED_FOR


def _without_effect(desire: Desire, held: DirectiveRecord, now: datetime) -> bool:
    """Whether a car told to charge crawls on as if it had not been told (field faults 2 and 11)."""
    crawls = desire.crawls and desire.kind is DirectiveKind.CHARGE
    return crawls and held.sent_at is not None and now - held.sent_at >= UNCONFIRMED_FOR


def _give_up(car: CarDirectives, held: DirectiveRecord, now: datetime) -> Step:
    """A car that obeyed and keeps going back is somebody else's will; one that never obeyed has failed."""
    obeyed = held.state is DirectiveState.IN_FORCE
    to, trigger = (DirectiveState.OVERRIDDEN, Trigger.DRIVER) if obeyed else (DirectiveState.FAILED, Trigger.FAILURE)
    ended = move(held, to, trigger, now)
    left = block_after(dataclasses.replace(fall_back(car), calling=True), ended)
    return Step(Do.CANCEL, left, ended, (ended,))


def _blocked(desire: Desire, blocks: Sequence[CommandBlock], now: datetime) -> bool:
    return any(
        block.event_id == event_of(desire.origin) and now < block.until and block.kind in (None, desire.kind)
        for block in blocks
    )


def _overdrawn(car: CarDirectives, desire: Desire, now: datetime) -> bool:
    """A car's budget of commands per hour; what the driver's departure needs is not rationed."""
    recent = sum(1 for at in car.sends if now - at < timedelta(hours=1))
    return recent >= SENDS_PER_HOUR and not desire.urgent


def _submit(
    desire: Desire, car: CarDirectives, snapshot: Snapshot | None, now: datetime, *, sends_again: int = 0
) -> Step:
    not_after = _not_after(desire)
    too_short = desire.end - max(now, desire.start) < WORTH_SENDING
    if too_short or now > not_after or _worn_out(desire, car):
        return Step(Do.NOTHING, car)
    if _dwelling(desire, car, now) or _overdrawn(car, desire, now):
        return Step(Do.NOTHING, car)
    older = car.older
    ended: tuple[DirectiveRecord, ...] = ()
    if car.held is not None and car.held.state is DirectiveState.REQUESTED:
        ended = (move(car.held, DirectiveState.SUPERSEDED, Trigger.REPLACED, now),)
    elif car.held is not None:
        older = (*older, car.held)
    before = next((one.before for one in older if one.before is not None), None)
    if before is None and snapshot is not None:
        before = settings_before(snapshot, car.left)
    directive = _directive(desire, not_after, older[-1] if older else None, _revision(car, now))
    fresh = DirectiveRecord(
        directive,
        desire.zone,
        desire.urgent,
        sends_again=sends_again,
        before=before,
        changed_at=now,
        why=desire.why,
        limited_by=desire.limited_by,
        level_pct=desire.level_pct,
    )
    return Step(Do.SUBMIT, _calling(dataclasses.replace(car, older=older), fresh, now), fresh, ended)


def _revision(car: CarDirectives, now: datetime) -> int:
    """Higher than any in use for the car; it follows the clock, so a restart cannot use a number twice."""
    used = [one.directive.revision for one in (car.held, *car.older) if one is not None]
    return max(int(now.timestamp()), *(revision + 1 for revision in used), 0)


def _calling(car: CarDirectives, held: DirectiveRecord, now: datetime) -> CarDirectives:
    recent = tuple(at for at in car.sends if now - at < timedelta(hours=1))
    return dataclasses.replace(car, held=held, sends=(*recent, now), calling=True)


def _dwelling(desire: Desire, car: CarDirectives, now: datetime) -> bool:
    """Whether this would flip the car too soon after a flip (field fault 14); the end of a discharge never waits."""
    if desire.urgent or car.flipped_at is None or now - car.flipped_at >= timedelta(seconds=MIN_DWELL_S):
        return False
    return current_direction(car) not in (-1, direction(desire.kind, desire.power_w))


def _worn_out(desire: Desire, car: CarDirectives) -> bool:
    """Whether this would stop a charging car once more than it bears."""
    stops = direction(desire.kind, desire.power_w) < 1 == current_direction(car)
    return stops and car.stops >= MAX_STOPS


def _not_after(desire: Desire) -> datetime:
    return desire.end - min(SEND_MARGIN, (desire.end - desire.start) / 2)


def _directive(desire: Desire, not_after: datetime, older: DirectiveRecord | None, revision: int) -> Directive:
    key = directive_key(desire.origin, desire.vehicle_ref, revision)
    exports = (desire.power_w or 0) < 0
    return Directive(
        directive_id=str(uuid.UUID(key[:32])),
        key=key,
        vehicle_ref=desire.vehicle_ref,
        kind=desire.kind,
        start=desire.start,
        end=desire.end,
        not_after=not_after,
        power_w=desire.power_w,
        revision=revision,
        supersedes=older.directive.directive_id if older is not None else None,
        site_id=desire.site_id,
        reserve_soc_pct=desire.reserve_soc_pct,
        target_soc_pct=desire.target_soc_pct,
        ready_by=desire.ready_by,
        max_energy_wh=desire.max_energy_wh if exports else None,
        on_comm_loss=OnCommLoss.STOP if exports else OnCommLoss.RELEASE,
        min_dwell_s=MIN_DWELL_S,
        origin=desire.origin,
    )
