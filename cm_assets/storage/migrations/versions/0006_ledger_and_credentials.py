"""What was begun on platforms, and the sealed tokens of the accounts there."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "posts",
        sa.Column("video_id", sa.String(64), primary_key=True),
        sa.Column("platform", sa.String(32), primary_key=True),
        sa.Column("account", sa.String(200), nullable=False, server_default=""),
        sa.Column("render_sha256", sa.String(64), nullable=False, server_default=""),
        sa.Column("handle", sa.Text, nullable=False, server_default=""),
        sa.Column("session", sa.Text, nullable=False, server_default=""),
        sa.Column("opened", sa.Integer, nullable=False, server_default="0"),
        sa.Column("bytes_sent", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("done", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("notes", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("post", sa.JSON),
        sa.Column("taken_down", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("holder", sa.String(32), nullable=False, server_default=""),
        sa.Column("held_until", sa.Float, nullable=False, server_default="0"),
    )
    op.create_table(
        "credentials",
        sa.Column("platform", sa.String(32), primary_key=True),
        sa.Column("account", sa.String(200), primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
