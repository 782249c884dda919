"""What is read of objects, reports and the log, as work on a connection. Each is one statement and so one instant."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, literal, select, true, union_all

from vtn.storage.ports import Change, Record, ReportQuery
from vtn.storage.records import FIELDS, LOG_COLUMNS, change_of, record_of, selected
from vtn.storage.tables import HEAD, LOG, OBJECTS
from vtn.wire.enumerations import ObjectType

FILTERS = ("client_id", "program_id", "event_id", "client_name")
REPORTS = OBJECTS[ObjectType.REPORT]


def head(connection: Connection) -> int:
    """The newest number of the log."""
    seq: int = connection.execute(select(HEAD.c.seq)).scalar_one()
    return seq


def changes(connection: Connection, after: int, limit: int) -> Sequence[Change]:
    """The log after a number."""
    query = select(*LOG_COLUMNS).where(LOG.c.seq > after).order_by(LOG.c.seq).limit(limit)
    return [change_of(row) for row in connection.execute(query)]


def objects(connection: Connection) -> tuple[int, Sequence[Record]]:
    """The head of the log and every object but reports: parents before children, each kind oldest first."""
    rows = connection.execute(_OBJECTS).all()
    seq: int = rows[0][0]
    return seq, [record_of(ObjectType(row[2]), row[3:]) for row in rows if row[2] is not None]


def report(connection: Connection, report_id: str) -> Record | None:
    """One report."""
    row = connection.execute(select(*selected(REPORTS)).where(REPORTS.c.id == report_id)).first()
    return record_of(ObjectType.REPORT, row) if row else None


def reports(connection: Connection, query: ReportQuery) -> Sequence[Record]:
    """Reports as asked, oldest first."""
    wanted = [REPORTS.c[name] == value for name in FILTERS if (value := getattr(query, name)) is not None]
    page = select(*selected(REPORTS)).where(*wanted).order_by(REPORTS.c.created, REPORTS.c.id)
    rows = connection.execute(page.offset(query.skip).limit(query.limit))
    return [record_of(ObjectType.REPORT, row) for row in rows]


def _every_object() -> Select[Any]:
    kinds = [kind for kind in OBJECTS if kind is not ObjectType.REPORT]
    parts = [
        select(literal(rank).label("rank"), literal(kind.value).label("kind"), *selected(OBJECTS[kind]))
        for rank, kind in enumerate(kinds)
    ]
    every = union_all(*parts).subquery()
    columns = [every.c[name] for name in ("rank", "kind", *FIELDS)]
    query = select(HEAD.c.seq, *columns).select_from(HEAD.outerjoin(every, true()))
    return query.order_by(every.c.rank, every.c.created, every.c.id)


_OBJECTS = _every_object()
