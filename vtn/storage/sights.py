"""An object as somebody is shown it, before its bytes are made: which version, and which view of it.

Making the bytes is pure, so it can be done beside the event loop.
"""

import dataclasses

from vtn.rules import privacy
from vtn.rules.privacy import EVERYTHING, Lens, Viewer
from vtn.storage.ports import Record
from vtn.wire import document

View = tuple[int, frozenset[str]]
"""The number of a version of an object, and the targets through which it is seen."""

NOBODY = Viewer("", is_bl=False)
OVERHEAD_BYTES = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
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
