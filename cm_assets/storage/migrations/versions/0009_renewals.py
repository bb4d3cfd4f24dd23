"""Who is renewing the tokens of an account."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns."""
    with op.batch_alter_table("credentials") as table:
        table.add_column(sa.Column("renewer", sa.String(32), nullable=False, server_default=""))
        table.add_column(sa.Column("renewed_until", sa.Float, nullable=False, server_default="0"))
