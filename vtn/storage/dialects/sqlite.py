"""SQLite: readers through aiosqlite, and one thread that owns the only writing connection.

A transaction of the writer is one hop to that thread. WAL with `synchronous=FULL`: a commit that was answered survives
a power cut. Several processes on one host may share the file; each write begins with `BEGIN IMMEDIATE`.
"""

import asyncio
import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from vtn.databases import prepare_sqlite
from vtn.storage.dialects.database import OUR_FAULT, REFUSED, Creation, Work, in_words
from vtn.storage.records import Values
from vtn.storage.statements import inserts
from vtn.wire.enumerations import ObjectType

T = TypeVar("T")


class Sqlite:
    """A database in one file; `timeout_s` bounds the wait for a lock that another process holds."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        arguments = {"timeout": timeout_s}
        self._readers = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)), connect_args=arguments, pool_timeout=timeout_s
        )
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)), connect_args=arguments, poolclass=NullPool
        )
        prepare_sqlite(self._readers.sync_engine, "BEGIN")
        prepare_sqlite(self._engine, "BEGIN IMMEDIATE")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._connection: Connection | None = None
        self._leading: int | None = None

    async def read(self, work: Work[T]) -> T:
        """See `Database`; one snapshot for all of the work."""
        with in_words():
            async with self._readers.connect() as connection:
                return await connection.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        """See `Database`; SQLite has one writer, so this queues for its thread."""
        with in_words():
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def commit(self, work: Work[T]) -> T:
        """See `Database`."""
        return await self.write(work)

    async def create(self, kind: ObjectType, run: Sequence[Creation], counted: Sequence[Values]) -> int:
        """See `Database`."""
        return await self.write(partial(inserts.create, kind=kind, run=run, counted=counted))

    async def hold_lock(self) -> bool:
        """See `Database`; a lock on a file beside the database, which the kernel lets go when the process dies."""
        if self._leading is None:
            with in_words():
                self._leading = _try_lock(self._path.with_name(f"{self._path.name}.lead"))
        return self._leading is not None

    async def release_lock(self) -> None:
        """See `Database`."""
        if self._leading is not None:
            os.close(self._leading)
            self._leading = None

    async def close(self) -> None:
        """See `Database`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown()
        await self._readers.dispose()
        await self.release_lock()

    def _transact(self, work: Work[T]) -> T:
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            with self._connection.begin():
                return work(self._connection)
        except (*REFUSED, *OUR_FAULT):
            raise
        except Exception:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _try_lock(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
