"""The second revision: tokens spent on skipping events, and notices of events to drivers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make both tables."""
    made = sa.MetaData()
    sa.Table("enrol_skip", made, *_keys("vehicle_ref", "event_id"), *_texts("season", "at"))
    sa.Table(
        "enrol_notice",
        made,
        *_keys("notice_id"),
        *_texts("vehicle_ref", index=True),
        *_texts("type", "event_id", "starts", "at"),
        *_texts("ends", index=True),
        sa.Column("told", sa.Boolean, nullable=False, index=True),
        *_texts("document"),
    )
    made.create_all(op.get_bind())


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, primary_key=True) for name in names]


def _texts(*names: str, index: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=False, index=index) for name in names]
