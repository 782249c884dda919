"""What an adapter must still know after a restart, and what it must be able to explain later.

Writes are gathered while the engine works; one commit takes all that were gathered. SQLite by default, PostgreSQL by
URL. Only this module, `tables` and `migrations` speak SQL. It knows nothing of OpenADR or of cars.
"""

import asyncio
import dataclasses
import functools
import itertools
import json
import logging
import operator
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection

from ven_adapters.ven.store.refused_rows import refused, says_what_cannot_be_kept
from ven_adapters.ven.store.tables import (
    AdapterRow,
    BurdenRow,
    ChoiceRow,
    DepartureRow,
    DirectiveRow,
    EnergyRow,
    EnrolmentRow,
    EventLimitsRow,
    EventReadRow,
    ExportRow,
    FirstProgramRow,
    HistoryRow,
    LimitRow,
    PaceRow,
    PatienceRow,
    SentReportRow,
    WearRow,
    ZoneRow,
)
from vtn.databases import INSERT, Schema, migrate, open_engine, parse_at, print_at

__all__ = [
    "AdapterRow",
    "AdapterStore",
    "BurdenRow",
    "CarFacts",
    "ChoiceRow",
    "DepartureRow",
    "DirectiveRow",
    "EnergyRow",
    "EnrolmentRow",
    "EventLimitsRow",
    "EventReadRow",
    "ExportRow",
    "FirstProgramRow",
    "HistoryRow",
    "LimitRow",
    "PaceRow",
    "PatienceRow",
    "RowValues",
    "SentReportRow",
    "StoredState",
    "WearRow",
    "ZoneRow",
    "document",
    "parse_at",
    "print_at",
]

SCHEMA = Schema(Path(__file__).with_name("migrations"), "adapter_version")
CHUNK = 500
BLOCKS = (128, 32, 8)
SLICE = 2_000
HOUR = timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True)
class RowValues:
    """A row as plain values: what is written thousands of times a second cannot afford to be a model first."""

    model: type[AdapterRow]
    values: Mapping[str, Any]


# Histories, which grow; in all other tables the newest row of a key counts.
ADDED = (HistoryRow, ZoneRow)
# Always written in this order, so that two writers cannot wait for each other.
TABLES = tuple(AdapterRow.__subclasses__())
# What may not be left out: calls to cars and answers to drivers rest on it.
NEEDED = frozenset({DirectiveRow, ChoiceRow})
# What never changes under a key need not be written again, which spares its indexes.
_FIXED: Mapping[type[AdapterRow], frozenset[str]] = {DirectiveRow: frozenset({"vehicle_ref", "event_id", "ends_at"})}
_COUNTED = {"seq"}
_LEFT_ALONE = ("OVERRIDDEN", "REJECTED", "FAILED")
# Keys of what is kept per event start with its id: `ID@version` and `ID/instant/...`.
_EVENT_ID = re.compile("[@/]")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class StoredState:
    """What the store held when the adapter started."""

    choices: tuple[ChoiceRow, ...] = ()
    directives: tuple[DirectiveRow, ...] = ()
    overridden: tuple[DirectiveRow, ...] = ()
    events: Mapping[str, datetime] = dataclasses.field(default_factory=dict)
    reports: frozenset[str] = frozenset()
    energy: tuple[EnergyRow, ...] = ()
    exports: tuple[ExportRow, ...] = ()
    wear: tuple[WearRow, ...] = ()
    burdens: tuple[BurdenRow, ...] = ()
    paces: tuple[PaceRow, ...] = ()
    patience: tuple[PatienceRow, ...] = ()
    departures: tuple[DepartureRow, ...] = ()
    first_programs: tuple[FirstProgramRow, ...] = ()
    limits: tuple[LimitRow, ...] = ()
    event_limits: tuple[EventLimitsRow, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class CarFacts:
    """All that is stored of one car, its history oldest first."""

    history: tuple[HistoryRow, ...]
    directives: tuple[DirectiveRow, ...]
    enrolment: EnrolmentRow | None
    pace: PaceRow | None = None
    departure: DepartureRow | None = None


class AdapterStore:
    """The adapter's memory. `note` is free of I/O; `flush` commits everything noted since, in one transaction."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._noted: dict[tuple[type[AdapterRow], tuple[Any, ...]], RowValues] = {}
        self._added: list[RowValues] = []
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Bring the database to the newest revision; safe on a store in use."""
        await migrate(self._engine.url, SCHEMA)

    async def close(self) -> None:
        """Commit what is noted and let go of the database."""
        try:
            await self.flush()
        finally:
            await self._engine.dispose()

    async def load(self, *, overridden_since: datetime | None = None) -> StoredState:
        """Everything a restarted engine needs: live directives, choices, first-read instants, reports sent.

        `overridden_since`: also the directives that drivers overrode, or that were refused, and that would have ended
        after this instant.
        """
        async with self._engine.connect() as connection:
            table = _table(DirectiveRow)
            live = sqlalchemy.select(table).where(table.c.final.is_(False))
            late = print_at(overridden_since) if overridden_since is not None else "~"
            overridden = sqlalchemy.select(table).where(table.c.state.in_(_LEFT_ALONE), table.c.ends_at >= late)
            return StoredState(
                choices=tuple(await _rows(connection, ChoiceRow)),
                directives=tuple(DirectiveRow(**row) for row in (await connection.execute(live)).mappings()),
                overridden=tuple(DirectiveRow(**row) for row in (await connection.execute(overridden)).mappings()),
                events={row.version: parse_at(row.read_at) for row in await _rows(connection, EventReadRow)},
                reports=frozenset(row.key for row in await _rows(connection, SentReportRow)),
                energy=tuple(await _rows(connection, EnergyRow)),
                exports=tuple(await _rows(connection, ExportRow)),
                wear=tuple(await _rows(connection, WearRow)),
                burdens=tuple(await _rows(connection, BurdenRow)),
                paces=tuple(await _rows(connection, PaceRow)),
                patience=tuple(await _rows(connection, PatienceRow)),
                departures=tuple(await _rows(connection, DepartureRow)),
                first_programs=tuple(await _rows(connection, FirstProgramRow)),
                limits=tuple(await _rows(connection, LimitRow)),
                event_limits=tuple(await _rows(connection, EventLimitsRow)),
            )

    async def facts(self, ref: str) -> CarFacts:
        """What is stored of one car."""
        async with self._engine.connect() as connection:
            history = await _rows(connection, HistoryRow, vehicle_ref=ref)
            directives = await _rows(connection, DirectiveRow, vehicle_ref=ref)
            enrolment = next(iter(await _rows(connection, EnrolmentRow, vehicle_ref=ref)), None)
            pace = next(iter(await _rows(connection, PaceRow, vehicle_ref=ref)), None)
            departure = next(iter(await _rows(connection, DepartureRow, vehicle_ref=ref)), None)
        ordered = tuple(sorted(history, key=lambda row: row.seq or 0))
        return CarFacts(ordered, tuple(directives), enrolment, pace, departure)

    async def asked(self, zone: str) -> list[ZoneRow]:
        """What a zone was asked, oldest first."""
        async with self._engine.connect() as connection:
            rows = await _rows(connection, ZoneRow, zone=zone)
        return sorted(rows, key=lambda row: row.seq or 0)

    async def totals(self) -> Mapping[str, int]:
        """How many directives ended or stand in each state, and under `confirmed` how many were ever in force."""
        table = _table(DirectiveRow)
        query = sqlalchemy.select(table.c.state, table.c.confirmed, sqlalchemy.func.count()).group_by(
            table.c.state, table.c.confirmed
        )
        totals: dict[str, int] = {"confirmed": 0}
        async with self._engine.connect() as connection:
            for state, confirmed, count in await connection.execute(query):
                totals[state] = totals.get(state, 0) + count
                totals["confirmed"] += count if confirmed else 0
        return totals

    def note(self, rows: Iterable[AdapterRow | RowValues]) -> None:
        """Remember rows at the next flush; a newer row with the same key replaces the older, histories grow."""
        for row in rows:
            known = row if isinstance(row, RowValues) else RowValues(type(row), row.model_dump(exclude=_COUNTED))
            if known.model in ADDED:
                self._added.append(known)
            else:
                self._noted[(known.model, tuple([known.values[name] for name in _keys(known.model)]))] = known

    async def flush(self) -> int:
        """Commit everything noted in one transaction and say how many rows; on failure all of it stays noted.

        A row that the database refuses for what it says is left out and told, but for those that a call to a car, or
        the answer for a driver's choice, rests on.
        """
        async with self._lock:
            batch, self._noted = self._noted, {}
            added, self._added = self._added, []
            if not batch and not added:
                return 0
            try:
                return await self._commit([*batch.values(), *added])
            except BaseException:
                self._noted = batch | self._noted
                self._added = added + self._added
                raise

    async def _commit(self, rows: Sequence[RowValues]) -> int:
        try:
            async with self._engine.begin() as connection:
                await _write_all(connection, rows)
        except Exception as error:
            left = await refused(self._engine, rows, _write_all) if says_what_cannot_be_kept(error) else []
            if not left or any(one.model in NEEDED for one in left):
                raise
            names = ", ".join(sorted({str(one.model.__tablename__) for one in left}))
            _log.error("the database refuses %d rows for what they say, and they are left out: %s", len(left), names)
            out = set(map(id, left))
            return await self._commit(kept) if (kept := [one for one in rows if id(one) not in out]) else 0
        return len(rows)

    # --- what is let go -------------------------------------------------------------------------------------------

    async def forget(self, before: datetime, live_events: Collection[str]) -> int:
        """Delete a slice of what is older than an instant; how many rows it was, 0 when nothing is left to delete.

        Live directives stay, and so does what is known of `live_events` (their ids): when an event that still counts
        was first read, and which of its reports were sent.
        """
        cutoff = print_at(before)
        hours = _table(EnergyRow).c.bucket < int(before.timestamp() // HOUR.total_seconds())
        over = _table(DirectiveRow).c.final.is_(True) & (_table(DirectiveRow).c.ends_at < cutoff)
        async with self._lock, self._engine.begin() as connection:
            gone = [await _forget_oldest(connection, model, cutoff) for model in ADDED]
            gone += [await _forget_some(connection, model, at, cutoff, live_events) for model, at in _BY_EVENT]
            gone += [await _delete(connection, DirectiveRow, over), await _delete(connection, EnergyRow, hours)]
        return sum(gone)


def document(content: Mapping[str, Any]) -> str:
    """A JSON column."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def _table(model: type[AdapterRow]) -> sqlalchemy.Table:
    table: sqlalchemy.Table = AdapterRow.metadata.tables[str(model.__tablename__)]
    return table


@functools.cache
def _keys(model: type[AdapterRow]) -> tuple[str, ...]:
    return tuple(column.name for column in _table(model).primary_key.columns)


async def _write_all(connection: AsyncConnection, rows: Sequence[RowValues]) -> None:
    for model, values in _by_model(rows).items():
        await _write(connection, model, values)


def _by_model(noted: Iterable[RowValues]) -> Mapping[type[Any], list[Mapping[str, Any]]]:
    """Rows by table, in the order of `TABLES`."""
    found: dict[type[Any], list[Mapping[str, Any]]] = {model: [] for model in TABLES}
    for one in noted:
        found[one.model].append(one.values)
    return found


async def _rows(connection: AsyncConnection, model: type[Any], **equal: Any) -> list[Any]:
    table = _table(model)
    query = sqlalchemy.select(table).where(*(table.c[name] == value for name, value in equal.items()))
    return [model(**row) for row in (await connection.execute(query)).mappings()]


async def _write(connection: AsyncConnection, model: type[AdapterRow], rows: Sequence[Mapping[str, Any]]) -> None:
    """Put rows into a table: under keys the newest counts, histories grow.

    Statements are prepared once and given plain tuples: thousands of rows a second leave no time for more. SQLite takes
    many rows in one statement, because between two its thread would have to wait for the engine's own.
    """
    if not rows:
        return
    statement, names = _statement(model, connection.dialect)
    given = list(map(operator.itemgetter(*names), rows))
    for size in BLOCKS if connection.dialect.name == "sqlite" else ():
        text = _for_many(statement, len(names), size)
        while len(given) >= size:
            block, given = given[:size], given[size:]
            await connection.exec_driver_sql(text, tuple(itertools.chain.from_iterable(block)))
    for start in range(0, len(given), CHUNK):
        await connection.exec_driver_sql(statement, given[start : start + CHUNK])


@functools.cache
def _for_many(statement: str, columns: int, rows: int) -> str:
    """The same insert for so many rows at once."""
    one = f"({', '.join('?' * columns)})"
    head, _, tail = statement.partition(one)
    return f"{head}{', '.join([one] * rows)}{tail}"


@functools.cache
def _statement(model: type[AdapterRow], dialect: sqlalchemy.Dialect) -> tuple[str, tuple[str, ...]]:
    """The text of a table's insert for one make of database, and the columns in the order of its parameters."""
    table, keys = _table(model), _keys(model)
    fixed = {*keys, *_FIXED.get(model, ())}
    insert = INSERT[dialect.name](table)
    if model not in ADDED:
        rest = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in fixed}
        insert = insert.on_conflict_do_update(index_elements=list(keys), set_=rest)
    given = [column.name for column in table.columns if column.name not in _COUNTED]
    compiled = insert.compile(dialect=dialect, column_keys=given)
    return str(compiled), tuple(compiled.positiontup or given)


async def _delete(connection: AsyncConnection, model: type[AdapterRow], where: Any) -> int:
    """A slice of the rows for which something holds."""
    table, keys = _table(model), [_table(model).c[name] for name in _keys(model)]
    some = sqlalchemy.select(*keys).where(where).limit(SLICE)
    deleted = await connection.execute(sqlalchemy.delete(table).where(sqlalchemy.tuple_(*keys).in_(some)))
    return deleted.rowcount


async def _forget_oldest(connection: AsyncConnection, model: type[AdapterRow], cutoff: str) -> int:
    """A slice of a history from its beginning: what was written first is oldest, so no more is looked at.

    What was told late bears an old instant among new ones, and takes none of those with it.
    """
    table = _table(model)
    first = sqlalchemy.select(table.c.seq, table.c.at).order_by(table.c.seq).limit(SLICE)
    old = [seq for seq, at in await connection.execute(first) if at < cutoff]
    if not old:
        return 0
    gone = sqlalchemy.delete(table).where(table.c.seq <= old[-1], table.c.at < cutoff)
    return (await connection.execute(gone)).rowcount


_BY_EVENT: tuple[tuple[type[AdapterRow], str], ...] = (
    (EventReadRow, "read_at"),
    (SentReportRow, "at"),
    (EventLimitsRow, "at"),
)


async def _forget_some(
    connection: AsyncConnection, model: type[AdapterRow], at: str, cutoff: str, live_events: Collection[str]
) -> int:
    """What is old, but for what an event that still counts rests on; the key starts with the event's id."""
    table, (name,) = _table(model), _keys(model)
    keys = (await connection.execute(sqlalchemy.select(table.c[name]).where(table.c[at] < cutoff))).scalars()
    old = [key for key in keys if _EVENT_ID.split(key, 1)[0] not in live_events][:SLICE]
    for start in range(0, len(old), CHUNK):
        await connection.execute(sqlalchemy.delete(table).where(table.c[name].in_(old[start : start + CHUNK])))
    return len(old)
