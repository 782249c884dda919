"""The tables: for each kind of object the columns that it is found and judged by, and the object as it was sent.

Bodies are text, never a database's own JSON, so that what comes out is what went in. References between objects and
unique names are the database's to judge. This module holds no query.
"""

from typing import ClassVar

import sqlalchemy
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, MetaData, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from vtn.wire.enumerations import ObjectType

# Compared byte by byte on every database, whatever its locale.
KEY = Text().with_variant(Text(collation="C"), "postgresql")


class Base(SQLModel):
    """The root of every table here; its metadata is the schema that the migrations build."""

    metadata: ClassVar[MetaData] = MetaData()


class Stored(Base):
    """What every object has: when it came and changed, who owns it, and its JSON."""

    id: str = Field(primary_key=True, sa_type=KEY)
    created: str = Field(sa_type=KEY)
    modified: str = Field(sa_type=KEY)
    body: str = Field(sa_type=Text)
    client_id: str | None = Field(default=None, sa_type=KEY)
    side: str | None = Field(default=None, sa_type=Text)


class ProgramRow(Stored, table=True):
    """A program."""

    __tablename__ = "programs"
    __table_args__ = (UniqueConstraint("name", name="programs_name"),)
    name: str = Field(sa_type=KEY)


class EventRow(Stored, table=True):
    """An event of a program."""

    __tablename__ = "events"
    __table_args__ = (
        ForeignKeyConstraint(["program_id"], ["programs.id"], name="events_program"),
        Index("events_by_program", "program_id"),
        Index("events_of_program", "id", "program_id", unique=True),
    )
    program_id: str = Field(sa_type=KEY)


class ReportRow(Stored, table=True):
    """A report on an event; listed from here, so each filter has its index in listing order.

    Its program is its event's: the two are one reference, which follows an event to another program (TR-56).
    """

    __tablename__ = "reports"
    __table_args__ = (
        ForeignKeyConstraint(
            ["event_id", "program_id"], ["events.id", "events.program_id"], name="reports_event", onupdate="CASCADE"
        ),
        Index("reports_by_program", "program_id", "created"),
        Index("reports_by_event", "event_id", "created"),
        Index("reports_by_client", "client_id", "created"),
        Index("reports_in_order", "created", "id"),
    )
    program_id: str = Field(sa_type=KEY)
    event_id: str = Field(sa_type=KEY)
    client_name: str | None = Field(default=None, sa_type=KEY)


class SubscriptionRow(Stored, table=True):
    """A subscription, to one program or to all."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        ForeignKeyConstraint(["program_id"], ["programs.id"], name="subscriptions_program"),
        Index("subscriptions_by_program", "program_id"),
    )
    program_id: str | None = Field(default=None, sa_type=KEY)
    client_name: str | None = Field(default=None, sa_type=KEY)


class VenRow(Stored, table=True):
    """A ven; a client has at most one."""

    __tablename__ = "vens"
    __table_args__ = (
        UniqueConstraint("name", name="vens_name"),
        UniqueConstraint("client_id", name="vens_client"),
        Index("vens_of_client", "id", "client_id", unique=True),
    )
    name: str = Field(sa_type=KEY)


class ResourceRow(Stored, table=True):
    """A resource of a ven, owned by the ven's owner: the two are one reference where anybody owns them."""

    __tablename__ = "resources"
    __table_args__ = (
        ForeignKeyConstraint(["ven_id"], ["vens.id"], name="resources_ven"),
        ForeignKeyConstraint(
            ["ven_id", "client_id"], ["vens.id", "vens.client_id"], name="resources_owner", onupdate="CASCADE"
        ),
        UniqueConstraint("ven_id", "name", name="resources_name"),
    )
    ven_id: str = Field(sa_type=KEY)
    name: str = Field(sa_type=KEY)


class ArchivedReportRow(Stored, table=True):
    """A report that was deleted, by itself or with its event: kept for those who settle accounts.

    `size` is the length of its JSON text in bytes.
    """

    __tablename__ = "report_archive"
    __table_args__ = (
        Index("archive_by_client", "client_id", "archived"),
        Index("archive_in_order", "archived"),
    )
    program_id: str | None = Field(default=None, sa_type=KEY)
    event_id: str = Field(sa_type=KEY)
    client_name: str | None = Field(default=None, sa_type=KEY)
    archived: str = Field(sa_type=KEY)
    size: int = Field(sa_type=BigInteger)


class UsageRow(Base, table=True):
    """How much of one kind a client keeps stored; the owner "" stands for all clients together.

    The columns `most_...` hold the bound that the last growth was judged by, and nothing after a shrinking: so an
    amount above a bound that was lowered can shrink, and cannot grow.
    """

    __tablename__ = "client_usage"
    __table_args__ = (
        CheckConstraint("objects <= most_objects", name="usage_objects"),
        CheckConstraint("bytes <= most_bytes", name="usage_bytes"),
    )
    owner: str = Field(primary_key=True, sa_type=KEY)
    counted: str = Field(primary_key=True, sa_type=KEY)
    objects: int = Field(sa_type=BigInteger)
    bytes: int = Field(sa_type=BigInteger)
    most_objects: int | None = Field(default=None, sa_type=BigInteger)
    most_bytes: int | None = Field(default=None, sa_type=BigInteger)


class LeaseRow(Base, table=True):
    """One row once anybody has led: who leads, in which term, since when; `beat` rises while the leader lives."""

    __tablename__ = "leader_lease"
    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    term: int = Field(sa_type=BigInteger)
    beat: int = Field(sa_type=BigInteger)
    holder: str = Field(sa_type=KEY)
    since: str = Field(sa_type=KEY)
    locked: bool


class ChangeRow(Base, table=True):
    """One change. `before` is the state before an UPDATE, as JSON of the columns `created` to `client_name`."""

    __tablename__ = "change_log"
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: str = Field(sa_type=KEY)
    operation: str = Field(sa_type=KEY)
    actor: str | None = Field(default=None, sa_type=KEY)
    kind: str = Field(sa_type=KEY)
    object_id: str = Field(sa_type=KEY)
    created: str = Field(sa_type=KEY)
    modified: str = Field(sa_type=KEY)
    body: str = Field(sa_type=Text)
    client_id: str | None = Field(default=None, sa_type=KEY)
    name: str | None = Field(default=None, sa_type=KEY)
    program_id: str | None = Field(default=None, sa_type=KEY)
    event_id: str | None = Field(default=None, sa_type=KEY)
    ven_id: str | None = Field(default=None, sa_type=KEY)
    client_name: str | None = Field(default=None, sa_type=KEY)
    side: str | None = Field(default=None, sa_type=Text)
    before: str | None = Field(default=None, sa_type=Text)


class HeadRow(Base, table=True):
    """One row: the newest number of the log and the generation of the clients. Whoever writes holds its lock."""

    __tablename__ = "change_log_head"
    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    seq: int = Field(sa_type=BigInteger)
    client_generation: int = Field(sa_type=BigInteger)


class ClientRow(Base, table=True):
    """A registered API client; `scopes` are separated by spaces."""

    __tablename__ = "clients"
    client_id: str = Field(primary_key=True, sa_type=KEY)
    role: str = Field(sa_type=KEY)
    scopes: str = Field(sa_type=Text)
    secret_hash: str = Field(sa_type=Text, repr=False)
    created: str = Field(sa_type=KEY)
    valid_from_s: float = Field(sa_type=sqlalchemy.Double)
    revoked: bool
    fixed_scopes: bool = Field(sa_column_kwargs={"server_default": sqlalchemy.false()})


class CursorRow(Base, table=True):
    """How far an outlet of the relay has read the log."""

    __tablename__ = "cursors"
    outlet: str = Field(primary_key=True, sa_type=KEY)
    seq: int = Field(sa_type=BigInteger)


class DeliveryRow(Base, table=True):
    """A webhook notification that is still owed, or that was given up."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("deliveries_in_order", "state", "seq"), Index("deliveries_by_change", "seq"))
    subscription_id: str = Field(primary_key=True, sa_type=KEY)
    entry: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    operation: str = Field(sa_type=KEY)
    state: str = Field(sa_type=KEY)
    attempts: int
    next_at_s: float = Field(sa_type=sqlalchemy.Double)
    last_error: str | None = Field(default=None, sa_type=Text)
    host: str = Field(default="", sa_type=Text)
    since_s: float = Field(default=0.0, sa_type=sqlalchemy.Double)


class BrokenCallbackRow(Base, table=True):
    """A callback URL of one subscription that kept failing: it is not called again until somebody mends it."""

    __tablename__ = "broken_callbacks"
    subscription_id: str = Field(primary_key=True, sa_type=KEY)
    entry: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    url_digest: str = Field(sa_type=KEY)
    since: str = Field(sa_type=KEY)
    failures: int
    last_error: str = Field(sa_type=Text)


class MqttIdentifierRow(Base, table=True):
    """An MQTT client identifier and the client that it belongs to, as long as a session of that name may be stored."""

    __tablename__ = "mqtt_identifiers"
    __table_args__ = (Index("mqtt_identifiers_by_client", "client_id", "seen_s"),)
    identifier: str = Field(primary_key=True, sa_type=KEY)
    client_id: str = Field(sa_type=KEY)
    seen_s: float = Field(sa_type=sqlalchemy.Double)
    uses: int


METADATA = Base.metadata


def _table(model: type[SQLModel]) -> sqlalchemy.Table:
    return METADATA.tables[str(model.__tablename__)]


OBJECTS: dict[ObjectType, sqlalchemy.Table] = {
    ObjectType.PROGRAM: _table(ProgramRow),
    ObjectType.VEN: _table(VenRow),
    ObjectType.EVENT: _table(EventRow),
    ObjectType.RESOURCE: _table(ResourceRow),
    ObjectType.SUBSCRIPTION: _table(SubscriptionRow),
    ObjectType.REPORT: _table(ReportRow),
}
ARCHIVE = _table(ArchivedReportRow)
USAGE = _table(UsageRow)
LEASE = _table(LeaseRow)
LOG = _table(ChangeRow)
HEAD = _table(HeadRow)
CLIENTS = _table(ClientRow)
CURSORS = _table(CursorRow)
DELIVERIES = _table(DeliveryRow)
BROKEN_CALLBACKS = _table(BrokenCallbackRow)
MQTT_IDENTIFIERS = _table(MqttIdentifierRow)
