"""Since when and to which host a delivery is owed; whose an MQTT client identifier is."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns, which say "unknown" for what is owed already, and the table."""
    op.add_column("deliveries", sa.Column("host", sa.Text, nullable=False, server_default=""))
    op.add_column("deliveries", sa.Column("since_s", sa.Double, nullable=False, server_default="0"))
    op.create_table(
        "mqtt_identifiers",
        sa.Column("identifier", KEY, primary_key=True),
        sa.Column("client_id", KEY, nullable=False),
        sa.Column("seen_s", sa.Double, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
    )
    op.create_index("mqtt_identifiers_by_client", "mqtt_identifiers", ["client_id", "seen_s"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("mqtt_identifiers")
    op.drop_column("deliveries", "since_s")
    op.drop_column("deliveries", "host")
