"""PostgreSQL, and what speaks its wire protocol: a pool for readers, one kept connection for the writer.

The writer's connection is looked at before each use and never retried after a statement was sent, because a statement
whose answer is lost may have been committed. Every wait is bounded on this side and, for a server that still hears us,
on that side too, so that a stopped process never keeps the head of the log locked.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from vtn.databases import OUT_OF_REACH
from vtn.storage.dialects.database import OUR_FAULT, REFUSED, Creation, Work, in_words
from vtn.storage.records import Values
from vtn.storage.statements import inserts
from vtn.wire.enumerations import ObjectType

T = TypeVar("T")

LEADER_LOCK = 0x65_76_74_6E_02
POOL_SIZE = 5


class Postgres:
    """A database on a server; `timeout_s` bounds every connect, every statement and every wait for a connection."""

    def __init__(self, url: URL, timeout_s: float) -> None:
        timeout_ms = str(int(timeout_s * 1000))
        settings = {"statement_timeout": timeout_ms, "idle_in_transaction_session_timeout": timeout_ms}
        self._engine = create_async_engine(
            url,
            pool_size=POOL_SIZE,
            pool_timeout=timeout_s,
            pool_pre_ping=True,
            connect_args={"timeout": timeout_s, "command_timeout": timeout_s, "server_settings": settings},
        )
        self._lane: AsyncConnection | None = None
        self._leader: AsyncConnection | None = None

    async def read(self, work: Work[T]) -> T:
        """See `Database`."""
        with in_words():
            async with self._engine.connect() as connection, _discarded_when_broken(connection):
                return await connection.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        """See `Database`."""
        with in_words():
            async with self._engine.connect() as connection, _discarded_when_broken(connection):
                return await _transact(connection, work)

    async def commit(self, work: Work[T]) -> T:
        """See `Database`."""
        with in_words():
            connection = await self._writing()
            async with _discarded_when_broken(connection):
                return await _transact(connection, work)

    async def create(self, kind: ObjectType, run: Sequence[Creation], counted: Sequence[Values]) -> int:
        """See `Database`; one statement, one round trip, its own transaction."""
        with in_words():
            connection = await self._writing()
            async with _discarded_when_broken(connection):
                raw = await _raw(connection)
                first: int = await raw.fetchval(inserts.POSTGRES[kind], *inserts.postgres_arguments(run, counted))
                return first

    async def hold_lock(self) -> bool:
        """See `Database`; an advisory lock, held as long as its connection lives."""
        with in_words():
            if self._leader is not None and not await _answers(self._leader):
                await _discard(self._leader)
                self._leader = None
            if self._leader is None:
                self._leader = await self._candidate()
            return self._leader is not None

    async def release_lock(self) -> None:
        """See `Database`."""
        connection, self._leader = self._leader, None
        if connection is not None:
            await _discard(connection)

    async def close(self) -> None:
        """See `Database`."""
        for connection in (self._lane, self._leader):
            if connection is not None:
                await _discard(connection)
        self._lane = self._leader = None
        await self._engine.dispose()

    async def _writing(self) -> AsyncConnection:
        lane = self._lane
        if lane is not None and not lane.closed and (await _raw(lane)).is_closed():
            await _discard(lane)
        if lane is None or lane.closed:
            lane = self._lane = await self._engine.connect()
        return lane

    async def _candidate(self) -> AsyncConnection | None:
        connection = await self._engine.connect()
        async with _discarded_when_broken(connection):
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            if await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LEADER_LOCK}):
                return connection
        await connection.close()
        return None


async def _transact(connection: AsyncConnection, work: Work[T]) -> T:
    async with connection.begin():
        return await connection.run_sync(work)


async def _raw(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def _answers(connection: AsyncConnection) -> bool:
    try:
        await connection.execute(text("SELECT 1"))
    except OUT_OF_REACH:
        return False
    return True


@asynccontextmanager
async def _discarded_when_broken(connection: AsyncConnection) -> AsyncIterator[None]:
    try:
        yield
    except (*REFUSED, *OUR_FAULT):
        raise
    except Exception:
        await _discard(connection)
        raise


async def _discard(connection: AsyncConnection) -> None:
    if not connection.closed:
        with suppress(*OUT_OF_REACH):
            await connection.invalidate()
        with suppress(*OUT_OF_REACH):
            await connection.close()
