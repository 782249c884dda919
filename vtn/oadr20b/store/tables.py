"""The tables of the bridges' store. The revisions in `migrations` make them; whoever changes a table adds a revision.

Columns are what is looked for; the rest of a row is JSON in `document`.
"""

import sqlalchemy as sa

METADATA = sa.MetaData()
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=True)


def _text(name: str, *, null: bool = False, index: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=null, index=index)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


PLACES = sa.Table("b20_place", METADATA, _key("name"), _text("object_id"))
"""Objects of the VTN that a bridge made once and keeps: programs by their names, and standing events."""
NONCES = sa.Table("b20_nonce", METADATA, _key("nonce"), sa.Column("at_s", sa.BigInteger, nullable=False, index=True))
JOURNAL = sa.Table(
    "b20_journal",
    METADATA,
    sa.Column("seq", NUMBER, primary_key=True),
    _text("peer", index=True),
    _text("at", index=True),
    _flag("sent"),
    _text("body"),
)

# --- a VEN of a utility's VTN -----------------------------------------------------------------------------------------

UP_CONNECTION = sa.Table("b20_up_connection", METADATA, _key("name"), _text("document"))
UP_EVENT = sa.Table(
    "b20_up_event",
    METADATA,
    _key("name"),
    _key("event_id"),
    sa.Column("modification", sa.BigInteger, nullable=False),
    _flag("cancelled"),
    _flag("applied"),
    _flag("acked"),
    _text("opt"),
    sa.Column("code", sa.Integer, nullable=False),
    _text("oa3_id", null=True),
    _text("request_id"),
    _text("ends_at", index=True),
    _text("document"),
)
UP_REQUEST = sa.Table(
    "b20_up_request",
    METADATA,
    _key("name"),
    _key("request_id"),
    _text("due_at"),
    _text("sent_until", null=True),
    _flag("done"),
    _text("document"),
)
UP_OPT = sa.Table(
    "b20_up_opt", METADATA, _key("name"), _key("subject"), _text("opt_id"), _text("state"), _text("document")
)
# --- a VTN for VENs ---------------------------------------------------------------------------------------------------

VENS = sa.Table(
    "b20_ven",
    METADATA,
    _key("ven_id"),
    sa.Column("ven_name", sa.String, nullable=False, unique=True),
    _text("fingerprint", null=True, index=True),
    _text("provision"),
    _text("state"),
)
VEN_EVENTS = sa.Table(
    "b20_ven_event",
    METADATA,
    _key("ven_id"),
    _key("event_id"),
    _text("oa3_id", index=True),
    sa.Column("modification", sa.BigInteger, nullable=False),
    _text("body_hash"),
    _flag("cancelled"),
    sa.Column("acked", sa.BigInteger, nullable=False),
    _text("opt", null=True),
    _text("ends_at", index=True),
    _text("document"),
)
VEN_REPORTS = sa.Table("b20_ven_report", METADATA, _key("ven_id"), _key("specifier_id"), _text("document"))
VEN_REQUESTS = sa.Table(
    "b20_ven_request",
    METADATA,
    _key("ven_id"),
    _key("request_id"),
    _text("specifier_id"),
    _text("state"),
    _text("document"),
)
VEN_OPTS = sa.Table("b20_ven_opt", METADATA, _key("ven_id"), _key("opt_id"), _text("document"))
VEN_OUTBOX = sa.Table(
    "b20_ven_outbox",
    METADATA,
    _key("subject"),
    _text("ven_id", index=True),
    _text("at", index=True),
    sa.Column("done", sa.Boolean, nullable=False, index=True),
    _text("document"),
)
