"""Stored objects in the words of OpenADR 3.0.1: made once of each version and view, within a bound of bytes.

An event that never ends is shown as a window that moves with the present, so its words hold for `WINDOW_MOVES_S` at
most. Translation is pure and slow, up to a second for a large event, and is done beside the event loop.
"""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from vtn.bounds import CacheBounds
from vtn.limits import Recent
from vtn.rules.compat30 import objects as translation
from vtn.rules.compat30 import side
from vtn.rules.compat30.objects import Around
from vtn.service.core import Core
from vtn.storage.ports import Record
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

MOST_WORDS = 100_000
OVERHEAD_BYTES = 300
WINDOW_MOVES_S = 60
LAPS = 50
"""So much longer than its size tells does an event take: a small one may stand for very many intervals."""

Words = tuple[bytes, int | None]
"""An object in the words of 3.0.1, and the minute in which they hold; None when they hold for ever."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wording:
    """An object as a client may read it on 3.1, and what its 3.0.1 form takes from elsewhere."""

    kind: ObjectType
    body: bytes = dataclasses.field(repr=False)
    side: str | None = None
    program_id: str | None = None

    def made(self, minute: int) -> Words:
        """The object in the words of 3.0.1, as of a minute (counted from 1970)."""
        content = document.parse(self.body)
        around = Around(datetime.fromtimestamp(minute * WINDOW_MOVES_S, UTC), self.program_id)
        shown = translation.show(self.kind, content, side.read(self.side), around)
        moves = self.kind is ObjectType.EVENT and content.get("duration") is not None
        return document.render(shown), minute if moves else None

    @property
    def size_bytes(self) -> int:
        """How much work it is, as a size."""
        return len(self.body) * (LAPS if self.kind is ObjectType.EVENT else 1)

    def weight(self, words: bytes) -> int:
        """What it takes to remember these words."""
        return len(self.body) + len(self.side or "") + len(words) + OVERHEAD_BYTES


class Versions:
    """The words of 3.0.1 that were made lately; one for each top node."""

    def __init__(self, most_bytes: int = CacheBounds().versions_bytes) -> None:
        self._held: Recent[Wording, Words] = Recent(MOST_WORDS, most_bytes)

    @property
    def held_bytes(self) -> int:
        """What the remembered words weigh."""
        return self._held.bytes

    async def of(
        self, core: Core, kind: ObjectType, bodies: Sequence[bytes], records: Sequence[Record | None]
    ) -> list[bytes]:
        """Objects in the words of 3.0.1, of their bytes on 3.1 and of their records, which have the side data."""
        minute = int(core.clock.now().timestamp() // WINDOW_MOVES_S)
        wordings = [_wording(core, kind, body, record) for body, record in zip(bodies, records, strict=True)]
        held = [self._words(wording, minute) for wording in wordings]
        missing = [wording for wording, words in zip(wordings, held, strict=True) if words is None]
        if missing:
            made = await core.bodies.all_made((one.size_bytes, partial(one.made, minute)) for one in missing)
            for wording, words in zip(missing, made, strict=True):
                self._held.keep(wording, words, wording.weight(words[0]))
            fresh = (words for words, _ in made)
            held = [next(fresh) if words is None else words for words in held]
        return [words for words in held if words is not None]

    def _words(self, wording: Wording, minute: int) -> bytes | None:
        words, in_minute = self._held.get(wording) or (None, None)
        return words if in_minute in {None, minute} else None


def _wording(core: Core, kind: ObjectType, body: bytes, record: Record | None) -> Wording:
    if record is None or kind is not ObjectType.REPORT:
        return Wording(kind, body, record.side if record else None)
    event = core.model.get(ObjectType.EVENT, record.event_id or "")
    return Wording(kind, body, None, event.program_id if event else None)
