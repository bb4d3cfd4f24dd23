"""The backlog's order and waits, and what is known of each video's work."""

from datetime import UTC

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

AGE_STEP = 600
"""Seconds for a step of priority, as it was when this was written."""


def upgrade() -> None:
    """Add the columns and tables; rank the requests that are there."""
    with op.batch_alter_table("requests") as table:
        table.add_column(sa.Column("rank", sa.Float, nullable=False, server_default="0"))
        table.add_column(sa.Column("resume_at", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("waiting_for", sa.Text, nullable=False, server_default=""))
        table.drop_index("requests_backlog")
        table.create_index("requests_backlog", ["wanted", "rank"])
        table.create_index("requests_by_outcome", ["outcome", "received_at"])
        table.create_index("requests_by_age", ["received_at"])
    requests = sa.table(
        "requests",
        sa.column("id", sa.String),
        sa.column("priority", sa.Integer),
        sa.column("received_at", sa.DateTime(timezone=True)),
        sa.column("rank", sa.Float),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(requests.c.id, requests.c.priority, requests.c.received_at)).all():
        received = row.received_at if row.received_at.tzinfo else row.received_at.replace(tzinfo=UTC)
        rank = received.timestamp() + row.priority * AGE_STEP
        connection.execute(requests.update().where(requests.c.id == row.id).values(rank=rank))
    op.create_table(
        "facts",
        sa.Column("video_id", sa.String(64), primary_key=True),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
