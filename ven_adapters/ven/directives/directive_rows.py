"""A held directive as a row of the store, and back. Knows no database and no registry."""

from typing import Any

import orjson

from ven_adapters.transport.http.codec import load
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
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
    """A stored directive, live again. Raises BackendError for a row that this release cannot read."""
    # The codec takes no empty text, which is what a record has where nothing was said.
    told = {name: value for name, value in orjson.loads(row.document).items() if value != ""}
    return load(DirectiveRecord, told, received_at=parse_at(row.ends_at))
