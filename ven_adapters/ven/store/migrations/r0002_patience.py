"""The second revision: how often events have asked each car, and how its driver took it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    made = sa.MetaData()
    key = sa.Column("vehicle_ref", sa.String, primary_key=True)
    sa.Table("car_patience", made, key, sa.Column("document", sa.String, nullable=False))
    made.create_all(op.get_bind())
