"""The first revision: every table; those of a release that had no revisions yet stay, with all that they hold."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables that are missing; a car's meter may say nothing, which an early release did not allow."""
    _tables().create_all(op.get_bind())
    with op.batch_alter_table("car_export") as batch:
        batch.alter_column("counter_wh", existing_type=sa.Float, nullable=True)


def _tables() -> sa.MetaData:
    made = sa.MetaData()
    car, zone = ("vehicle_ref",), ("zone",)
    sa.Table("enrolment", made, *_keys(*car), *_texts("zone", "document", "at"))
    sa.Table("driver_choice", made, *_keys(*car, "choice"), *_texts("at"), sa.Column("until", sa.String))
    sa.Table("directive", made, *_keys("directive_id"), *_directive())
    sa.Table("event_read", made, *_keys("version"), *_texts("read_at"))
    sa.Table("report_sent", made, *_keys("key"), *_texts("event_id", "report_id", "at"))
    bucket = sa.Column("bucket", sa.BigInteger, primary_key=True)
    sa.Table("zone_energy", made, *_keys(*zone), bucket, *_texts("document"))
    sa.Table("car_export", made, *_keys(*car), *_export())
    sa.Table("car_history", made, *_history())
    number = sa.Column("seq", NUMBER, primary_key=True)
    sa.Table("zone_history", made, number, *_texts("zone", index=True), *_texts("at", "document"))
    flipped, stops = sa.Column("flipped_at", sa.String), sa.Column("stops", sa.Integer, nullable=False)
    sa.Table("car_wear", made, *_keys(*car), flipped, stops)
    sa.Table("car_burden", made, *_keys(*car), *_texts("season"), sa.Column("kwh", sa.Float, nullable=False))
    sa.Table("pace", made, *_keys(*car), *_texts("document"))
    sa.Table("departure_habit", made, *_keys(*car), *_texts("document"))
    sa.Table("first_program", made, *_keys("payload_type"), *_texts("program_id", "at"))
    limit = sa.Column("kw", sa.Float, nullable=False)
    sa.Table("understood_limit", made, *_keys(*zone, "program_id", "dimension"), limit, *_texts("at"))
    sa.Table("event_limits", made, *_keys("event_id"), *_texts("document", "at"))
    return made


def _directive() -> list[sa.Column[Any]]:
    return [
        *_texts("vehicle_ref", index=True),
        sa.Column("event_id", sa.String, index=True),
        *_texts("state"),
        sa.Column("certainty", sa.Integer, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False, index=True),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        *_texts("ends_at", index=True),
        *_texts("document"),
    ]


def _export() -> list[sa.Column[Any]]:
    return [
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("year_wh", sa.Float, nullable=False),
        *_texts("event_id"),
        sa.Column("event_wh", sa.Float, nullable=False),
        sa.Column("counter_wh", sa.Float),
    ]


def _history() -> list[sa.Column[Any]]:
    return [
        sa.Column("seq", NUMBER, primary_key=True),
        *_texts("vehicle_ref", index=True),
        *_texts("at", "what"),
        *(sa.Column(name, sa.String) for name in ("directive_id", "state")),
        sa.Column("certainty", sa.Integer),
        *_texts("document"),
    ]


def _keys(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String, primary_key=True) for name in names]


def _texts(*names: str, index: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String, nullable=False, index=index) for name in names]
