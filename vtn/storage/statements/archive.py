"""The archive of deleted reports: evidence for those who settle accounts, kept compressed and within bounds.

A client's archive holds so many bytes; beyond that its own oldest reports go, and nobody else's, in the transaction
that adds to it. What is older than the operator keeps it goes by `prune`. Work on a connection.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from vtn.storage.ports import Record
from vtn.storage.records import ARCHIVE_PACKED_FROM_BYTES, ARCHIVED, kept, pack, record_of, row_of, selected
from vtn.storage.statements import inserts, usage
from vtn.storage.statements.usage import Amount, Limits, UsageKey, owner_of
from vtn.storage.tables import ARCHIVE
from vtn.wire.enumerations import ObjectType

SLICE = 1000
_BODY = ARCHIVED.index("body")


def add(connection: Connection, records: Sequence[Record], at: str, bounds: Limits) -> None:
    """Archive reports that are about to be deleted, and make room for them in their owners' archives."""
    connection.execute(insert(ARCHIVE), [_row(record, at) for record in records])
    grown: dict[UsageKey, Amount] = {}
    for record in records:
        account = UsageKey(owner_of(record), usage.ARCHIVE)
        there = grown.get(account, Amount(0, 0))
        grown[account] = Amount(there.objects + 1, there.bytes + len(record.body))
    usage.count(connection, grown, bounds)
    for account in grown:
        _make_room(connection, account, bounds)


def _row(record: Record, at: str) -> dict[str, object]:
    values = list(kept(ObjectType.REPORT, row_of(record)))
    values[_BODY] = pack(record.body, ARCHIVE_PACKED_FROM_BYTES)
    return {**dict(zip(ARCHIVED, values, strict=True)), "archived": at, "size": len(record.body)}


def _make_room(connection: Connection, account: UsageKey, bounds: Limits) -> None:
    """Let the oldest of an owner's archive go until the rest fits."""
    most_bytes = bounds[usage.ARCHIVE].bytes or 0
    client = account.owner or None
    mine = ARCHIVE.c.client_id == client if client else ARCHIVE.c.client_id.is_(None)
    while (over := usage.held(connection, account).bytes - most_bytes) > 0:
        gone, freed = [], 0
        for object_id, size in _oldest(connection, mine):
            if freed >= over:
                break
            gone.append(object_id)
            freed += size
        if not gone:
            return
        connection.execute(delete(ARCHIVE).where(ARCHIVE.c.id.in_(gone)))
        usage.count(connection, {account: Amount(-len(gone), -freed)}, bounds)


def _oldest(connection: Connection, mine: ColumnElement[bool]) -> Sequence[tuple[str, int]]:
    query = select(ARCHIVE.c.id, ARCHIVE.c.size).where(mine).order_by(ARCHIVE.c.archived, ARCHIVE.c.id).limit(SLICE)
    return [(row[0], row[1]) for row in connection.execute(query)]


def prune(connection: Connection, before: str, bounds: Limits) -> int:
    """Drop the next part of what was archived before an instant; how many reports went."""
    connection.execute(inserts.LOCK)
    columns = (ARCHIVE.c.id, ARCHIVE.c.client_id, ARCHIVE.c.size)
    old = select(*columns).where(ARCHIVE.c.archived < before).order_by(ARCHIVE.c.archived).limit(SLICE)
    found = connection.execute(old).all()
    shrunk: dict[UsageKey, Amount] = {}
    for _, client_id, size in found:
        account = UsageKey(client_id or usage.EVERYONE, usage.ARCHIVE)
        there = shrunk.get(account, Amount(0, 0))
        shrunk[account] = Amount(there.objects - 1, there.bytes - size)
    if found:
        connection.execute(delete(ARCHIVE).where(ARCHIVE.c.id.in_([row[0] for row in found])))
        usage.count(connection, shrunk, bounds)
    return len(found)


def page(connection: Connection, after: tuple[str, str], client_id: str | None) -> Sequence[tuple[str, Record]]:
    """The next archived reports, oldest first, each with when it was archived; `after` is such an instant and an id."""
    at, object_id = after
    later = (ARCHIVE.c.archived > at) | ((ARCHIVE.c.archived == at) & (ARCHIVE.c.id > object_id))
    query = select(ARCHIVE.c.archived, *selected(ARCHIVE)).where(later)
    if client_id is not None:
        query = query.where(ARCHIVE.c.client_id == client_id)
    rows = connection.execute(query.order_by(ARCHIVE.c.archived, ARCHIVE.c.id).limit(SLICE))
    return list(_pairs(rows.all()))


def _pairs(rows: Sequence[Sequence[object]]) -> Iterator[tuple[str, Record]]:
    for row in rows:
        yield str(row[0]), record_of(ObjectType.REPORT, row[1:])
