"""The first revision: every table; those of a release that had no revisions yet stay, with all that they hold."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables that are missing, and the one row of the head."""
    made, connection = _tables(), op.get_bind()
    made.create_all(connection)
    head = made.tables["enrol_head"]
    if connection.execute(sa.select(head)).first() is None:
        connection.execute(sa.insert(head).values(id=1, seq=0, told=0))


def _tables() -> sa.MetaData:
    made = sa.MetaData()
    head = sa.Column("id", sa.Integer, primary_key=True)
    sa.Table("enrol_head", made, head, _number("seq"), _number("told"))
    status, number = _texts("status", index=True), _number("seq", index=True)
    sa.Table("enrol_car", made, *_keys("vehicle_ref"), *status, number, *_texts("document"))
    vin = sa.Column("vin", sa.String, unique=True)
    account = (sa.Column(name, sa.String, index=True) for name in ("utility", "account_id"))
    sa.Table("enrol_person", made, *_keys("vehicle_ref"), vin, *account, *_texts("document"))
    program = _texts("program", index=True)
    sa.Table("enrol_membership", made, *_keys("vehicle_ref", "kind"), *program, *_texts("since"))
    sa.Table("enrol_consent", made, *_consent())
    sa.Table("enrol_terms", made, *_keys("sha256"), *_texts("text"))
    until, number = sa.Column("until", sa.String), _number("seq", index=True)
    sa.Table("enrol_choice", made, *_keys("vehicle_ref", "choice", "event_id"), *_texts("at"), until, number)
    sa.Table("enrol_decided", made, *_keys("vehicle_ref", "act"), *_texts("at"))
    sa.Table("enrol_change", made, *_numbered_car(), *_texts("what", "at", "detail"))
    digest = sa.Column("sha256", sa.String, nullable=False, unique=True)
    sa.Table("enrol_key", made, *_keys("name"), digest, *_texts("since"))
    sa.Table("enrol_answered", made, *_keys("key"), *_answered())
    sa.Table("enrol_rules", made, sa.Column("seq", sa.BigInteger, primary_key=True), *_texts("at", "document"))
    return made


def _consent() -> list[sa.Column[Any]]:
    return [
        *_numbered_car(),
        *_texts("scope", "version"),
        sa.Column("agreed", sa.Boolean, nullable=False),
        *_texts("at", "recorded_at", "terms_sha256"),
        sa.Column("valid_until", sa.String),
    ]


def _answered() -> list[sa.Column[Any]]:
    return [
        *_texts("request_sha256"),
        *_texts("vehicle_ref", index=True),
        sa.Column("status", sa.Integer, nullable=False),
        *_texts("body"),
        _number("at_s", index=True),
    ]


def _numbered_car() -> list[sa.Column[Any]]:
    return [sa.Column("seq", sa.BigInteger, primary_key=True), *_texts("vehicle_ref", index=True)]


def _number(name: str, *, index: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, index=index)


def _keys(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String, primary_key=True) for name in names]


def _texts(*names: str, index: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String, nullable=False, index=index) for name in names]
