"""What clients keep is counted; the archive knows its sizes; references that share a value are one; who leads."""

import json

import sqlalchemy as sa
from alembic import op

from vtn.wire import document

revision = "0004"
down_revision = "0003"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OWNED = {"RESOURCE": "resources", "REPORT": "reports", "SUBSCRIPTION": "subscriptions"}
TOGETHER = {"PROGRAM": "programs", "EVENT": "events", "VEN": "vens"}
BYTES = {"postgresql": "octet_length(body)", "sqlite": "length(CAST(body AS BLOB))"}


def upgrade() -> None:
    """Mend what has strayed, tie it, and count what is there."""
    _tie_reports()
    _tie_resources()
    _archive()
    _count()
    op.create_table(
        "leader_lease",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("holder", KEY, nullable=False),
        sa.Column("since", KEY, nullable=False),
        sa.Column("locked", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Untie, and forget the counters."""
    op.drop_table("leader_lease")
    op.drop_table("client_usage")
    for index in ("archive_in_order", "archive_by_client"):
        op.drop_index(index, "report_archive")
    op.drop_column("report_archive", "size")
    with op.batch_alter_table("resources") as batch:
        batch.drop_constraint("resources_owner", type_="foreignkey")
    op.drop_index("vens_of_client", "vens")
    with op.batch_alter_table("reports") as batch:
        batch.drop_constraint("reports_event", type_="foreignkey")
        batch.alter_column("program_id", existing_type=KEY, nullable=True)
        batch.create_foreign_key("reports_event", "events", ["event_id"], ["id"])
        batch.create_foreign_key("reports_program", "programs", ["program_id"], ["id"])
    op.drop_index("events_of_program", "events")


def _tie_reports() -> None:
    """A report's program is its event's; those that an event left behind when it moved follow it now."""
    op.create_index("events_of_program", "events", ["id", "program_id"], unique=True)
    op.execute("""
        UPDATE reports SET program_id = (SELECT events.program_id FROM events WHERE events.id = reports.event_id)
    """)
    with op.batch_alter_table("reports") as batch:
        batch.drop_constraint("reports_event", type_="foreignkey")
        batch.drop_constraint("reports_program", type_="foreignkey")
        batch.alter_column("program_id", existing_type=KEY, nullable=False)
        batch.create_foreign_key(
            "reports_event", "events", ["event_id", "program_id"], ["id", "program_id"], onupdate="CASCADE"
        )


def _tie_resources() -> None:
    """A resource's owner is its ven's; those that were left behind follow, in their JSON too, digit for digit."""
    op.create_index("vens_of_client", "vens", ["id", "client_id"], unique=True)
    connection = op.get_bind()
    strays = connection.execute(
        sa.text("""
            SELECT resources.id, resources.body, vens.client_id FROM resources
            JOIN vens ON vens.id = resources.ven_id
            WHERE coalesce(resources.client_id, '') <> coalesce(vens.client_id, '')
        """)
    ).all()
    for object_id, body, owner in strays:
        content = {**document.parse(body.encode()), "clientID": owner}
        told = {name: value for name, value in content.items() if name != "clientID" or value is not None}
        values = {"body": document.render(told).decode(), "owner": owner, "id": object_id}
        connection.execute(sa.text("UPDATE resources SET body = :body, client_id = :owner WHERE id = :id"), values)
    with op.batch_alter_table("resources") as batch:
        batch.create_foreign_key(
            "resources_owner", "vens", ["ven_id", "client_id"], ["id", "client_id"], onupdate="CASCADE"
        )


def _archive() -> None:
    op.add_column("report_archive", sa.Column("size", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(f"UPDATE report_archive SET size = {_bytes()}")  # noqa: S608 - our own words
    op.create_index("archive_by_client", "report_archive", ["client_id", "archived"])
    op.create_index("archive_in_order", "report_archive", ["archived"])


def _count() -> None:
    op.create_table(
        "client_usage",
        sa.Column("owner", KEY, primary_key=True),
        sa.Column("counted", KEY, primary_key=True),
        sa.Column("objects", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("most_objects", sa.BigInteger),
        sa.Column("most_bytes", sa.BigInteger),
        sa.CheckConstraint("objects <= most_objects", name="usage_objects"),
        sa.CheckConstraint("bytes <= most_bytes", name="usage_bytes"),
    )
    for kind, table in TOGETHER.items():
        _count_table(kind, table, "''", "")
    for kind, table in {**OWNED, "ARCHIVE": "report_archive"}.items():
        _count_table(kind, table, "coalesce(client_id, '')", "GROUP BY 1")
    _count_entries()


def _count_table(kind: str, table: str, owner: str, grouped: str) -> None:
    op.execute(f"""
        INSERT INTO client_usage (owner, counted, objects, bytes)
        SELECT {owner}, '{kind}', count(*), coalesce(sum({_bytes()}), 0) FROM {table} {grouped}
    """)  # noqa: S608 - our own words


def _count_entries() -> None:
    connection = op.get_bind()
    entries: dict[str, int] = {}
    for owner, body in connection.execute(sa.text("SELECT coalesce(client_id, ''), body FROM subscriptions")):
        entries[owner] = entries.get(owner, 0) + len(json.loads(body).get("objectOperations") or ())
    for owner, number in entries.items():
        connection.execute(
            sa.text("INSERT INTO client_usage (owner, counted, objects, bytes) VALUES (:owner, 'ENTRIES', :n, 0)"),
            {"owner": owner, "n": number},
        )


def _bytes() -> str:
    return BYTES[op.get_bind().dialect.name]
