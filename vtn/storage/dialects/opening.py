"""From a database's URL to a database that answers and has the newest schema. No message here shows a password."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from vtn.databases import OUT_OF_REACH, Schema, migrate, opening_failure, sqlite_path
from vtn.errors import CannotStart
from vtn.storage import migrations
from vtn.storage.dialects.database import Database
from vtn.storage.dialects.postgres import Postgres
from vtn.storage.dialects.sqlite import Sqlite

SCHEMA = Schema(Path(migrations.__file__).parent)
SQLITE = ("sqlite", "sqlite+aiosqlite")
POSTGRES = ("postgresql", "postgres", "postgresql+asyncpg")
OPTIONS = ("host", "port", "user", "password", "database", "passfile", "sslmode", "ssl", "target_session_attrs")


async def open_database(url: str, timeout_s: float) -> tuple[Database, str]:
    """The database at `url`, migrated, and a name for it that every process on this host gives it alike."""
    address, path = _parse(url), None
    if address.drivername in SQLITE:
        path = sqlite_path(address)
        identity = shown = f"sqlite:///{path}"
    else:
        address = _asyncpg(address)
        identity = address.set(drivername="postgresql", username=None, password=None).render_as_string()
        shown = address.set(drivername="postgresql").render_as_string(hide_password=True)
    try:
        await migrate(address, SCHEMA, timeout_s)
    except OUT_OF_REACH as error:
        raise CannotStart(f"the database {shown} cannot be opened: {opening_failure(error)}") from error
    return (Postgres(address, timeout_s) if path is None else Sqlite(path, timeout_s)), identity


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise CannotStart("the database URL cannot be read: sqlite:///PATH or postgresql://... is expected") from None
    if address.drivername not in (*SQLITE, *POSTGRES):
        raise CannotStart(f"the database URL must begin with sqlite: or postgresql:, not {address.drivername}:")
    return address


def _asyncpg(address: URL) -> URL:
    """The URL in asyncpg's words: libpq's `sslmode` is its `ssl`. CannotStart names an option that it does not know."""
    for name in address.query:
        if name not in OPTIONS:
            raise CannotStart(f"the database URL has the option {name}; known are {', '.join(OPTIONS)}")
    query = {("ssl" if name == "sslmode" else name): value for name, value in address.query.items()}
    return address.set(drivername="postgresql+asyncpg", query=query)
