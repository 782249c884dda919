"""Lists that were rendered and have not changed since, by who asked for what; one memo per process.

A client may spell one question in endless ways, so what is held is bounded in bytes as well as in number. Clients that
read the same list share its bytes, plain and compressed, so a change is compressed once and not once per client.
"""

import dataclasses
import hashlib
from weakref import WeakValueDictionary

REMEMBERED_ANSWERS = 20_000
REMEMBERED_BYTES = 64 * 1_048_576
NEVER = -1


@dataclasses.dataclass(slots=True, weakref_slot=True)
class Text:
    """The bytes of an answer and their ETag.

    `lines` is what an answer's head says of them, once it was said; `gzipped` the same text compressed, once somebody
    asked for that.
    """

    body: bytes
    etag: str
    lines: str = ""
    gzipped: bytes | None = None


class AnswerMemo:
    """Remembers answers by (client, question) as long as the catalogue's version is theirs."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[int, Text]] = {}
        self._texts: WeakValueDictionary[str, Text] = WeakValueDictionary()
        self._bytes = 0

    def get(self, key: tuple[str, str], version: int) -> Text | None:
        """An answer, if it is still today's."""
        held = self._answers.get(key)
        return held[1] if held and held[0] == version else None

    def put(self, key: tuple[str, str], version: int, body: bytes) -> Text:
        """Remember a body; with NEVER it is only given its ETag. Room for its compressed form counts too."""
        etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        text = self._texts.get(etag)
        cost = len(key[1])
        if text is None:
            text = self._texts[etag] = Text(body, etag)
            cost += 2 * len(body)
        if version == NEVER:
            return text
        self._bytes += cost
        if len(self._answers) >= REMEMBERED_ANSWERS or self._bytes > REMEMBERED_BYTES:
            self._answers.clear()
            self._bytes = cost
        self._answers[key] = (version, text)
        return text
