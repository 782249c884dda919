"""Lists that were rendered and have not changed since, by who asked for what; one memo per process.

A client may spell one question in endless ways, so what is held is bounded in bytes. Clients that read the same list
share its bytes, plain and compressed, so a change is compressed once and not once per client.
"""

import asyncio
import dataclasses
import hashlib
from weakref import WeakValueDictionary

REMEMBERED_BYTES = 64 * 1_048_576
KEY_BYTES = 300
IN_A_THREAD_FROM = 1_048_576
NEVER = -1

Key = tuple[str, str]


@dataclasses.dataclass(slots=True, weakref_slot=True)
class Text:
    """The bytes of an answer and their ETag.

    `lines` is what an answer's head says of them, once it was said; `gzipped` the same text compressed, once somebody
    asked for that. `uses` counts the remembered answers that it is.
    """

    body: bytes
    etag: str
    lines: str = ""
    gzipped: bytes | None = None
    uses: int = 0


class AnswerMemo:
    """Remembers answers by (client, question) as long as the catalogue's version is theirs.

    When there is no room the oldest go; what is larger than all the room there is, is not remembered.
    """

    def __init__(self, most_bytes: int = REMEMBERED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._answers: dict[Key, tuple[int, Text]] = {}
        self._texts: WeakValueDictionary[str, Text] = WeakValueDictionary()
        self.bytes = 0

    def get(self, key: Key, version: int) -> Text | None:
        """An answer, if it is still today's."""
        held = self._answers.get(key)
        return held[1] if held and held[0] == version else None

    async def put(self, key: Key, version: int, body: bytes) -> Text:
        """Remember a body; with NEVER it is only given its ETag. A very long one takes a while to give one."""
        etag = _etag(body) if len(body) < IN_A_THREAD_FROM else await asyncio.to_thread(_etag, body)
        text = self._texts.get(etag)
        if text is None:
            text = self._texts[etag] = Text(body, etag)
        if version != NEVER:
            self._keep(key, version, text)
        return text

    def _keep(self, key: Key, version: int, text: Text) -> None:
        self._drop(key)
        if _key_weight(key) + _text_weight(text) > self._most_bytes:
            return
        self._answers[key] = (version, text)
        text.uses += 1
        self.bytes += _key_weight(key) + (_text_weight(text) if text.uses == 1 else 0)
        while self.bytes > self._most_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Key) -> None:
        held = self._answers.pop(key, None)
        if held is not None:
            text = held[1]
            text.uses -= 1
            self.bytes -= _key_weight(key) + (0 if text.uses else _text_weight(text))


def _etag(body: bytes) -> str:
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _key_weight(key: Key) -> int:
    return KEY_BYTES + len(key[0]) + len(key[1])


def _text_weight(text: Text) -> int:
    """Room for the compressed form counts too: it may come later."""
    return 2 * len(text.body) + KEY_BYTES
