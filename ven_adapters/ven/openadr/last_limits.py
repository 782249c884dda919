"""The limits of each event as its last version that could be read had them, kept through restarts.

When a later version cannot be read at all, they stay in force until they end. No I/O: what must be stored is handed
over as rows.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

import pydantic

from ven_adapters.ven.openadr.payload_types import limit_of
from ven_adapters.ven.store.database import EventLimitsRow, RowValues, print_at
from vtn.wire.event import Event

# Of an event that is longer, what remains after a restart is its program's last limit, as far as one can be asked.
LONGEST = 262_144
NONE = ""

_log = logging.getLogger(__name__)


def limits_only(event: Event) -> Event | None:
    """An event with nothing but its limits; None when it has none."""
    kept = []
    for interval in event.intervals or ():
        limits = tuple(payload for payload in interval.payloads if limit_of(payload.type) is not None)
        kept.append(interval.model_copy(update={"payloads": limits}))
    changed = {"intervals": tuple(kept), "report_descriptors": None}
    return event.model_copy(update=changed) if any(interval.payloads for interval in kept) else None


class LastLimits:
    """By event id; only of events that have limits."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}

    def restore(self, rows: Iterable[EventLimitsRow]) -> None:
        """What an earlier run read."""
        self._documents = {row.event_id: row.document for row in rows if row.document != NONE}

    def get(self, event_id: str) -> Event | None:
        """An event with its limits and nothing else; None for one without, or that was never read."""
        document = self._documents.get(event_id)
        try:
            return None if document is None else Event.model_validate_json(document)
        except pydantic.ValidationError:
            _log.warning("the limits of event %s, as they were stored, cannot be read any more", event_id)
            return None

    def all(self) -> Iterator[Event]:
        """Every event that has limits, with nothing else."""
        yield from (event for key in self._documents if (event := self.get(key)) is not None)

    def take(self, events: Iterable[Event], now: datetime) -> Iterator[RowValues]:
        """Versions that could be read; rows for the store, of events that have limits or had some."""
        for event in events:
            limits, before = limits_only(event), self._documents.pop(event.id, NONE)
            document = NONE if limits is None else limits.model_dump_json(by_alias=True, exclude_none=True)
            document = document if len(document) <= LONGEST else NONE
            if document != NONE:
                self._documents[event.id] = document
            if document != before:
                yield RowValues(EventLimitsRow, {"event_id": event.id, "document": document, "at": print_at(now)})

    def forget(self, live: Iterable[str]) -> None:
        """Events that are not there any more."""
        kept = set(live)
        self._documents = {key: document for key, document in self._documents.items() if key in kept}
