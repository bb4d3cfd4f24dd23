"""The outbox of events and their deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables; what has happened until now is history and is not told."""
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("video_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("spread_at", sa.DateTime(timezone=True)),
        sqlite_autoincrement=True,
    )
    op.create_index("events_to_spread", "events", ["spread_at", "seq"])
    op.create_index("events_by_video", "events", ["video_id", "seq"])
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.String(36), primary_key=True),
        sa.Column("endpoint", sa.String(32), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("video_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("gave_up_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("deliveries_by_video", "deliveries", ["endpoint", "video_id", "seq"])
    still_open = sa.text("delivered_at is null and gave_up_at is null")
    op.create_index(
        "deliveries_open", "deliveries", ["endpoint", "seq"], sqlite_where=still_open, postgresql_where=still_open
    )
    op.create_table(
        "endpoints",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=False),
    )
    facts = sa.table("facts", sa.column("video_id", sa.String), sa.column("facts", sa.JSON))
    connection = op.get_bind()
    for row in connection.execute(sa.select(facts.c.video_id, facts.c.facts)).all():
        known = dict(row.facts)
        if not known.get("active") and not known.get("failed_checks"):
            known["rendered"] = known.get("made", {}).get("render", -1)
            connection.execute(facts.update().where(facts.c.video_id == row.video_id).values(facts=known))
