"""A held directive as a row of the store, and back. Knows no database and no registry."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ven_adapters.contract import (
    Certainty,
    Directive,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    OnCommLoss,
    OnEnd,
    Origin,
    Rung,
    Setting,
)
from ven_adapters.ven.directives.lifecycle import DirectiveRecord, DriverSettings
from ven_adapters.ven.store.database import DirectiveRow, parse_at, print_at


def values_of(held: DirectiveRecord) -> dict[str, Any]:
    """A held directive as the store keeps it, the values of a `DirectiveRow`."""
    directive = held.directive
    return {
        "directive_id": directive.directive_id,
        "vehicle_ref": directive.vehicle_ref,
        "event_id": directive.origin.event_id if directive.origin else None,
        "state": held.state.value,
        "certainty": int(held.certainty),
        "final": held.final,
        "confirmed": held.confirmed_once,
        "ends_at": print_at(directive.end),
        "document": orjson.dumps(held).decode(),
    }


def row_of(held: DirectiveRecord) -> DirectiveRow:
    """A held directive as the store gives it back."""
    return DirectiveRow(**values_of(held))


def held_of(row: DirectiveRow) -> DirectiveRecord:
    """A stored directive, live again."""
    raw = orjson.loads(row.document)
    told = raw.pop("directive")
    origin = told.pop("origin")
    told.pop("opt_out", None)  # in rows that 0.1.0 wrote
    directive = Directive(**{**_typed(told, _DIRECTIVE), "origin": Origin(**origin) if origin else None})
    setting, before = raw.pop("setting"), raw.pop("before")
    return DirectiveRecord(
        directive,
        **_typed(raw, _HELD),
        setting=Setting(**_typed(setting, {"rung": Rung})) if setting else None,
        before=DriverSettings(**before) if before else None,
    )


_DIRECTIVE: Mapping[str, Callable[[Any], Any]] = {
    "kind": DirectiveKind,
    "start": parse_at,
    "end": parse_at,
    "not_after": parse_at,
    "ready_by": parse_at,
    "on_end": OnEnd,
    "on_comm_loss": OnCommLoss,
}
_HELD: Mapping[str, Callable[[Any], Any]] = {
    "state": DirectiveState,
    "certainty": Certainty,
    "error": ErrorCode,
    **dict.fromkeys(("changed_at", "sent_at", "retry_at", "confirmed_at", "contradicted_at", "unplugged_at"), parse_at),
    **dict.fromkeys(("woken_at", "ending_at"), parse_at),
}


def _typed(raw: Mapping[str, Any], types: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {name: types[name](value) if name in types and value is not None else value for name, value in raw.items()}
