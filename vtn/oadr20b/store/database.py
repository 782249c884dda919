"""The bridges' store: rows as dictionaries, and writes that are committed together.

Statements that arrive while a commit is in flight are the next transaction, so that two thousand signed polls in ten
seconds cost a few commits and not two thousand. `write` returns once its statements are durable.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from vtn.databases import INSERT, OUT_OF_REACH, Schema, migrate, open_engine, opening_failure, parse_at, print_at
from vtn.errors import CannotStart
from vtn.oadr20b.codec.signatures import REPLAY_WINDOW, SignedAt
from vtn.oadr20b.store import tables

__all__ = ["BridgeStore", "Row", "Rows", "opened", "parse_at", "print_at"]

SCHEMA = Schema(Path(__file__).with_name("migrations"), "b20_version")
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
LARGEST_BATCH = 500
FORGET_EVERY = timedelta(seconds=30)
Row = Mapping[str, Any]
Rows = sa.Executable | tuple[sa.Executable, Sequence[Row]]


class BridgeStore:
    """One database. Reads see what is committed."""

    def __init__(self, url: str) -> None:
        named = make_url(url)
        driver = DRIVERS.get(named.get_backend_name())
        if driver is None:
            raise CannotStart("the database URL must begin with sqlite:/// or postgresql://")
        self._engine = open_engine(named.set(drivername=driver).render_as_string(hide_password=False))
        self._insert = INSERT[named.get_backend_name()]
        self._waiting: list[tuple[Sequence[Rows], asyncio.Future[list[int]]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._nonces: dict[str, tuple[int, asyncio.Future[bool]]] = {}
        self._taking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Bring the database to the newest revision; CannotStart when it cannot be opened."""
        try:
            await migrate(self._engine.url, SCHEMA)
        except OUT_OF_REACH as error:
            raise CannotStart(f"the database cannot be opened: {opening_failure(error)}") from None

    async def close(self) -> None:
        """Wait for what is being committed, and let go of the database."""
        pending = [one for one in (self._committing, self._taking) if one is not None]
        await asyncio.gather(*pending, return_exceptions=True)
        await self._engine.dispose()

    # --- reads --------------------------------------------------------------------------------------------------------

    async def rows(self, table: sa.Table, *, order: str = "", **equals: Any) -> list[dict[str, Any]]:
        """All rows whose columns are as told, see `_where`."""
        select = sa.select(table).where(*_where(table, equals))
        if order:
            select = select.order_by(table.c[order])
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(select)).mappings()]

    async def row(self, table: sa.Table, **equals: Any) -> dict[str, Any] | None:
        """The one row that matches, or None."""
        return next(iter(await self.rows(table, **equals)), None)

    # --- writes -------------------------------------------------------------------------------------------------------

    def put(self, table: sa.Table, rows: Sequence[Row], *, keep: bool = False) -> Rows:
        """A statement that inserts rows, or replaces those of the same key; with `keep` these stay as they are."""
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        if keep:
            return insert.on_conflict_do_nothing(), rows
        changed = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
        return insert.on_conflict_do_update(index_elements=keys, set_=changed), rows

    def add(self, table: sa.Table, row: Row) -> Rows:
        """A statement that inserts a row, which must be new."""
        return sa.insert(table), [row]

    def drop(self, table: sa.Table, **equals: Any) -> Rows:
        """A statement that deletes rows whose columns are as told."""
        return sa.delete(table).where(*_where(table, equals))

    def change(self, table: sa.Table, values: Row, **equals: Any) -> Rows:
        """A statement that changes rows whose columns are as told."""
        return sa.update(table).where(*_where(table, equals)).values(**values)

    async def write(self, *statements: Rows) -> list[int]:
        """Run statements in one transaction and commit; how many rows each changed."""
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((statements, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_all())
        return await done

    async def _commit_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            if not await self._settle(batch) and len(batch) > 1:
                for one in batch:  # one of them is at fault: each alone
                    await self._settle([one])

    async def _settle(self, batch: list[tuple[Sequence[Rows], asyncio.Future[list[int]]]]) -> bool:
        """Commit a batch and answer those who wait; of one that stands alone, also with its failure."""
        try:
            counts = await self._commit([statements for statements, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            if len(batch) == 1 and not batch[0][1].done():
                batch[0][1].set_exception(error)
            return False
        for (_, done), changed in zip(batch, counts, strict=True):
            if not done.done():
                done.set_result(changed)
        return True

    async def _commit(self, batch: Sequence[Sequence[Rows]]) -> list[list[int]]:
        async with self._engine.begin() as connection:
            return [[await _run(connection, one) for one in statements] for statements in batch]

    # --- nonces and the journal ---------------------------------------------------------------------------------------

    async def take(self, signed: SignedAt, now: datetime) -> bool:
        """See `NonceStore.take`. Nonces that come together are one statement."""
        key = f"{signed.at.isoformat()} {signed.nonce}"
        if key in self._nonces:
            return False
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._nonces[key] = int(now.timestamp()), taken
        if self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._take_all())
        return await taken

    async def _take_all(self) -> None:
        while self._nonces:
            batch = dict(itertools.islice(self._nonces.items(), LARGEST_BATCH))
            rows = [{"nonce": key, "at_s": at_s} for key, (at_s, _) in batch.items()]
            insert = self._insert(tables.NONCES).values(rows).on_conflict_do_nothing()
            try:
                async with self._engine.begin() as connection:
                    returned = await connection.execute(insert.returning(tables.NONCES.c.nonce))
                    fresh = set(returned.scalars())
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                for key, (_, taken) in batch.items():
                    del self._nonces[key]
                    if not taken.done():
                        taken.set_exception(error)
                continue
            for key, (_, taken) in batch.items():
                del self._nonces[key]
                if not taken.done():
                    taken.set_result(key in fresh)

    async def forget(self, now: datetime, journal_days: int) -> None:
        """Drop nonces that no signature can bear any more, and the journal's oldest messages."""
        old_s = int((now - 2 * REPLAY_WINDOW).timestamp()) - 1
        oldest = print_at(now - timedelta(days=journal_days))
        await self.write(
            sa.delete(tables.NONCES).where(tables.NONCES.c.at_s < old_s),
            sa.delete(tables.JOURNAL).where(tables.JOURNAL.c.at < oldest),
        )

    def note(self, peer: str, at: datetime, body: bytes, *, sent: bool) -> Rows:
        """A statement that keeps a message for disputes, as it was on the wire."""
        row = {"peer": peer, "at": print_at(at), "sent": sent, "body": body.decode("utf-8", "replace")}
        return sa.insert(tables.JOURNAL), [row]


def _where(table: sa.Table, equals: Mapping[str, Any]) -> list[Any]:
    """Columns that equal a value, are one of a list, or, named `<column>_before`, are less than it."""
    found: list[Any] = []
    for name, value in equals.items():
        if name.endswith("_before"):
            found.append(table.c[name.removesuffix("_before")] < value)
        elif isinstance(value, list):
            found.append(table.c[name].in_(value))
        else:
            found.append(table.c[name] == value)
    return found


async def _run(connection: Any, statement: Rows) -> int:
    if not isinstance(statement, tuple):
        return int((await connection.execute(statement)).rowcount)
    query, rows = statement
    if not rows:
        return 0
    return int((await connection.execute(query, rows[0] if len(rows) == 1 else list(rows))).rowcount)


@contextlib.asynccontextmanager
async def opened(url: str) -> Any:
    """A store for the length of a block."""
    store = BridgeStore(url)
    try:
        await store.open()
        yield store
    finally:
        await store.close()
