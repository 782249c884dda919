"""What an adapter must still know after a restart: driver choices, directives, first-read instants, reports sent.

Writes are gathered while the engine works and committed once per cycle in one transaction, off the hot path. SQLite by
default, PostgreSQL by URL. Only this module of the engine speaks SQL. It knows nothing of OpenADR or of cars.
"""

import asyncio
import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel import Field, SQLModel

CHUNK = 500


class EnrolmentRow(SQLModel, table=True):
    """A car as it was enrolled, the line of the file as it stood."""

    __tablename__ = "enrolment"
    vehicle_ref: str = Field(primary_key=True)
    zone: str
    document: str
    at: str


class ChoiceRow(SQLModel, table=True):
    """What a driver decided last, and until when."""

    __tablename__ = "driver_choice"
    vehicle_ref: str = Field(primary_key=True)
    choice: str = Field(primary_key=True)
    at: str
    until: str | None = None


class DirectiveRow(SQLModel, table=True):
    """A directive, its state and its evidence; `document` is the whole of it as JSON."""

    __tablename__ = "directive"
    directive_id: str = Field(primary_key=True)
    vehicle_ref: str = Field(index=True)
    event_id: str | None = Field(default=None, index=True)
    state: str
    certainty: int
    final: bool = Field(index=True)
    confirmed: bool
    ends_at: str = Field(index=True)
    document: str


class EventRow(SQLModel, table=True):
    """When we first read this version of an event: the instant that `0001-01-01` means for it."""

    __tablename__ = "event_read"
    version: str = Field(primary_key=True)
    read_at: str


class ReportRow(SQLModel, table=True):
    """A report that the VTN has."""

    __tablename__ = "report_sent"
    key: str = Field(primary_key=True)
    event_id: str
    report_id: str
    at: str


class EnergyRow(SQLModel, table=True):
    """What one zone drew and fed in one bucket of time, so that a report survives a restart."""

    __tablename__ = "zone_energy"
    zone: str = Field(primary_key=True)
    bucket: int = Field(primary_key=True, sa_type=sqlalchemy.BigInteger)
    document: str


class ExportRow(SQLModel, table=True):
    """What a battery has given this year and in the event that it last gave for, Wh; None without a counter."""

    __tablename__ = "car_export"
    vehicle_ref: str = Field(primary_key=True)
    year: int
    year_wh: float
    event_id: str
    event_wh: float
    counter_wh: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Values:
    """A row as plain values: what is written thousands of times a second cannot afford to be a model first."""

    model: type[SQLModel]
    values: Mapping[str, Any]


Row = EnrolmentRow | ChoiceRow | DirectiveRow | EventRow | ReportRow | EnergyRow | ExportRow
TABLES: tuple[type[Row], ...] = (EnrolmentRow, ChoiceRow, DirectiveRow, EventRow, ReportRow, EnergyRow, ExportRow)
_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclasses.dataclass(frozen=True, slots=True)
class Remembered:
    """What the store held when the adapter started."""

    choices: tuple[ChoiceRow, ...] = ()
    directives: tuple[DirectiveRow, ...] = ()
    overridden: tuple[DirectiveRow, ...] = ()
    events: Mapping[str, datetime] = dataclasses.field(default_factory=dict)
    reports: frozenset[str] = frozenset()
    energy: tuple[EnergyRow, ...] = ()
    exports: tuple[ExportRow, ...] = ()


class Store:
    """The adapter's memory. `note` is free of I/O; `flush` commits everything noted since, in one transaction."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: AsyncEngine = create_async_engine(url)
        self._noted: dict[tuple[type[SQLModel], tuple[Any, ...]], Values] = {}
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Create what is missing; safe on a store in use."""
        path = make_url(self._url)
        if path.get_backend_name() == "sqlite" and path.database and path.database != ":memory:":
            await asyncio.to_thread(Path(path.database).parent.mkdir, parents=True, exist_ok=True)
        async with self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                await connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
            tables = [_table(model) for model in TABLES]
            await connection.run_sync(lambda sync: SQLModel.metadata.create_all(sync, tables=tables))

    async def close(self) -> None:
        """Commit what is noted and let go of the database."""
        try:
            await self.flush()
        finally:
            await self._engine.dispose()

    async def load(self, *, overridden_since: datetime | None = None) -> Remembered:
        """Everything a restarted engine needs: live directives, choices, first-read instants, reports sent.

        `overridden_since`: also the directives that drivers overrode and that would have ended after this instant.
        """
        async with self._engine.connect() as connection:
            table = _table(DirectiveRow)
            live = sqlalchemy.select(table).where(table.c.final.is_(False))
            late = print_at(overridden_since) if overridden_since is not None else "~"
            overridden = sqlalchemy.select(table).where(table.c.state == "OVERRIDDEN", table.c.ends_at >= late)
            return Remembered(
                choices=tuple(await _rows(connection, ChoiceRow)),
                directives=tuple(DirectiveRow(**row) for row in (await connection.execute(live)).mappings()),
                overridden=tuple(DirectiveRow(**row) for row in (await connection.execute(overridden)).mappings()),
                events={row.version: parse_at(row.read_at) for row in await _rows(connection, EventRow)},
                reports=frozenset(row.key for row in await _rows(connection, ReportRow)),
                energy=tuple(await _rows(connection, EnergyRow)),
                exports=tuple(await _rows(connection, ExportRow)),
            )

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

    def note(self, rows: Iterable[Row | Values]) -> None:
        """Remember rows at the next flush; a newer row with the same key replaces the older."""
        for row in rows:
            known = row if isinstance(row, Values) else Values(type(row), row.model_dump())
            self._noted[(known.model, tuple([known.values[name] for name in _keys(known.model)]))] = known

    async def flush(self) -> int:
        """Commit everything noted in one transaction and say how many rows; on failure all of it stays noted."""
        async with self._lock:
            batch, self._noted = self._noted, {}
            if not batch:
                return 0
            try:
                async with self._engine.begin() as connection:
                    for model in TABLES:
                        await _upsert(connection, model, [row.values for row in batch.values() if row.model is model])
            except BaseException:
                self._noted = batch | self._noted
                raise
            return len(batch)


def print_at(at: datetime) -> str:
    """An instant as the store writes it."""
    return at.astimezone(UTC).isoformat()


def parse_at(text: str) -> datetime:
    """An instant as the store wrote it."""
    return datetime.fromisoformat(text)


def document(content: Mapping[str, Any]) -> str:
    """A JSON column."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def _table(model: type[SQLModel]) -> sqlalchemy.Table:
    table: sqlalchemy.Table = SQLModel.metadata.tables[str(model.__tablename__)]
    return table


@functools.cache
def _keys(model: type[SQLModel]) -> tuple[str, ...]:
    return tuple(column.name for column in _table(model).primary_key.columns)


async def _rows(connection: AsyncConnection, model: type[Any]) -> list[Any]:
    return [model(**row) for row in (await connection.execute(sqlalchemy.select(_table(model)))).mappings()]


async def _upsert(connection: AsyncConnection, model: type[Row], rows: Sequence[Mapping[str, Any]]) -> None:
    table, keys = _table(model), _keys(model)
    insert = _INSERTS[connection.dialect.name](table)
    rest = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    statement = insert.on_conflict_do_update(index_elements=list(keys), set_=rest)
    for start in range(0, len(rows), CHUNK):
        await connection.execute(statement, list(rows[start : start + CHUNK]))
