"""Which state of a directive may follow which, and by what: one table for the engine, the windows and OCPP.

Each of them keeps a record of its own; none changes its state but by `move`. `docs/directives.md` is made from here.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping

from ven_adapters.contract import FINAL_STATES, DirectiveState

S = DirectiveState


class Trigger(enum.StrEnum):
    """What moves a directive on."""

    ACK = "ack"
    REFUSAL = "refusal"
    STATUS = "status"
    READ = "read"
    TELEMETRY = "telemetry"
    LINE = "line"
    TIME = "time"
    CANCEL = "cancel"
    REPLACED = "replaced"
    DRIVER = "driver"
    FAILURE = "failure"


MEANINGS: Mapping[Trigger, str] = {
    Trigger.ACK: "the backend or the station took it",
    Trigger.REFUSAL: "the call was refused, or the car was said to be so already",
    Trigger.STATUS: "the backend's own view of it, pushed or asked for",
    Trigger.READ: "the station was asked which profiles it holds, after a lost answer or an absence",
    Trigger.TELEMETRY: "a reading of the car or of its charging point",
    Trigger.LINE: "the connection to the station was lost",
    Trigger.TIME: "`not_after` or the end has passed",
    Trigger.CANCEL: "it is not wanted any more",
    Trigger.REPLACED: "a newer directive took its place",
    Trigger.DRIVER: "the driver took over, or a car that had obeyed does so no more however often it is told",
    Trigger.FAILURE: "it was told as often as may be and not followed, or could not be given back, or we failed",
}


class IllegalTransition(Exception):
    """A step that the life cycle does not know; a defect of ours, never of a backend."""


def _rows() -> Iterator[tuple[Iterable[DirectiveState], DirectiveState, tuple[Trigger, ...]]]:
    asked, taken = (S.REQUESTED,), (S.ACCEPTED, S.IN_FORCE, S.INTERRUPTED)
    yield asked, S.ACCEPTED, (Trigger.ACK, Trigger.REFUSAL, Trigger.STATUS, Trigger.READ)
    yield asked, S.REJECTED, (Trigger.REFUSAL,)
    yield asked, S.OVERRIDDEN, (Trigger.REFUSAL, Trigger.STATUS, Trigger.DRIVER)
    yield asked, S.FAILED, (Trigger.REFUSAL, Trigger.STATUS)
    yield asked, S.EXPIRED, (Trigger.REFUSAL, Trigger.STATUS, Trigger.TIME)
    yield (S.ACCEPTED,), S.IN_FORCE, (Trigger.TELEMETRY, Trigger.STATUS, Trigger.REFUSAL)
    yield (S.INTERRUPTED,), S.IN_FORCE, (Trigger.TELEMETRY, Trigger.STATUS)
    yield (S.ACCEPTED, S.IN_FORCE), S.INTERRUPTED, (Trigger.TELEMETRY, Trigger.LINE)
    # The station holds it still, and what proved it before the absence proves nothing of now.
    yield (S.IN_FORCE, S.INTERRUPTED), S.ACCEPTED, (Trigger.READ,)
    yield taken, S.RELEASED, (Trigger.TIME,)
    yield taken, S.OVERRIDDEN, (Trigger.STATUS, Trigger.DRIVER)
    yield (S.ACCEPTED,), S.FAILED, (Trigger.REFUSAL,)
    yield (S.IN_FORCE, S.INTERRUPTED), S.FAILED, (Trigger.TIME,)
    yield taken, S.FAILED, (Trigger.STATUS, Trigger.READ, Trigger.TELEMETRY, Trigger.FAILURE)
    yield (S.ACCEPTED, S.INTERRUPTED), S.EXPIRED, (Trigger.TIME,)
    yield taken, S.EXPIRED, (Trigger.STATUS,)
    yield (*asked, *taken), S.SUPERSEDED, (Trigger.REPLACED, Trigger.STATUS)
    yield (*asked, *taken), S.CANCELLED, (Trigger.CANCEL, Trigger.STATUS)


def _table() -> Mapping[tuple[DirectiveState, DirectiveState], frozenset[Trigger]]:
    table: dict[tuple[DirectiveState, DirectiveState], frozenset[Trigger]] = {}
    for befores, after, triggers in _rows():
        for before in befores:
            table[before, after] = table.get((before, after), frozenset()) | frozenset(triggers)
    return table


# By state before and after; nothing leads out of a final state, and nothing back to REQUESTED.
TRANSITIONS = _table()


def is_legal(before: DirectiveState, after: DirectiveState, trigger: Trigger) -> bool:
    """Whether a directive may go from one state to another by this trigger; to stay as it is is no transition."""
    return trigger in TRANSITIONS.get((before, after), frozenset())


def move(before: DirectiveState, after: DirectiveState, trigger: Trigger) -> DirectiveState:
    """The state that follows; IllegalTransition for a step that the table does not have."""
    if not is_legal(before, after, trigger):
        raise IllegalTransition(f"{before} -> {after} by {trigger}")
    return after


def state_at_end(state: DirectiveState, *, was_in_force: bool, contradicted: bool = False) -> DirectiveState:
    """How its end finds a directive that is not final.

    What was in force is released, unless its car was last seen, and for long, to do otherwise (`contradicted`). What
    never was has expired, or failed when it is known that something interrupted it.
    """
    if state in FINAL_STATES:
        raise IllegalTransition(f"{state} has ended before its end")
    if was_in_force:
        return S.FAILED if contradicted else S.RELEASED
    return S.FAILED if state is S.INTERRUPTED else S.EXPIRED
