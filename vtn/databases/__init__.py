"""What every store needs of SQLite and PostgreSQL alike: engines, private files, schema revisions, words for failures.

A store brings a folder of revisions and the name of the table that says which one its database has, and is brought to
the newest of them when it is opened. No query of a store stands here, and no table is known.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from vtn.errors import CannotStart
from vtn.privatefiles import FILE, private_database

TIMEOUT_S = 10.0
MIGRATION_LOCK = 0x65_76_74_6E_01
OUT_OF_REACH = (
    *(DBAPIError, PoolTimeout, TimeoutError, OSError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
)
INSERT: dict[str, Callable[[Table], postgresql.Insert | sqlite.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}
PRAGMAS = ("synchronous = FULL", "foreign_keys = ON")

# Alembic keeps the migration under way in module-level proxies, so a process runs one at a time.
_one_migration = threading.Lock()
logging.getLogger("alembic").setLevel(logging.WARNING)
# The driver would write every value that it stores into a debug log: names, places, VINs.
logging.getLogger("aiosqlite").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Schema:
    """A store's revisions: the folder that holds them, and the table that says which one a database has."""

    folder: Path
    version_table: str = "alembic_version"


def open_engine(url: str, pragmas: Sequence[str] = (), **options: Any) -> AsyncEngine:
    """An engine that has not connected yet; it waits `TIMEOUT_S` for a connection to a server and for a file's lock."""
    engine = create_async_engine(url, connect_args={"timeout": TIMEOUT_S}, **options)
    prepare_sqlite(engine.sync_engine, pragmas=pragmas)
    return engine


def prepare_sqlite(engine: Engine, begin: str | None = None, pragmas: Sequence[str] = ()) -> None:
    """Set `PRAGMAS` and further ones on each connection to a file; nothing happens for other databases.

    With `begin`, every transaction starts with that statement, in place of the driver's own idea of transactions.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        if begin is not None:
            connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*PRAGMAS, *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "invalidate")
    def _abandoned(connection: Any, _record: Any, _cause: BaseException | None) -> None:
        # A task that is cancelled inside a transaction gives its connection up. The file stays locked by it for as long
        # as anything refers to one of its statements, a traceback for instance, unless it is rolled back first.
        with contextlib.suppress(Exception, asyncio.CancelledError):
            connection.rollback()

    if begin is not None:

        @event.listens_for(engine, "begin")
        def _begun(connection: Connection) -> None:
            connection.exec_driver_sql(begin)


def sqlite_path(url: URL) -> Path:
    """The file that a URL names; CannotStart when it names none."""
    if not url.database or url.database == ":memory:":
        raise CannotStart("the database URL must name a file, such as sqlite:///var/vtn.db")
    return Path(url.database).resolve()


# --- schema revisions -------------------------------------------------------------------------------------------------


async def migrate(url: URL, schema: Schema, timeout_s: float = TIMEOUT_S) -> None:
    """Bring a database to the newest revision, in one transaction; another process that does the same is waited for.

    A SQLite file is made, closed to other users and set to write-ahead logging. CannotStart when the database's own
    revision is newer than all that are known.
    """
    await asyncio.to_thread(_migrate, url, schema, timeout_s)


def _migrate(url: URL, schema: Schema, timeout_s: float) -> None:
    with _one_migration:
        if url.get_backend_name() == "sqlite":
            _migrate_file(sqlite_path(url), schema, timeout_s)
        else:
            asyncio.run(_migrate_server(url, schema, timeout_s))


def _migrate_file(path: Path, schema: Schema, timeout_s: float) -> None:
    private_database(path)
    address, arguments = URL.create("sqlite", database=str(path)), {"timeout": timeout_s}
    engine = create_engine(address, connect_args=arguments, poolclass=NullPool, hide_parameters=True)
    prepare_sqlite(engine, "BEGIN IMMEDIATE", ("journal_mode = WAL", "secure_delete = ON"))
    with _locked(path.with_name(f"{path.name}.migrate")), engine.begin() as connection:
        upgrade(connection, schema)


async def _migrate_server(url: URL, schema: Schema, timeout_s: float) -> None:
    arguments = {"timeout": timeout_s}
    engine = create_async_engine(url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            await connection.run_sync(upgrade, schema)
    finally:
        await engine.dispose()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel lets go when the process dies."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def upgrade(connection: Connection, schema: Schema) -> None:
    """Apply the revisions that a database lacks, in the transaction that the connection is in. See `migrate`."""
    config = alembic_config(connection, schema)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    context = MigrationContext.configure(connection, opts={"version_table": schema.version_table})
    for revision in context.get_current_heads():
        if revision not in known:
            address = connection.engine.url
            shown = address.set(drivername=address.get_backend_name()).render_as_string(hide_password=True)
            raise CannotStart(
                f"the database {shown} has revision {revision} of a newer release, and this one knows revisions up to "
                f"{max(known)}: start the newer release again, or restore the backup made before its first start"
            )
    command.upgrade(config, "head")


def alembic_config(connection: Connection, schema: Schema) -> Config:
    """What Alembic's commands need to work on a store's database."""
    config = Config(attributes={"connection": connection, "schema": schema})
    locations = {"script_location": Path(__file__).parent, "version_locations": schema.folder}
    for option, value in {**locations, "path_separator": "newline"}.items():
        config.set_main_option(option, str(value).replace("%", "%%"))
    return config


# --- instants and failures --------------------------------------------------------------------------------------------


def print_at(at: datetime) -> str:
    """An instant as a store writes it: ISO 8601 in UTC, so that texts and instants have one order."""
    return at.astimezone(UTC).isoformat()


def parse_at(text: str) -> datetime:
    """An instant as a store wrote it."""
    return datetime.fromisoformat(text)


def opening_failure(error: BaseException) -> str:
    """Why a database cannot be opened, in words that show no statement, value or password."""
    cause: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if not isinstance(cause, sqlite3.Error) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.filename is not None:
        return f"{cause.filename}: {cause.strerror}"
    return str(cause) or type(cause).__name__
