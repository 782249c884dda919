"""What the store asks of a database, and how a database's failures become words. No query stands here.

Work is a plain function over a SQLAlchemy connection; a database runs it inside one transaction. Work may run twice
when the connection turns out to be dead before anything was committed.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import asyncpg
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from vtn.databases import INSERT, OUT_OF_REACH
from vtn.errors import Unavailable
from vtn.storage.records import Values
from vtn.wire.enumerations import ObjectType

T = TypeVar("T")
Work = Callable[[Connection], T]
Creation = tuple[str, str, Values]

REFUSED = (IntegrityError, asyncpg.IntegrityConstraintViolationError)
OUR_FAULT = (DataError, NotSupportedError, ProgrammingError)


class Database(Protocol):
    """One database, reached from one event loop."""

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing; each statement sees one instant."""
        ...

    async def write(self, work: Work[T]) -> T:
        """Run work and commit it, beside the writer's lane where the database can do that."""
        ...

    async def commit(self, work: Work[T]) -> T:
        """Run work on the writer's own connection and commit it. Not to be called again before it returns."""
        ...

    async def create(self, kind: ObjectType, run: Sequence[Creation], counted: Sequence[Values]) -> int:
        """Store new objects of one kind with their log rows and counters in a transaction; the first number given."""
        ...

    async def hold_lock(self) -> bool:
        """Try to take, or keep, the lock that only one process holds; it goes when the process dies."""
        ...

    async def release_lock(self) -> None:
        """Let go of that lock."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


@contextmanager
def in_words() -> Iterator[None]:
    """Turn the failure to reach a database into Unavailable; refusals by a constraint and our own mistakes pass."""
    try:
        yield
    except (*REFUSED, *OUR_FAULT):
        raise
    except OUT_OF_REACH as error:
        raise Unavailable(f"the database is out of reach ({reason(error)})") from error


def reason(error: BaseException) -> str:
    """Why, in a few words that hold neither parameters nor credentials."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, sqlite3.Error):
        return str(cause)
    return type(cause.__cause__ or cause).__name__


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Store rows by the table's primary key; a row that is there takes every other column from the new one."""
    if not rows:
        return
    key = [column.name for column in table.primary_key]
    statement = INSERT[connection.dialect.name](table)
    rest = {column.name: statement.excluded[column.name] for column in table.c if column.name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=rest), rows)
