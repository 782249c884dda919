"""Store many new objects of one kind and their rows in the change log, as cheaply as each database can.

PostgreSQL takes them in one statement: it raises the head of the log, which also locks out other writers, moves the
counters of those who own the objects, and inserts both kinds of row from arrays. SQLite is asked four times within the
caller's transaction.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from vtn.storage.dialects.database import Creation
from vtn.storage.records import COLUMNS, FIELDS, LOGGED, Values, kept
from vtn.storage.statements.usage import COLUMNS as COUNTED
from vtn.storage.tables import HEAD, OBJECTS
from vtn.wire.enumerations import ObjectType, Operation

LOCK = select(HEAD.c.seq).with_for_update()
"""Who changes objects, counters or the archive goes first to this row, so that no two wait for each other."""
TAKE = update(HEAD).values(seq=HEAD.c.seq + bindparam("count")).returning(HEAD.c.seq)


def take(connection: Connection, count: int) -> int:
    """Raise the head of the log by `count`; the first of the numbers taken."""
    last: int = connection.execute(TAKE, {"count": count}).scalar_one()
    return last - count + 1


def create(connection: Connection, kind: ObjectType, run: Sequence[Creation], counted: Sequence[Values]) -> int:
    """Insert a run of new objects inside the transaction of `connection`; the first number of the log it took.

    `counted` are the rows of `usage` by which accounts grow.
    """
    if connection.dialect.name == "postgresql":
        arguments = postgres_arguments(run, counted)
        adapted: Any = connection.connection.dbapi_connection
        first: int = adapted.run_async(lambda raw: raw.fetchval(POSTGRES[kind], *arguments))
        return first
    return _create_sqlite(connection, kind, run, counted)


def postgres_arguments(run: Sequence[Creation], counted: Sequence[Values]) -> list[Any]:
    """The parameters of the statement in `POSTGRES`: how many, then one array per column; those of counters last."""
    return [len(run), *zip(*((at, actor, *row) for at, actor, row in run), strict=True), *zip(*counted, strict=True)]


def _create_sqlite(connection: Connection, kind: ObjectType, run: Sequence[Creation], counted: Sequence[Values]) -> int:
    first = take(connection, len(run))
    connection.exec_driver_sql(SQLITE_COUNT, [tuple(row) for row in counted])
    objects = [kept(kind, row) for _, _, row in run]
    log = [(first + n, at, Operation.CREATE, actor, kind, *row, None) for n, (at, actor, row) in enumerate(run)]
    connection.exec_driver_sql(SQLITE[kind], objects)
    connection.exec_driver_sql(SQLITE_LOG, log)
    return first


def _postgres(kind: ObjectType) -> str:
    names = ", ".join(FIELDS)
    last = 3 + len(FIELDS)
    arrays = ", ".join(f"${n}::text[]" for n in range(2, last + 1))
    counters = ", ".join(
        f"${n}::{'text' if n <= last + 2 else 'bigint'}[]" for n in range(last + 1, last + 1 + len(COUNTED))
    )
    columns = ", ".join(COLUMNS[kind])
    logged = ", ".join(LOGGED[:-1])
    return f"""
        WITH head AS (UPDATE change_log_head SET seq = seq + $1 RETURNING seq - $1 AS base),
        given AS (SELECT head.base + t.n AS seq, t.* FROM head,
                  unnest({arrays}) WITH ORDINALITY AS t(at, actor, {names}, n)),
        counted AS ({_count("SELECT t.* FROM head, unnest(" + counters + ") AS t")}),
        objects AS (INSERT INTO {OBJECTS[kind].name} ({columns}) SELECT {columns} FROM given),
        log AS (INSERT INTO change_log ({logged})
                SELECT seq, at, 'CREATE', actor, '{kind}', {names} FROM given)
        SELECT base + 1 FROM head
    """  # noqa: S608 - only our own table and column names are put in


def _count(source: str) -> str:
    """The counters of a source of rows, moved by what the source says."""
    return f"""
        INSERT INTO client_usage ({", ".join(COUNTED)}) {source}
        ON CONFLICT (owner, counted) DO UPDATE SET
            objects = client_usage.objects + excluded.objects, bytes = client_usage.bytes + excluded.bytes,
            most_objects = excluded.most_objects, most_bytes = excluded.most_bytes
    """


def _sqlite(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - our own names again


POSTGRES = {kind: _postgres(kind) for kind in OBJECTS}
SQLITE = {kind: _sqlite(table.name, COLUMNS[kind]) for kind, table in OBJECTS.items()}
SQLITE_COUNT = _count(f"VALUES ({', '.join('?' for _ in COUNTED)})")
SQLITE_LOG = _sqlite("change_log", LOGGED)
