"""The tables of the intent database."""

import sqlalchemy as sa

metadata = sa.MetaData()

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("content_sha256", sa.String(64), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("wanted", sa.Boolean, nullable=False),
    sa.Column("wanted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("lost_runs", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rank", sa.Float, nullable=False, server_default="0"),
    sa.Column("resume_at", sa.DateTime(timezone=True)),
    sa.Column("waiting_for", sa.Text, nullable=False, server_default=""),
    sa.Column("closed_at", sa.DateTime(timezone=True)),
    sa.Column("kept", sa.String(16), nullable=False, server_default="all"),
    sa.UniqueConstraint("source", "key"),
    sa.Index("requests_backlog", "wanted", "rank"),
    sa.Index("requests_by_outcome", "outcome", "received_at"),
    sa.Index("requests_by_age", "received_at"),
    sa.Index("requests_by_end", "outcome", "kept", "closed_at"),
)

progress = sa.Table(
    "progress",
    metadata,
    sa.Column("video_id", sa.String(64), primary_key=True),
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
)

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("video_id", sa.String(64), primary_key=True),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("bytes", sa.BigInteger),
    sa.Index("facts_by_bytes", "bytes"),
)

disk = sa.Table(
    "disk",
    metadata,
    sa.Column("part", sa.String(64), primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)

cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
