"""What other faces remember of an object (`side`), and callbacks that kept failing."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WITH_SIDE = ("programs", "events", "reports", "subscriptions", "vens", "resources", "report_archive", "change_log")


def upgrade() -> None:
    """Add the column, and the table."""
    for table in WITH_SIDE:
        op.add_column(table, sa.Column("side", sa.Text))
    op.create_table(
        "broken_callbacks",
        sa.Column("subscription_id", KEY, primary_key=True),
        sa.Column("entry", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("url_digest", KEY, nullable=False),
        sa.Column("since", KEY, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("broken_callbacks")
    for table in WITH_SIDE:
        op.drop_column(table, "side")
