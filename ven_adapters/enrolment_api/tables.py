"""The tables of the enrolment store. Personal data stands in one of them, so that one delete erases it.

The revisions in `migrations` make them; whoever changes a table adds a revision.
"""

from typing import ClassVar

import sqlalchemy
from sqlmodel import Field, SQLModel


class EnrolmentTable(SQLModel):
    """The root of every table here; its metadata is the schema that the revisions build."""

    metadata: ClassVar[sqlalchemy.MetaData] = sqlalchemy.MetaData()


class EnrolmentHeadRow(EnrolmentTable, table=True):
    """One row: the number of the last change. Every write locks it first, so numbers are committed in order."""

    __tablename__ = "enrol_head"
    id: int = Field(primary_key=True)
    seq: int = Field(sa_type=sqlalchemy.BigInteger)
    told: int = Field(sa_type=sqlalchemy.BigInteger)


class CarRow(EnrolmentTable, table=True):
    """What counts now for one car, under its pseudonym; `document` is an `Agreement` as JSON."""

    __tablename__ = "enrol_car"
    vehicle_ref: str = Field(primary_key=True)
    status: str = Field(index=True)
    seq: int = Field(index=True, sa_type=sqlalchemy.BigInteger)
    document: str


class PersonRow(EnrolmentTable, table=True):
    """Whose car it is and where it lives: never read by the engine, never sent anywhere, deleted at the end."""

    __tablename__ = "enrol_person"
    vehicle_ref: str = Field(primary_key=True)
    vin: str | None = Field(default=None, unique=True)
    utility: str | None = Field(default=None, index=True)
    account_id: str | None = Field(default=None, index=True)
    document: str


class MembershipRow(EnrolmentTable, table=True):
    """One car, one programme of a kind: the key says so."""

    __tablename__ = "enrol_membership"
    vehicle_ref: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    program: str = Field(index=True)
    since: str


class ConsentRow(EnrolmentTable, table=True):
    """The history of consents: rows are added and never changed."""

    __tablename__ = "enrol_consent"
    seq: int = Field(primary_key=True, sa_type=sqlalchemy.BigInteger)
    vehicle_ref: str = Field(index=True)
    scope: str
    version: str
    agreed: bool
    at: str
    recorded_at: str
    terms_sha256: str
    valid_until: str | None = None


class TermsRow(EnrolmentTable, table=True):
    """What drivers were shown: each text once."""

    __tablename__ = "enrol_terms"
    sha256: str = Field(primary_key=True)
    text: str


class ChosenRow(EnrolmentTable, table=True):
    """What a driver chose last; `event_id` is empty for a choice that is about all events."""

    __tablename__ = "enrol_choice"
    vehicle_ref: str = Field(primary_key=True)
    choice: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    at: str
    until: str | None = None
    seq: int = Field(index=True, sa_type=sqlalchemy.BigInteger)


class DecisionRow(EnrolmentTable, table=True):
    """When a driver last decided on one matter, by the name of the act: what is told late is ordered by it."""

    __tablename__ = "enrol_decided"
    vehicle_ref: str = Field(primary_key=True)
    act: str = Field(primary_key=True)
    at: str


class SkipRow(EnrolmentTable, table=True):
    """A token that a driver spent to skip one event, and the season that it was one of."""

    __tablename__ = "enrol_skip"
    vehicle_ref: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    season: str
    at: str


class NoticeRow(EnrolmentTable, table=True):
    """What a driver is told before or after an event; `document` is an `EventNotice` as JSON.

    `told`: the automaker's app took it, or it was too late.
    """

    __tablename__ = "enrol_notice"
    notice_id: str = Field(primary_key=True)
    vehicle_ref: str = Field(index=True)
    type: str
    event_id: str
    starts: str
    at: str
    ends: str = Field(index=True)
    told: bool = Field(index=True)
    document: str


class EnrolmentChangeRow(EnrolmentTable, table=True):
    """The journal: what happened to which pseudonym and when. The engine and the webhooks follow it."""

    __tablename__ = "enrol_change"
    seq: int = Field(primary_key=True, sa_type=sqlalchemy.BigInteger)
    vehicle_ref: str = Field(index=True)
    what: str
    at: str
    detail: str = ""


class RulesRow(EnrolmentTable, table=True):
    """The rules of programmes, each set that was ever in force, and since when: enrolled cars were judged by it."""

    __tablename__ = "enrol_rules"
    seq: int = Field(primary_key=True, sa_type=sqlalchemy.BigInteger)
    at: str
    document: str


class KeyRow(EnrolmentTable, table=True):
    """A bearer key of the automaker's app, as its SHA-256: 256 random bits need no slow hash."""

    __tablename__ = "enrol_key"
    name: str = Field(primary_key=True)
    sha256: str = Field(unique=True)
    since: str


class AnsweredRow(EnrolmentTable, table=True):
    """An answer already given, by idempotency key."""

    __tablename__ = "enrol_answered"
    key: str = Field(primary_key=True)
    request_sha256: str
    vehicle_ref: str = Field(index=True)
    status: int
    body: str
    at_s: int = Field(index=True, sa_type=sqlalchemy.BigInteger)


TABLES = EnrolmentTable.metadata.tables
