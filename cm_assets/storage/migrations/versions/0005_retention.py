"""When a request was closed, what is left of its video, and what everything takes on the disk."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the table; what was closed before was closed when it was last heard of."""
    with op.batch_alter_table("requests") as table:
        table.add_column(sa.Column("closed_at", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("kept", sa.String(16), nullable=False, server_default="all"))
        table.create_index("requests_by_end", ["outcome", "kept", "closed_at"])
    with op.batch_alter_table("facts") as table:
        table.add_column(sa.Column("bytes", sa.BigInteger))
        table.create_index("facts_by_bytes", ["bytes"])
    op.create_table(
        "disk",
        sa.Column("part", sa.String(64), primary_key=True),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    op.execute(
        "update requests set closed_at = coalesce("
        "(select updated_at from facts where facts.video_id = requests.id), wanted_at) where outcome <> ''"
    )
