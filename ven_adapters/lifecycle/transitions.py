"""Which state of a directive may follow which, and by what: one table for the engine, the windows and OCPP.

Each of them keeps a record of its own; none changes its state but by `move`. `docs/directives.md` is made from here.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping

from ven_adapters.contract import FINAL_STATES, DirectiveState

S = DirectiveState


class Cause(enum.StrEnum):
    """What moved a directive on."""

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


MEANINGS: Mapping[Cause, str] = {
    Cause.ACK: "the backend or the station took it",
    Cause.REFUSAL: "the call was refused, or the car was said to be so already",
    Cause.STATUS: "the backend's own view of it, pushed or asked for",
    Cause.READ: "the station was asked which profiles it holds, after a lost answer or an absence",
    Cause.TELEMETRY: "a reading of the car or of its charging point",
    Cause.LINE: "the connection to the station was lost",
    Cause.TIME: "`not_after` or the end has passed",
    Cause.CANCEL: "it is not wanted any more",
    Cause.REPLACED: "a newer directive took its place",
    Cause.DRIVER: "the driver took over, or a car that had obeyed does so no more however often it is told",
    Cause.FAILURE: "it was told as often as may be and not followed, or could not be given back, or we failed",
}


class IllegalTransition(Exception):
    """A step that the life cycle does not know; a defect of ours, never of a backend."""


def _rows() -> Iterator[tuple[Iterable[DirectiveState], DirectiveState, tuple[Cause, ...]]]:
    asked, taken = (S.REQUESTED,), (S.ACCEPTED, S.IN_FORCE, S.INTERRUPTED)
    yield asked, S.ACCEPTED, (Cause.ACK, Cause.REFUSAL, Cause.STATUS, Cause.READ)
    yield asked, S.REJECTED, (Cause.REFUSAL,)
    yield asked, S.OVERRIDDEN, (Cause.REFUSAL, Cause.STATUS, Cause.DRIVER)
    yield asked, S.FAILED, (Cause.REFUSAL, Cause.STATUS)
    yield asked, S.EXPIRED, (Cause.REFUSAL, Cause.STATUS, Cause.TIME)
    yield (S.ACCEPTED,), S.IN_FORCE, (Cause.TELEMETRY, Cause.STATUS, Cause.REFUSAL)
    yield (S.INTERRUPTED,), S.IN_FORCE, (Cause.TELEMETRY, Cause.STATUS)
    yield (S.ACCEPTED, S.IN_FORCE), S.INTERRUPTED, (Cause.TELEMETRY, Cause.LINE)
    # The station holds it still, and what proved it before the absence proves nothing of now.
    yield (S.IN_FORCE, S.INTERRUPTED), S.ACCEPTED, (Cause.READ,)
    yield taken, S.RELEASED, (Cause.TIME,)
    yield taken, S.OVERRIDDEN, (Cause.STATUS, Cause.DRIVER)
    yield (S.ACCEPTED,), S.FAILED, (Cause.REFUSAL,)
    yield (S.IN_FORCE, S.INTERRUPTED), S.FAILED, (Cause.TIME,)
    yield taken, S.FAILED, (Cause.STATUS, Cause.READ, Cause.TELEMETRY, Cause.FAILURE)
    yield (S.ACCEPTED, S.INTERRUPTED), S.EXPIRED, (Cause.TIME,)
    yield taken, S.EXPIRED, (Cause.STATUS,)
    yield (*asked, *taken), S.SUPERSEDED, (Cause.REPLACED, Cause.STATUS)
    yield (*asked, *taken), S.CANCELLED, (Cause.CANCEL, Cause.STATUS)


def _table() -> Mapping[tuple[DirectiveState, DirectiveState], frozenset[Cause]]:
    table: dict[tuple[DirectiveState, DirectiveState], frozenset[Cause]] = {}
    for befores, after, causes in _rows():
        for before in befores:
            table[before, after] = table.get((before, after), frozenset()) | frozenset(causes)
    return table


# By state before and after; nothing leads out of a final state, and nothing back to REQUESTED.
TRANSITIONS = _table()


def is_legal(before: DirectiveState, after: DirectiveState, cause: Cause) -> bool:
    """Whether a directive may go from one state to another by this cause; to stay as it is is no transition."""
    return cause in TRANSITIONS.get((before, after), frozenset())


def move(before: DirectiveState, after: DirectiveState, cause: Cause) -> DirectiveState:
    """The state that follows; IllegalTransition for a step that the table does not have."""
    if not is_legal(before, after, cause):
        raise IllegalTransition(f"{before} -> {after} by {cause}")
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
