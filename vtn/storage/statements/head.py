"""Two counters that every process on this host shares: the change log's head and the generation of the clients.

A memory-mapped file holds them as two 64-bit integers, so that reading one costs about 100 ns and no system call. The
database is the truth; the file is a copy that a crash may leave behind, and `agree` mends it. This module knows nothing
of databases.
"""

import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vtn.privatefiles import private_folder

SEQ, CLIENTS = 0, 1
SIZE = 16


class SharedHead:
    """The counters of one database, named by `identity`, in a file under `directory`."""

    def __init__(self, directory: Path, identity: str) -> None:
        private_folder(directory)
        name = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.path = directory / f"head-{name}"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._locked():
            if os.fstat(self._file).st_size < SIZE:
                os.ftruncate(self._file, SIZE)
        self._map = mmap.mmap(self._file, SIZE)
        self._view = memoryview(self._map).cast("Q")

    def read(self, counter: int) -> int:
        """The counter `SEQ` or `CLIENTS`."""
        return self._view[counter]

    def rise(self, counter: int, value: int) -> None:
        """Raise a counter to `value`; it never falls by this."""
        with self._locked():
            self._view[counter] = max(self._view[counter], value)

    def agree(self, counter: int, seen: int, stored: int) -> None:
        """Make the counter agree with the database, which said `stored` after the counter had been `seen`.

        A counter is raised only after its commit, so one that was ahead belongs to another life of the database (it
        was restored or made anew) and is put back; one that is behind lost its last step in a crash.
        """
        with self._locked():
            if seen > stored and self._view[counter] == seen:
                self._view[counter] = stored
            self._view[counter] = max(self._view[counter], stored)

    def close(self) -> None:
        """Let go of the file."""
        self._view.release()
        self._map.close()
        os.close(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
