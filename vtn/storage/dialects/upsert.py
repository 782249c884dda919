"""Insert rows, or overwrite those that are there: the one statement that the dialects spell apart."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

INSERT: dict[str, Callable[[Table], postgresql.Insert | sqlite.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Store rows by the table's primary key; a row that is there takes every other column from the new one."""
    if not rows:
        return
    key = [column.name for column in table.primary_key]
    statement = INSERT[connection.dialect.name](table)
    rest = {column.name: statement.excluded[column.name] for column in table.c if column.name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=rest), rows)
