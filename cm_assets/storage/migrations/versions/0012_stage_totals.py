"""How attempts of stages ended, and how long they took, all in all."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "stage_totals",
        sa.Column("stage", sa.String(64), primary_key=True),
        sa.Column("ended", sa.String(16), primary_key=True),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
