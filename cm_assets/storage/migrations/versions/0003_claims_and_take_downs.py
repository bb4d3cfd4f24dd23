"""Who may launch a run of a video; which posts are given up, and which are to be taken down; what a step waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    with op.batch_alter_table("requests") as table:
        table.add_column(sa.Column("attempt", sa.Integer, nullable=False, server_default="0"))
        table.add_column(sa.Column("claimed_until", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("given_up", sa.JSON, nullable=False, server_default="{}"))
        table.add_column(sa.Column("take_down", sa.JSON, nullable=False, server_default="[]"))
    with op.batch_alter_table("progress") as table:
        table.add_column(sa.Column("attempt", sa.Integer, nullable=False, server_default="1"))
        table.add_column(sa.Column("waits_for", sa.Text, nullable=False, server_default=""))
