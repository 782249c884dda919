"""The tables of the adapter's own store, and nothing else. Instants are ISO 8601 in UTC; `document` columns are JSON.

The revisions in `migrations` make them; whoever changes a table adds a revision.
"""

from typing import ClassVar

import sqlalchemy
from sqlmodel import Field, SQLModel

# Counts up by itself on SQLite and on PostgreSQL.
NUMBER = sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer, "sqlite")


class AdapterRow(SQLModel):
    """The root of every table here; its metadata is the schema that the revisions build."""

    metadata: ClassVar[sqlalchemy.MetaData] = sqlalchemy.MetaData()


class EnrolmentRow(AdapterRow, table=True):
    """A car as it was enrolled, the line of the file as it stood."""

    __tablename__ = "enrolment"
    vehicle_ref: str = Field(primary_key=True)
    zone: str
    document: str
    at: str


class ChoiceRow(AdapterRow, table=True):
    """What a driver decided last, and until when."""

    __tablename__ = "driver_choice"
    vehicle_ref: str = Field(primary_key=True)
    choice: str = Field(primary_key=True)
    at: str
    until: str | None = None


class DirectiveRow(AdapterRow, table=True):
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


class EventReadRow(AdapterRow, table=True):
    """When we first read this version of an event: the instant that `0001-01-01` means for it."""

    __tablename__ = "event_read"
    version: str = Field(primary_key=True)
    read_at: str


class SentReportRow(AdapterRow, table=True):
    """A report that the VTN has."""

    __tablename__ = "report_sent"
    key: str = Field(primary_key=True)
    event_id: str
    report_id: str
    at: str


class EnergyRow(AdapterRow, table=True):
    """What one zone drew and fed in one bucket of time, so that a report survives a restart."""

    __tablename__ = "zone_energy"
    zone: str = Field(primary_key=True)
    bucket: int = Field(primary_key=True, sa_type=sqlalchemy.BigInteger)
    document: str


class ExportRow(AdapterRow, table=True):
    """What a battery has given this year and in the event that it last gave for, Wh; None without a counter."""

    __tablename__ = "car_export"
    vehicle_ref: str = Field(primary_key=True)
    year: int
    year_wh: float
    event_id: str
    event_wh: float
    counter_wh: float | None = None


class BurdenRow(AdapterRow, table=True):
    """What a season's events have cost a car, kWh withheld from it or taken out of it."""

    __tablename__ = "car_burden"
    vehicle_ref: str = Field(primary_key=True)
    season: str
    kwh: float


class HistoryRow(AdapterRow, table=True):
    """One thing that happened to a car, never changed: a directive's step, a driver's choice, why it was left alone.

    `state` and `certainty` are those that a directive's step led to.
    """

    __tablename__ = "car_history"
    seq: int | None = Field(default=None, primary_key=True, sa_type=NUMBER)
    vehicle_ref: str = Field(index=True)
    at: str
    what: str
    directive_id: str | None = None
    state: str | None = None
    certainty: int | None = None
    document: str


class ZoneRow(AdapterRow, table=True):
    """What a zone was asked from an instant on, one row per change."""

    __tablename__ = "zone_history"
    seq: int | None = Field(default=None, primary_key=True, sa_type=NUMBER)
    zone: str = Field(index=True)
    at: str
    document: str


class WearRow(AdapterRow, table=True):
    """When a car was last started or stopped by us, and how often it was stopped since it was plugged in."""

    __tablename__ = "car_wear"
    vehicle_ref: str = Field(primary_key=True)
    flipped_at: str | None = None
    stops: int


class FirstProgramRow(AdapterRow, table=True):
    """The untargeted program that a payload type counts from, because it was the first that asked it."""

    __tablename__ = "first_program"
    payload_type: str = Field(primary_key=True)
    program_id: str
    at: str


class LimitRow(AdapterRow, table=True):
    """The last limit of a program that was understood, kW: it counts while a later one is not."""

    __tablename__ = "understood_limit"
    zone: str = Field(primary_key=True)
    program_id: str = Field(primary_key=True)
    dimension: str = Field(primary_key=True)
    kw: float
    at: str


class PaceRow(AdapterRow, table=True):
    """How fast a car was seen to charge; `document` has the figures per bin of level."""

    __tablename__ = "pace"
    vehicle_ref: str = Field(primary_key=True)
    document: str


class DepartureRow(AdapterRow, table=True):
    """How long before the declared time a car's cable came out lately, in seconds, working days and weekends apart."""

    __tablename__ = "departure_habit"
    vehicle_ref: str = Field(primary_key=True)
    document: str


class PatienceRow(AdapterRow, table=True):
    """How often and how long events asked a car lately, and how its driver took them; `document` has the figures."""

    __tablename__ = "car_patience"
    vehicle_ref: str = Field(primary_key=True)
    document: str


class EventLimitsRow(AdapterRow, table=True):
    """The limits of an event's last version that could be read, as an event; empty when that had none."""

    __tablename__ = "event_limits"
    event_id: str = Field(primary_key=True)
    document: str
    at: str
