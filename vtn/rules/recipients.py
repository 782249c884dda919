"""Who is told of a change, and as what: decided from values, for webhooks and MQTT alike.

An audience either sees a state of an object or does not; object privacy, the subscription's targets and its program all
come down to that. What it is told of an update follows from whether it saw the state before and sees the state after
(TR-13, NOTIF-15): an object that leaves its sight is a DELETE with the last state it saw, one that enters is a CREATE.
This module knows nothing of storage, topics and callbacks.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from vtn.rules import privacy
from vtn.rules.privacy import EVERYTHING, Lens, Match, Viewer
from vtn.wire.enumerations import ObjectType, Operation

NARROWED_BY_TARGETS = frozenset({ObjectType.VEN, ObjectType.RESOURCE})


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectState:
    """An object at one moment, and what decides who sees it.

    `program_id` is the program that it belongs to: itself for a program, the event's for a report. `program_targets`
    are those of an event's program; None when that program is unknown, which hides the event from every VEN. `side` is
    what is remembered of it for OpenADR 3.0.1.
    """

    kind: ObjectType
    id: str
    content: Mapping[str, Any]
    client_id: str | None = None
    program_id: str | None = None
    ven_id: str | None = None
    program_targets: tuple[str, ...] | None = ()
    side: str | None = None

    @property
    def targets(self) -> Sequence[str]:
        """The targets on the object itself."""
        return self.content.get("targets") or ()


@dataclasses.dataclass(frozen=True, slots=True)
class Happening:
    """An operation and the state it left (a DELETE: the last one); an UPDATE also has the state before."""

    operation: Operation
    after: ObjectState
    before: ObjectState | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Telling:
    """What an audience is told: an operation, and the state that it may be shown."""

    operation: Operation
    state: ObjectState


@dataclasses.dataclass(frozen=True, slots=True)
class SubscriptionEntry:
    """One entry of a subscription's objectOperations: which operations on which kinds go to its callback."""

    kinds: frozenset[str]
    operations: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class SubscriptionView:
    """A subscription as this module sees it: who owns it, how it narrows, and what it wishes for, entry by entry.

    Its program does not narrow the kinds `anywhere`.
    """

    viewer: Viewer
    lens: Lens
    program_id: str | None
    wishes: tuple[SubscriptionEntry, ...]
    anywhere: frozenset[ObjectType] = frozenset()


def subscriber(content: Mapping[str, Any], viewer: Viewer, match: Match = Match.ANY) -> SubscriptionView:
    """A stored subscription and its owner's standing today (NOTIF-08, TR-75, TR-106).

    The strict reading of target queries (TR-01) does not apply: nobody can name targets in a callback.
    """
    asked = content.get("targets")
    wishes = tuple(
        SubscriptionEntry(frozenset(e["objects"]), frozenset(e["operations"])) for e in content["objectOperations"]
    )
    lens = Lens(frozenset(asked) if asked else None, match)
    return SubscriptionView(viewer, lens, content.get("programID"), wishes)


def told(happening: Happening, sees: Callable[[ObjectState], bool]) -> Telling | None:
    """What an audience that `sees` some states is told of this happening; None when it concerns it in no way."""
    after = sees(happening.after)
    if happening.operation is not Operation.UPDATE or happening.before is None:
        return Telling(happening.operation, happening.after) if after else None
    if sees(happening.before):
        return Telling(Operation.UPDATE, happening.after) if after else Telling(Operation.DELETE, happening.before)
    return Telling(Operation.CREATE, happening.after) if after else None


def visible(state: ObjectState, viewer: Viewer, lens: Lens = EVERYTHING) -> bool:
    """Whether object privacy lets this viewer see the state, through the targets asked for (TGT-02..11, SUB-24)."""
    if state.kind is ObjectType.PROGRAM:
        return privacy.targets_visible(state.targets, viewer, lens)
    if state.kind is ObjectType.EVENT:
        if state.program_targets is None:
            seen = viewer.is_bl or not viewer.through_programs
            return seen and privacy.targets_visible(state.targets, viewer, lens)
        return privacy.event_visible(state.targets, state.program_targets, viewer, lens)
    return privacy.owned_visible(state.client_id, viewer) and _asked_for(state, lens)


def _asked_for(state: ObjectState, lens: Lens) -> bool:
    """Targets narrow what they narrow in reads: vens and resources, but not reports and subscriptions."""
    if lens.asked is None or state.kind not in NARROWED_BY_TARGETS:
        return True
    if lens.match is Match.ALL:
        return lens.asked.issubset(state.targets)
    return not lens.asked.isdisjoint(state.targets)


def concerns(state: ObjectState, who: SubscriptionView) -> bool:
    """Whether a subscription covers the state: its program (NOTIF-07) and what its owner may see (NOTIF-08..11)."""
    in_program = who.program_id is None or state.program_id == who.program_id
    return (in_program or state.kind in who.anywhere) and visible(state, who.viewer, who.lens)


def answers(happening: Happening, who: SubscriptionView) -> Iterator[tuple[int, Telling]]:
    """What a subscription is told, per entry of its objectOperations (SUB-11, NOTIF-06)."""
    kind = happening.after.kind
    wanted = [position for position, wish in enumerate(who.wishes) if kind in wish.kinds and wish.operations]
    if not wanted:
        return
    answer = told(happening, lambda state: concerns(state, who))
    if answer is not None:
        for position in wanted:
            if answer.operation in who.wishes[position].operations:
                yield position, answer


def hears_reads_of(reader: str, who: SubscriptionView) -> bool:
    """Whether a subscriber may be told of what a client reads (NOTIF-13, NOTIF-14, TR-70).

    Business Logic hears of everybody else; of itself it would, when its callback reads again, hear without end. A VEN
    hears of itself only: what others read is none of its business.
    """
    own = who.viewer.client_id == reader
    return not own if who.viewer.is_bl else own


def notification(answer: Telling, viewer: Viewer, lens: Lens = EVERYTHING) -> dict[str, Any]:
    """The message: the object as this viewer would read it, targets cut, callback credentials blanked for everyone.

    Credentials stay out of notifications even for their owner, because each entry of a subscription may go to another
    receiver (SUB-23, TR-69).
    """
    state = answer.state
    reader = Viewer("", viewer.is_bl) if state.kind is ObjectType.SUBSCRIPTION else viewer
    seen = privacy.view(state.kind, state.content, reader, lens)
    message = {"objectType": str(state.kind), "operation": str(answer.operation), "object": seen}
    if seen.get("targets"):
        message["targets"] = seen["targets"]
    return message


def view_key(state: ObjectState, viewer: Viewer, lens: Lens = EVERYTHING) -> frozenset[str] | None:
    """Equal keys mean equal messages about a state, so that a message is rendered once per view; None: all of it."""
    if viewer.is_bl or state.kind not in privacy.TARGETED:
        return None
    mentioned = set(state.targets)
    for descriptor in privacy.report_requests(state.kind, state.content):
        mentioned.update(descriptor.get("targets") or ())
    return privacy.usable_targets(viewer, lens) & mentioned
