"""What is read off one record, without the others: what it is found by, and its bytes for a view of it.

An `ObjectView` is an object as somebody is shown it, before its bytes are made. Making them is pure, and so is finding
out when an event is over; both can be done beside the event loop.
"""

import dataclasses
from datetime import datetime
from typing import Any

from vtn.rules import privacy, timeline
from vtn.rules.privacy import EVERYTHING, Lens, Viewer
from vtn.storage.ports import Record
from vtn.wire import document
from vtn.wire.enumerations import ObjectType, Operation
from vtn.wire.event import read_event

View = tuple[int, frozenset[str]]
"""The number of a version of an object, and the targets through which it is seen."""

NOBODY = Viewer("", is_bl=False)
OVERHEAD_BYTES = 200
NOTHING: dict[str, Any] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectView:
    """A record and a view of it; without `view` it is shown as it is stored."""

    record: Record
    view: View | None = None
    viewer: Viewer = NOBODY
    lens: Lens = EVERYTHING

    def rendered(self) -> bytes:
        """The bytes of the view."""
        content = document.parse(self.record.body)
        return document.render(privacy.view(self.record.kind, content, self.viewer, self.lens))

    def weight(self, body: bytes) -> int:
        """What it takes to remember these bytes under this view."""
        names = self.view[1] if self.view else ()
        return len(body) + OVERHEAD_BYTES + sum(len(name) + OVERHEAD_BYTES for name in names)


def ending(record: Record) -> datetime:
    """When an event is over."""
    return timeline.lifespan_end(read_event(document.parse(record.body)))


def indexed(record: Record) -> dict[str, Any]:
    """What an object is found by. An object without targets is found without being parsed; its numbers mean nothing."""
    if record.kind is not ObjectType.SUBSCRIPTION and b'"targets":' not in record.body:
        return NOTHING
    content: dict[str, Any] = document.glance(record.body)
    return content


def kinds_to_hear_read(content: dict[str, Any]) -> frozenset[str]:
    """The kinds of which a subscription wishes to hear that they were read."""
    entries = content.get("objectOperations") or ()
    return frozenset(kind for entry in entries if Operation.READ in entry["operations"] for kind in entry["objects"])


def subscribed_kinds(record: Record, content: dict[str, Any]) -> frozenset[str]:
    """The kinds that a subscription is to; none of anything else."""
    if record.kind is not ObjectType.SUBSCRIPTION:
        return frozenset()
    return frozenset(kind for entry in content["objectOperations"] for kind in entry["objects"])
