"""Which rows of a batch a database refuses for what they say, so that they keep no other row from being stored.

A text of a VTN or of a backend may hold what one make of database cannot: the character 0, half a surrogate pair. No
later try changes that. What a database refuses for any other reason (it is away, full, locked, closed) is no row's
fault. Knows no tables.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
Write = Callable[[AsyncConnection, Sequence[T]], Awaitable[None]]

# SQLSTATE classes: data exception, integrity constraint violation.
_STATES = frozenset({"22", "23"})
_SQLITE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


def says_what_cannot_be_kept(error: BaseException) -> bool:
    """Whether an error of a write may be the fault of a row."""
    if isinstance(error, (UnicodeError, OverflowError)):
        return True
    cause = getattr(error, "orig", None)
    return isinstance(cause, _SQLITE) or str(getattr(cause, "sqlstate", None) or "")[:2] in _STATES


async def refused(engine: AsyncEngine, rows: Sequence[T], write: Write[T]) -> list[T]:
    """The rows that cannot be written, each found by halves; nothing is written. Raises what is no row's fault."""
    if await _takes(engine, rows, write):
        return []
    if len(rows) == 1:
        async with engine.connect() as connection:  # raises when the database itself is not there any more
            await connection.execute(sqlalchemy.text("SELECT 1"))
        return list(rows)
    middle = len(rows) // 2
    return [*await refused(engine, rows[:middle], write), *await refused(engine, rows[middle:], write)]


async def _takes(engine: AsyncEngine, rows: Sequence[T], write: Write[T]) -> bool:
    """Whether rows could be written; they are not."""
    try:
        async with engine.connect() as connection, connection.begin() as transaction:
            await write(connection, rows)
            await transaction.rollback()
    except Exception as error:
        if not says_what_cannot_be_kept(error):
            raise
        return False
    return True
