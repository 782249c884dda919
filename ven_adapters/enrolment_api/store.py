"""The enrolment store: SQLite by default, PostgreSQL by URL. Every write is one transaction, and numbered in order.

A write locks the head row before it reads, so what a write judges cannot change under it, and whoever follows the
numbers misses nothing. Knows no HTTP and no OpenADR.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ven_adapters.enrolment_api.models import Agreement, Choice
from ven_adapters.enrolment_api.responses import ConsentEntry
from ven_adapters.enrolment_api.tables import (
    TABLES,
    AnsweredRow,
    CarRow,
    ChosenRow,
    ConsentRow,
    DecisionRow,
    EnrolmentChangeRow,
    EnrolmentHeadRow,
    EnrolmentTable,
    KeyRow,
    PersonRow,
    SkipRow,
    TermsRow,
)
from ven_adapters.transport.windows import precedence
from vtn.databases import Schema, migrate, open_engine, parse_at, print_at

T = TypeVar("T")
SCHEMA = Schema(Path(__file__).with_name("migrations"), "enrol_version")
CHUNK = 500
SWEEPS, SWEEP_AGAIN_S = 20, 0.05
_log = logging.getLogger(__name__)
ERASED_FROM = ("enrol_person", "enrol_car", "enrol_choice", "enrol_answered", "enrol_skip", "enrol_notice")


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """A driver's choice as the engine takes it up."""

    vehicle_ref: str
    choice: Choice


@dataclasses.dataclass(frozen=True, slots=True)
class EnrolmentNews(Generic[T]):
    """What is newer than a number: agreements as the reader wants them, choices, and the number of the newest."""

    seq: int
    agreements: tuple[T, ...]
    chosen: tuple[Chosen, ...]


class EnrolmentWrite:
    """One transaction. Whatever raises inside it leaves nothing behind.

    `now` is our clock, `decided_at` the instant by which what is written is ordered (`transport.windows.precedence`).
    """

    def __init__(self, session: AsyncSession, seq: int, now: datetime, told_at: datetime | None = None) -> None:
        self.session = session
        self.now = now
        self.decided_at = precedence.decided_at(told_at or now, now)
        self.seq = seq

    def number(self) -> int:
        """The next number."""
        self.seq += 1
        return self.seq

    def car_values(self, agreement: Agreement) -> dict[str, Any]:
        """What counts for a car from now on, as the values of its row."""
        status, body = agreement.status.value, agreement.model_dump_json()
        return {"vehicle_ref": agreement.vehicle_ref, "status": status, "seq": self.number(), "document": body}

    def change_values(self, ref: str, what: str, detail: str = "") -> dict[str, Any]:
        """A line of the journal, as the values of its row."""
        return {"seq": self.number(), "vehicle_ref": ref, "what": what, "at": print_at(self.now), "detail": detail}

    async def add(self, model: type[EnrolmentTable], rows: Sequence[Mapping[str, Any]]) -> None:
        """Many new rows of one table at once."""
        if rows:
            await self.session.execute(sqlalchemy.insert(TABLES[str(model.__tablename__)]), rows)

    async def chosen(self, refs: Sequence[str], choice: str) -> set[str]:
        """Which of these cars' drivers hold a choice about all events."""
        query = select(ChosenRow.vehicle_ref).where(col(ChosenRow.vehicle_ref).in_(refs), ChosenRow.choice == choice)
        return set((await self.session.execute(query.where(ChosenRow.event_id == ""))).scalars())

    async def forget(self, refs: Sequence[str], choice: str) -> None:
        """A choice about all events that another one ended."""
        table = TABLES["enrol_choice"]
        these = table.c.vehicle_ref.in_(refs) & (table.c.choice == choice) & (table.c.event_id == "")
        await self.session.execute(sqlalchemy.delete(table).where(these))

    def put_car(self, row: CarRow | None, agreement: Agreement) -> None:
        """What counts for a car from now on."""
        values = self.car_values(agreement)
        if row is None:
            self.session.add(CarRow(**values))
            return
        for name, value in values.items():
            setattr(row, name, value)

    def journal(self, ref: str, what: str, detail: str = "") -> None:
        """Say in the journal what happened; `detail` holds nothing personal."""
        self.session.add(EnrolmentChangeRow(**self.change_values(ref, what, detail)))

    async def clear(self, model: type[EnrolmentTable], *refs: str) -> None:
        """Delete these cars' rows of one table."""
        table = TABLES[str(model.__tablename__)]
        await self.session.execute(sqlalchemy.delete(table).where(table.c.vehicle_ref.in_(refs)))

    async def cars(self, refs: Sequence[str]) -> dict[str, CarRow]:
        """What is on file for these cars."""
        rows = (await self.session.execute(select(CarRow).where(col(CarRow.vehicle_ref).in_(refs)))).scalars()
        return {row.vehicle_ref: row for row in rows}

    async def forget_answers(self, ref: str) -> None:
        """Answers about a car are blanked; their keys stay, so that a late retry does not act again."""
        table = TABLES["enrol_answered"]
        await self.session.execute(sqlalchemy.update(table).where(table.c.vehicle_ref == ref).values(body=""))

    async def decisions(self, ref: str) -> dict[str, datetime]:
        """When a car's driver last decided, by the name of the act."""
        noted = select(DecisionRow.act, DecisionRow.at).where(DecisionRow.vehicle_ref == ref)
        chosen = select(ChosenRow.choice, ChosenRow.at).where(ChosenRow.vehicle_ref == ref, ChosenRow.event_id == "")
        found: dict[str, datetime] = {}
        for query in (noted, chosen):
            for act, at in (await self.session.execute(query)).all():
                found[act.lower()] = max(parse_at(at), found.get(act.lower(), parse_at(at)))
        return found

    async def note_decision(self, ref: str, act: str) -> None:
        """What is written is the newest decision of its kind."""
        await self.session.merge(DecisionRow(vehicle_ref=ref, act=act, at=print_at(self.decided_at)))

    async def live_choices(self, ref: str) -> int:
        """How many choices hold for a car; those that are over are let go."""
        table = TABLES["enrol_choice"]
        over = (table.c.vehicle_ref == ref) & (table.c.until < print_at(self.now))
        await self.session.execute(sqlalchemy.delete(table).where(over))
        return await self.count(ChosenRow, vehicle_ref=ref)

    async def put_key(self, name: str, key: str | None) -> None:
        """The bearer key of a name from now on; None takes it away."""
        table = TABLES["enrol_key"]
        await self.session.execute(sqlalchemy.delete(table).where(table.c.name == name))
        if key is not None:
            self.session.add(KeyRow(name=name, sha256=digest(key.encode()), since=print_at(self.now)))

    async def keep_answer(self, row: AnsweredRow, *, older_than_s: int) -> None:
        """Keep an answer for its key, and let go of those given long ago."""
        table = TABLES["enrol_answered"]
        await self.session.execute(sqlalchemy.delete(table).where(table.c.at_s < older_than_s))
        self.session.add(row)

    async def count(self, model: type[EnrolmentTable], **equal: Any) -> int:
        """How many rows have these values."""
        table = TABLES[str(model.__tablename__)]
        query = sqlalchemy.select(sqlalchemy.func.count()).select_from(table)
        query = query.where(*(table.c[name] == value for name, value in equal.items()))
        return (await self.session.execute(query)).scalar_one()


class EnrolmentStore:
    """The store. `url` is a SQLAlchemy URL with an asynchronous driver."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url, ["secure_delete = ON"], hide_parameters=True)

    async def open(self) -> None:
        """Bring the database to the newest revision; safe on a store in use."""
        await migrate(self._engine.url, SCHEMA)

    async def close(self) -> None:
        """Let go of the database."""
        await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def write(self, now: datetime, told_at: datetime | None = None) -> AsyncIterator[EnrolmentWrite]:
        """A transaction that no other write runs beside; committed when the block ends well.

        `told_at`: when the sender says that it was decided; without it, now.
        """
        head = TABLES["enrol_head"]
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            await session.execute(sqlalchemy.update(head).values(seq=head.c.seq))
            seq = (await session.execute(sqlalchemy.select(head.c.seq))).scalar_one()
            write = EnrolmentWrite(session, seq, now, told_at)
            yield write
            await session.execute(sqlalchemy.update(head).values(seq=write.seq))

    async def scrub(self) -> None:
        """After an erasure: what was deleted leaves the files too, as soon as no reader needs them as they were."""
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                await connection.execute(sqlalchemy.text(f"VACUUM {', '.join(ERASED_FROM)}"))
                return
            for _ in range(SWEEPS):
                if not (await connection.execute(sqlalchemy.text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()[0]:
                    return
                await asyncio.sleep(SWEEP_AGAIN_S)
        _log.warning("readers are at work: what was erased leaves the write-ahead log at the next checkpoint")

    # --- what is read ---------------------------------------------------------------------------------------------

    def session(self) -> AsyncSession:
        """A session of this store, for tables that are written beside the numbered changes."""
        return AsyncSession(self._engine)

    async def agreement(self, ref: str) -> Agreement | None:
        """What counts for a car, enrolled or ended."""
        async with self.session() as session:
            row = await session.get(CarRow, ref)
        return None if row is None else agreement_of(row)

    async def page(self, after: str, limit: int) -> list[Agreement]:
        """The next cars after a ref."""
        query = select(CarRow).where(col(CarRow.vehicle_ref) > after).order_by(col(CarRow.vehicle_ref)).limit(limit)
        async with self.session() as session:
            return [agreement_of(row) for row in (await session.execute(query)).scalars()]

    async def history(self, ref: str) -> list[ConsentEntry]:
        """A car's consents, oldest first, with the text that was shown."""
        query = select(ConsentRow, TermsRow).join(
            TermsRow, col(TermsRow.sha256) == col(ConsentRow.terms_sha256), isouter=True
        )
        query = query.where(ConsentRow.vehicle_ref == ref).order_by(col(ConsentRow.seq))
        async with self.session() as session:
            return [_entry(consent, terms) for consent, terms in (await session.execute(query)).all()]

    async def changes(self, ref: str, after: int, limit: int, since: datetime) -> list[EnrolmentChangeRow]:
        """A car's journal after a number and from an instant on, oldest first."""
        query = select(EnrolmentChangeRow).where(
            EnrolmentChangeRow.vehicle_ref == ref, col(EnrolmentChangeRow.seq) > after
        )
        query = query.where(col(EnrolmentChangeRow.at) >= print_at(since))
        async with self.session() as session:
            return list((await session.execute(query.order_by(col(EnrolmentChangeRow.seq)).limit(limit))).scalars())

    async def choices(self, ref: str, now: datetime) -> list[Choice]:
        """A driver's choices that still hold."""
        query = select(ChosenRow).where(ChosenRow.vehicle_ref == ref).order_by(col(ChosenRow.seq))
        async with self.session() as session:
            found = [choice_of(row) for row in (await session.execute(query)).scalars()]
        return [choice for choice in found if choice.until is None or choice.until > now]

    async def skips(self, ref: str, season: str) -> int:
        """How many tokens of a season a driver has spent."""
        query = select(sqlalchemy.func.count()).where(SkipRow.vehicle_ref == ref, SkipRow.season == season)
        async with self.session() as session:
            return (await session.execute(query)).scalar_one()

    async def since(self, seq: int, now: datetime, view: Callable[[Agreement], T]) -> EnrolmentNews[T]:
        """Everything newer than a number; choices that are over are left out. `view` keeps what the reader needs."""
        async with self.session() as session:
            head = (await session.get_one(EnrolmentHeadRow, 1)).seq
            if head == seq:
                return EnrolmentNews(seq, (), ())
            chosen = select(ChosenRow).where(col(ChosenRow.seq) > seq).order_by(col(ChosenRow.seq))
            rows = (await session.execute(chosen)).scalars().all()
            cars = await session.stream_scalars(
                select(CarRow).where(col(CarRow.seq) > seq).execution_options(yield_per=CHUNK)
            )
            agreements = tuple([view(agreement_of(row)) async for row in cars])
        held = (Chosen(row.vehicle_ref, choice_of(row)) for row in rows)
        return EnrolmentNews(head, agreements, tuple(one for one in held if (one.choice.until or now) >= now))

    async def some(self, refs: Sequence[str]) -> list[Agreement]:
        """What counts for these cars."""
        found: list[Agreement] = []
        async with self.session() as session:
            for start in range(0, len(refs), CHUNK):
                query = select(CarRow).where(col(CarRow.vehicle_ref).in_(refs[start : start + CHUNK]))
                found += [agreement_of(row) for row in (await session.execute(query)).scalars()]
        return found

    async def untold(self, most: int) -> list[EnrolmentChangeRow]:
        """The oldest changes that the automaker's app has not been told."""
        async with self.session() as session:
            told = (await session.get_one(EnrolmentHeadRow, 1)).told
            query = (
                select(EnrolmentChangeRow)
                .where(col(EnrolmentChangeRow.seq) > told)
                .order_by(col(EnrolmentChangeRow.seq))
                .limit(most)
            )
            return list((await session.execute(query)).scalars())

    async def note_told(self, seq: int) -> None:
        """The automaker's app has every change up to this number."""
        head = TABLES["enrol_head"]
        async with self._engine.begin() as connection:
            await connection.execute(sqlalchemy.update(head).values(told=seq))

    async def key_name(self, key: str) -> str | None:
        """Whose bearer key this is."""
        async with self.session() as session:
            query = select(KeyRow).where(KeyRow.sha256 == digest(key.encode("utf-8", "surrogateescape")))
            row = (await session.execute(query)).scalar_one_or_none()
        return None if row is None else row.name

    async def ref_of_vin(self, vin: str) -> str | None:
        """The pseudonym of the car that its automaker knows by this VIN."""
        async with self.session() as session:
            query = select(PersonRow.vehicle_ref).where(PersonRow.vin == vin)
            return (await session.execute(query)).scalar_one_or_none()

    async def personal(self, ref: str) -> PersonRow | None:
        """Whose car it is: for tests and for a driver who asks what is on file."""
        async with self.session() as session:
            return await session.get(PersonRow, ref)


def agreement_of(row: CarRow) -> Agreement:
    """A stored agreement."""
    return Agreement.model_validate_json(row.document)


def choice_of(row: ChosenRow) -> Choice:
    """A stored choice."""
    told: Mapping[str, Any] = {"choice": row.choice, "event_id": row.event_id or None}
    return Choice(**told, at=parse_at(row.at), until=None if row.until is None else parse_at(row.until))


def _entry(row: ConsentRow, terms: TermsRow | None) -> ConsentEntry:
    values = row.model_dump(exclude={"seq", "vehicle_ref", "at", "recorded_at", "valid_until"})
    until = None if row.valid_until is None else parse_at(row.valid_until)
    at, recorded_at = parse_at(row.at), parse_at(row.recorded_at)
    text = None if terms is None else terms.text
    return ConsentEntry(number=row.seq, at=at, recorded_at=recorded_at, terms=text, valid_until=until, **values)


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
