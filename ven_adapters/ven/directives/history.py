"""What happened to cars, as rows of a history that is never changed: every step of a directive with what it rests on.

A row holds only what its step brought; what was asked stands with the directive itself. Pure.
"""

import operator
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from ven_adapters.contract import DirectiveState, ErrorCode
from ven_adapters.ven.directives.lifecycle import DirectiveRecord, DriverSettings
from ven_adapters.ven.store.database import HistoryRow, RowValues, print_at

STEP, UNSENT, WOKEN, ENDING, RESTORED = "step", "unsent", "woken", "ending", "restored"
CHOICE, OVERTAKEN, LEFT_OUT, LEFT_ALONE = "choice", "overtaken", "left out", "left alone"
SET_UP = "set up"
STATES = tuple(DirectiveState)
_CODES = {state: code for code, state in enumerate(STATES)}
_ERRORS = {error: code for code, error in enumerate((None, *ErrorCode))}
# What a step may bring, beside the state it led to.
_INSTANTS = ("sent_at", "confirmed_at", "contradicted_at", "unplugged_at", "retry_at")
_FACTS = ("attempts", "evidence", "source", "error", "action", "in_doubt", "unread", *_INSTANTS)
_values = operator.attrgetter(*_FACTS)


def mark_of(held: DirectiveRecord) -> int:
    """What makes a step worth a row, packed into a number: state, certainty, doubts, sends, error."""
    contradicted, unplugged = held.contradicted_at is not None, held.unplugged_at is not None
    doubts = held.in_doubt + 2 * contradicted + 4 * held.unread + 8 * unplugged
    return _CODES[held.state] + 16 * (held.certainty + 16 * (doubts + 16 * (held.attempts + 16 * _ERRORS[held.error])))


def state_of(mark: int) -> DirectiveState:
    """The state in a mark."""
    return STATES[mark % 16]


def step(held: DirectiveRecord, before: DirectiveState | None) -> RowValues:
    """A directive's step from a state, or its beginning, with the instant of its newest change."""
    facts: dict[str, Any] = {name: value for name, value in zip(_FACTS, _values(held), strict=True) if value}
    if before is not None and before is not held.state:
        facts["from"] = before
    return _row(held, STEP, held.changed_at or held.directive.start, facts)


def unsent(held: DirectiveRecord, at: datetime) -> RowValues:
    """What was to be sent was not: the store did not take it, the driver left meanwhile, or it was too late."""
    return _row(held, UNSENT, at, {})


def woken(held: DirectiveRecord, at: datetime) -> RowValues:
    """A sleeping car was called for a directive."""
    return _row(held, WOKEN, at, {})


def ending(held: DirectiveRecord, at: datetime) -> RowValues:
    """It was decided to take a directive back."""
    return _row(held, ENDING, at, {})


def restored(held: DirectiveRecord, after: DriverSettings, at: datetime) -> RowValues:
    """How a car was first seen set after a directive's end, beside how it was before we touched it."""
    return _row(held, RESTORED, at, {"before": held.before, "after": after})


def of_car(ref: str, what: str, at: datetime, facts: Mapping[str, Any]) -> RowValues:
    """Something that happened to a car outside of any directive."""
    values = {"vehicle_ref": ref, "at": print_at(at), "what": what}
    return RowValues(HistoryRow, {**values, **_NOTHING, "document": _json(facts)})


_NOTHING: Mapping[str, Any] = {"directive_id": None, "state": None, "certainty": None}


def _row(held: DirectiveRecord, what: str, at: datetime, facts: Mapping[str, Any]) -> RowValues:
    return RowValues(
        HistoryRow,
        {
            "vehicle_ref": held.directive.vehicle_ref,
            "at": print_at(at),
            "what": what,
            "directive_id": held.directive.directive_id,
            "state": held.state.value,
            "certainty": int(held.certainty),
            "document": _json(facts),
        },
    )


def _json(facts: Mapping[str, Any]) -> str:
    return orjson.dumps(facts).decode()
