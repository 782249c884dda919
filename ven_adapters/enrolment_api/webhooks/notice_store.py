"""Notices of events in the enrolment store: written once by the engine, sent until they are taken, let go when over.

Each takes part in a write of the store, or reads beside it. A notice that is written twice is there once.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy
from sqlmodel import col, select

from ven_adapters.enrolment_api.store import CHUNK, EnrolmentStore, EnrolmentWrite
from ven_adapters.enrolment_api.tables import TABLES, NoticeRow
from ven_adapters.enrolment_api.webhooks.notices import EventNotice, NoticeType
from vtn.databases import INSERT, print_at

# How long after its event a notice is kept: so long it is known as told, and tried where it was not.
KEPT = timedelta(days=2)
TABLE = TABLES["enrol_notice"]


async def put_notices(write: EnrolmentWrite, notices: Sequence[EventNotice]) -> None:
    """Keep notices for sending; those that are known stay as they are."""
    connection = await write.session.connection()
    insert = INSERT[connection.dialect.name](TABLE).on_conflict_do_nothing()
    for start in range(0, len(notices), CHUNK):
        await write.session.execute(insert, [_values(one, write.now) for one in notices[start : start + CHUNK]])


def _values(notice: EventNotice, now: datetime) -> dict[str, Any]:
    return {
        "notice_id": notice.notice_id,
        "vehicle_ref": notice.vehicle_ref,
        "type": notice.type.value,
        "event_id": notice.event_id,
        "starts": print_at(notice.start),
        "ends": print_at(notice.end),
        "at": print_at(now),
        "told": False,
        "document": notice.model_dump_json(),
    }


async def untold_notices(store: EnrolmentStore, most: int) -> list[EventNotice]:
    """The oldest notices that the automaker's app has not taken."""
    query = select(NoticeRow).where(col(NoticeRow.told).is_(False)).order_by(col(NoticeRow.at)).limit(most)
    async with store.session() as session:
        rows = (await session.execute(query)).scalars().all()
    return [EventNotice.model_validate_json(row.document) for row in rows]


async def note_told(store: EnrolmentStore, ids: Sequence[str]) -> None:
    """The automaker's app took these notices."""
    async with store.session() as session, session.begin():
        await session.execute(sqlalchemy.update(TABLE).where(TABLE.c.notice_id.in_(ids)).values(told=True))


async def forget_notices(store: EnrolmentStore, now: datetime) -> int:
    """Let go of what no driver needs: all of events over two days ago, and untold ones of an event that has ended.

    How many of them nobody was told of.
    """
    untold = TABLE.c.told.is_(False)
    late = untold & (TABLE.c.type == NoticeType.EVENT_AHEAD.value) & (TABLE.c.ends <= print_at(now))
    old = TABLE.c.ends <= print_at(now - KEPT)
    async with store.session() as session, session.begin():
        lost: int = (
            await session.execute(sqlalchemy.select(sqlalchemy.func.count()).where(late | (old & untold)))
        ).scalar_one()
        # An unsent warning is marked, not deleted: that the car was to be warned is what its last notice rests on.
        await session.execute(sqlalchemy.update(TABLE).where(late).values(told=True))
        await session.execute(sqlalchemy.delete(TABLE).where(old))
    return lost


async def open_notices(store: EnrolmentStore) -> list[EventNotice]:
    """The notices before events that no notice after them followed yet: what a restarted engine goes on with."""
    query = select(NoticeRow).order_by(col(NoticeRow.at))
    async with store.session() as session:
        rows = (await session.execute(query)).scalars().all()
    over = {_about(row) for row in rows if row.type == NoticeType.EVENT_OVER.value}
    return _notices(row for row in rows if row.type == NoticeType.EVENT_AHEAD.value and _about(row) not in over)


def _notices(rows: Iterable[NoticeRow]) -> list[EventNotice]:
    return [EventNotice.model_validate_json(row.document) for row in rows]


def _about(row: NoticeRow) -> tuple[str, str, str]:
    return row.vehicle_ref, row.event_id, row.starts
