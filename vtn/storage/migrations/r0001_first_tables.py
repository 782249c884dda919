"""The first schema: objects, the change log and its head, clients, and what the relay remembers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Build every table, and the one row of the head."""
    _programs_and_events()
    _reports()
    _subscriptions()
    _vens_and_resources()
    _log()
    _clients()
    _relay()


def downgrade() -> None:
    """Take every table away."""
    for table in (
        *("deliveries", "cursors", "clients", "change_log", "change_log_head", "report_archive"),
        *("reports", "subscriptions", "events", "programs", "resources", "vens"),
    ):
        op.drop_table(table)


def _stored(*columns: sa.Column[str]) -> list[sa.Column[str]]:
    return [
        sa.Column("id", KEY, primary_key=True),
        sa.Column("created", KEY, nullable=False),
        sa.Column("modified", KEY, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("client_id", KEY),
        *columns,
    ]


def _programs_and_events() -> None:
    name = sa.UniqueConstraint("name", name="programs_name")
    op.create_table("programs", *_stored(sa.Column("name", KEY, nullable=False)), name)
    program = sa.ForeignKeyConstraint(["program_id"], ["programs.id"], name="events_program")
    op.create_table("events", *_stored(sa.Column("program_id", KEY, nullable=False)), program)
    op.create_index("events_by_program", "events", ["program_id"])


def _report_columns() -> list[sa.Column[str]]:
    return [
        sa.Column("program_id", KEY),
        sa.Column("event_id", KEY, nullable=False),
        sa.Column("client_name", KEY),
    ]


def _reports() -> None:
    op.create_table(
        "reports",
        *_stored(*_report_columns()),
        sa.ForeignKeyConstraint(["program_id"], ["programs.id"], name="reports_program"),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name="reports_event"),
    )
    op.create_index("reports_by_program", "reports", ["program_id", "created"])
    op.create_index("reports_by_event", "reports", ["event_id", "created"])
    op.create_index("reports_by_client", "reports", ["client_id", "created"])
    op.create_index("reports_in_order", "reports", ["created", "id"])
    op.create_table("report_archive", *_stored(*_report_columns(), sa.Column("archived", KEY, nullable=False)))


def _subscriptions() -> None:
    program = sa.ForeignKeyConstraint(["program_id"], ["programs.id"], name="subscriptions_program")
    op.create_table("subscriptions", *_stored(sa.Column("program_id", KEY), sa.Column("client_name", KEY)), program)
    op.create_index("subscriptions_by_program", "subscriptions", ["program_id"])


def _vens_and_resources() -> None:
    op.create_table(
        "vens",
        *_stored(sa.Column("name", KEY, nullable=False)),
        sa.UniqueConstraint("name", name="vens_name"),
        sa.UniqueConstraint("client_id", name="vens_client"),
    )
    op.create_table(
        "resources",
        *_stored(sa.Column("ven_id", KEY, nullable=False), sa.Column("name", KEY, nullable=False)),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.id"], name="resources_ven"),
        sa.UniqueConstraint("ven_id", "name", name="resources_name"),
    )


def _log() -> None:
    op.create_table(
        "change_log",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, KEY, nullable=False) for name in ("at", "operation")),
        sa.Column("actor", KEY),
        *(sa.Column(name, KEY, nullable=False) for name in ("kind", "object_id", "created", "modified")),
        sa.Column("body", sa.Text, nullable=False),
        *(sa.Column(name, KEY) for name in ("client_id", "name", "program_id", "event_id", "ven_id", "client_name")),
        sa.Column("before", sa.Text),
    )
    head = op.create_table(
        "change_log_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("client_generation", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "client_generation": 0}])


def _clients() -> None:
    op.create_table(
        "clients",
        sa.Column("client_id", KEY, primary_key=True),
        sa.Column("role", KEY, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("created", KEY, nullable=False),
        sa.Column("valid_from_s", sa.Double, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
    )


def _relay() -> None:
    op.create_table(
        "cursors", sa.Column("outlet", KEY, primary_key=True), sa.Column("seq", sa.BigInteger, nullable=False)
    )
    op.create_table(
        "deliveries",
        sa.Column("subscription_id", KEY, primary_key=True),
        sa.Column("entry", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("operation", KEY, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at_s", sa.Double, nullable=False),
        sa.Column("last_error", sa.Text),
    )
    op.create_index("deliveries_in_order", "deliveries", ["state", "seq"])
    op.create_index("deliveries_by_change", "deliveries", ["seq"])
