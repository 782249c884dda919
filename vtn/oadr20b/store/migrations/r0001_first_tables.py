"""The first revision: every table."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    made = sa.MetaData()
    sa.Table("b20_nonce", made, *_keys("nonce"), sa.Column("at_s", sa.BigInteger, nullable=False, index=True))
    sa.Table("b20_journal", made, _seq(), *_texts("peer", "at", index=True), *_flags("sent"), *_texts("body"))
    sa.Table("b20_up_connection", made, *_keys("name"), *_texts("document"))
    sa.Table(
        "b20_up_event",
        made,
        *_keys("name", "event_id"),
        sa.Column("modification", sa.BigInteger, nullable=False),
        *_flags("cancelled", "applied", "acked"),
        *_texts("opt"),
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("oa3_id", sa.String),
        *_texts("request_id"),
        *_texts("ends_at", index=True),
        *_texts("document"),
    )
    until = sa.Column("sent_until", sa.String)
    sa.Table(
        "b20_up_request", made, *_keys("name", "request_id"), *_texts("due_at"), until, *_flags("done"), _document()
    )
    sa.Table("b20_up_opt", made, *_keys("name", "subject"), *_texts("opt_id", "state", "document"))
    unique = sa.Column("ven_name", sa.String, nullable=False, unique=True)
    fingerprint = sa.Column("fingerprint", sa.String, index=True)
    sa.Table("b20_ven", made, *_keys("ven_id"), unique, fingerprint, *_texts("provision", "state"))
    sa.Table(
        "b20_ven_event",
        made,
        *_keys("ven_id", "event_id"),
        *_texts("oa3_id", index=True),
        sa.Column("modification", sa.BigInteger, nullable=False),
        *_texts("body_hash"),
        *_flags("cancelled"),
        sa.Column("acked", sa.BigInteger, nullable=False),
        sa.Column("opt", sa.String),
        *_texts("ends_at", index=True),
        *_texts("document"),
    )
    sa.Table("b20_ven_report", made, *_keys("ven_id", "specifier_id"), _document())
    sa.Table("b20_ven_request", made, *_keys("ven_id", "request_id"), *_texts("specifier_id", "state", "document"))
    sa.Table("b20_ven_opt", made, *_keys("ven_id", "opt_id"), _document())
    done = sa.Column("done", sa.Boolean, nullable=False, index=True)
    sa.Table("b20_ven_outbox", made, *_keys("subject"), *_texts("ven_id", "at", index=True), done, _document())
    sa.Table("b20_place", made, *_keys("name"), *_texts("object_id"))
    made.create_all(op.get_bind())


def _seq() -> sa.Column[int]:
    return sa.Column("seq", NUMBER, primary_key=True)


def _document() -> sa.Column[str]:
    return sa.Column("document", sa.String, nullable=False)


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, primary_key=True) for name in names]


def _texts(*names: str, index: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=False, index=index) for name in names]


def _flags(*names: str) -> list[sa.Column[bool]]:
    return [sa.Column(name, sa.Boolean, nullable=False) for name in names]
