"""Which clips of stock sites videos show, and until when services are not to be called."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "clip_uses",
        sa.Column("video_id", sa.String(64), primary_key=True),
        sa.Column("slot", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("used_at", sa.Float, nullable=False),
    )
    op.create_index("clip_uses_by_key", "clip_uses", ["key", "used_at"])
    op.create_index("clip_uses_by_age", "clip_uses", ["used_at"])
    op.create_table(
        "services",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("rests_until", sa.Float, nullable=False),
    )
