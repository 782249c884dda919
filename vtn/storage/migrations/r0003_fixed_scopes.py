"""Clients whose token requests may name any scope and get their own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the mark; nobody has it yet."""
    op.add_column("clients", sa.Column("fixed_scopes", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("clients", "fixed_scopes")
