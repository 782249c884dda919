"""The windows that we keep, on disk before anything is sent: one line of JSON for each change, newest line wins.

A half-written last line, as a crash leaves it, is dropped. The file holds pseudonyms and readings, no secrets and no
places; it is private all the same. Without a path nothing is kept, which is for tests and try-outs.
"""

import logging
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Generic, Protocol, TypeVar

import orjson

from ven_adapters.contract import BackendError, Directive
from ven_adapters.transport.http.codec import dumps, load
from vtn.privatefiles import write_private


class JournalEntry(Protocol):
    """What a journal holds: something about one directive, which is over at some time."""

    @property
    def directive(self) -> Directive:
        """The directive."""

    @property
    def final(self) -> bool:
        """True when nothing more will happen."""


K = TypeVar("K", bound=JournalEntry)
LINES = 50_000
KEPT = timedelta(days=1)

_log = logging.getLogger(__name__)


class Journal(Generic[K]):
    """An append-only file of windows of one kind, rewritten short when it is opened and when it has grown long."""

    def __init__(self, path: Path | None, kind: type[K]) -> None:
        self._path, self._kind = path, kind
        self._file: IO[bytes] | None = None
        self._lines = 0
        self._behind = False

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
        """Rewrite the file with these windows when it has grown long; without room for a second one, it grows on."""
        if self._lines <= LINES:
            return
        try:
            self._rewrite(windows)
        except OSError as error:
            self._lines = 0
            _log.warning("the file of windows could not be shortened: %s", error.strerror)

    def note(self, window: K) -> None:
        """Write a change down before something is sent: it is on disk when this returns, or OSError says why not."""
        self._append(dumps(window))

    def follow(self, window: K) -> None:
        """Write down what became of a window. A full disk keeps nobody from giving a car back: then the file is behind.

        Whoever starts anew with such a file asks what became of the window, or gives the car back once more.
        """
        self._try(dumps(window))

    def forget(self, directive_id: str) -> None:
        """A window that came to nothing: its call was refused and cannot have happened."""
        self._try(dumps({"forget": directive_id}))

    def _try(self, line: bytes) -> None:
        try:
            self._append(line)
        except OSError as error:
            if not self._behind:
                _log.warning("what becomes of windows cannot be written down: %s", error.strerror)
            self._behind = True
        else:
            self._behind = False

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite(self, windows: Iterable[K]) -> None:
        if self._path is None:
            return
        lines = [dumps(window) + b"\n" for window in windows]
        write_private(self._path, b"".join(lines))
        before, self._file, self._lines = self._file, self._path.open("ab"), 0
        if before is not None:
            before.close()

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
