"""From a database's URL to a database that answers and has the newest schema. No message here shows a password."""

import sqlite3
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from vtn.errors import CannotStart
from vtn.storage.dialects.database import OUT_OF_REACH, Database
from vtn.storage.dialects.postgres import Postgres
from vtn.storage.dialects.sqlite import Sqlite

SQLITE = ("sqlite", "sqlite+aiosqlite")
POSTGRES = ("postgresql", "postgres", "postgresql+asyncpg")
OPTIONS = ("host", "port", "user", "password", "database", "passfile", "sslmode", "ssl", "target_session_attrs")


async def open_database(url: str, timeout_s: float) -> tuple[Database, str]:
    """The database at `url`, migrated, and a name for it that every process on this host gives it alike."""
    address = _parse(url)
    if address.drivername in SQLITE:
        path = _path(address)
        database: Sqlite | Postgres = Sqlite(path, timeout_s)
        identity = shown = f"sqlite:///{path}"
    else:
        database = Postgres(_asyncpg(address), timeout_s)
        identity = address.set(drivername="postgresql", username=None, password=None).render_as_string()
        shown = address.set(drivername="postgresql").render_as_string(hide_password=True)
    try:
        await database.migrate()
    except CannotStart:
        await database.close()
        raise
    except (CommandError, *OUT_OF_REACH) as error:
        await database.close()
        raise CannotStart(_sentence(shown, error)) from error
    return database, identity


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise CannotStart("the database URL cannot be read: sqlite:///PATH or postgresql://... is expected") from None
    if address.drivername not in (*SQLITE, *POSTGRES):
        raise CannotStart(f"the database URL must begin with sqlite: or postgresql:, not {address.drivername}:")
    return address


def _path(address: URL) -> Path:
    if not address.database or address.database == ":memory:":
        raise CannotStart("the database URL must name a file, such as sqlite:///var/vtn.db")
    return Path(address.database).resolve()


def _asyncpg(address: URL) -> URL:
    """The URL in asyncpg's words: libpq's `sslmode` is its `ssl`. CannotStart names an option that it does not know."""
    for name in address.query:
        if name not in OPTIONS:
            raise CannotStart(f"the database URL has the option {name}; known are {', '.join(OPTIONS)}")
    query = {("ssl" if name == "sslmode" else name): value for name, value in address.query.items()}
    return address.set(drivername="postgresql+asyncpg", query=query)


def _sentence(shown: str, error: Exception) -> str:
    if isinstance(error, CommandError):
        return f"the database {shown} cannot be migrated: {error}"
    cause: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, sqlite3.Error) or cause.__cause__ is None:
        return f"the database {shown} cannot be opened: {cause or type(cause).__name__}"
    return f"the database {shown} cannot be opened: {cause.__cause__}"
