"""The windows that we keep, on disk before anything is sent: one line of JSON for each change, newest line wins.

A half-written last line, as a crash leaves it, is dropped. The file holds pseudonyms and readings, no secrets and no
places; it is private all the same. Without a path nothing is kept, which is for tests and try-outs.
"""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Generic, Protocol, TypeVar

import orjson

from ven_adapters.contract import BackendError, Directive
from ven_adapters.transport.codec import dumps, load
from ven_adapters.transport.private import write_private


class Kept(Protocol):
    """What a journal holds: something about one directive, which is over at some time."""

    @property
    def directive(self) -> Directive:
        """The directive."""

    @property
    def final(self) -> bool:
        """True when nothing more will happen."""


K = TypeVar("K", bound=Kept)
LINES = 50_000
KEPT = timedelta(days=1)


class Journal(Generic[K]):
    """An append-only file of windows of one kind, rewritten short when it is opened and when it has grown long."""

    def __init__(self, path: Path | None, kind: type[K]) -> None:
        self._path, self._kind = path, kind
        self._file: IO[bytes] | None = None
        self._lines = 0

    def open(self, now: datetime) -> dict[str, K]:
        """Every window that is not final or was lately, by directive; the file is left holding just these."""
        if self._path is None:
            return {}
        found: dict[str, K] = {}
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                self._take(line, now, found)
        kept = {name: window for name, window in found.items() if not window.final or window.directive.end > now - KEPT}
        self._rewrite(kept.values())
        return kept

    def shorten(self, windows: Iterable[K]) -> None:
        """Rewrite the file with these windows when it has grown long."""
        if self._lines > LINES:
            self._rewrite(windows)

    def note(self, window: K) -> None:
        """Write one change down; it is on disk when this returns."""
        self._append(dumps(window))

    def forget(self, directive_id: str) -> None:
        """A window that came to nothing: its call was refused and cannot have happened."""
        self._append(dumps({"forget": directive_id}))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite(self, windows: Iterable[K]) -> None:
        if self._path is None:
            return
        self.close()
        lines = [dumps(window) + b"\n" for window in windows]
        write_private(self._path, b"".join(lines))
        self._file, self._lines = self._path.open("ab"), 0

    def _append(self, line: bytes) -> None:
        if self._file is not None:
            self._lines += 1
            self._file.write(line + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def _take(self, line: bytes, now: datetime, found: dict[str, K]) -> None:
        try:
            raw = orjson.loads(line)
            if "forget" in raw:
                found.pop(raw["forget"], None)
                return
            window = load(self._kind, raw, received_at=now)
        except (orjson.JSONDecodeError, BackendError, TypeError):
            return
        found[window.directive.directive_id] = window
