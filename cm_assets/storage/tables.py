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
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claimed_until", sa.DateTime(timezone=True)),
    sa.Column("given_up", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("take_down", sa.JSON, nullable=False, server_default="[]"),
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
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("waits_for", sa.Text, nullable=False, server_default=""),
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

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("video_id", sa.String(64), nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("spread_at", sa.DateTime(timezone=True)),
    sa.Index("events_to_spread", "spread_at", "seq"),
    sa.Index("events_by_video", "video_id", "seq"),
    sqlite_autoincrement=True,
)

deliveries = sa.Table(
    "deliveries",
    metadata,
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
    sa.Index("deliveries_by_video", "endpoint", "video_id", "seq"),
)

_open = deliveries.c.delivered_at.is_(None) & deliveries.c.gave_up_at.is_(None)
sa.Index("deliveries_open", deliveries.c.endpoint, deliveries.c.seq, sqlite_where=_open, postgresql_where=_open)

posts = sa.Table(
    "posts",
    metadata,
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

credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("platform", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(200), primary_key=True),
    sa.Column("sealed", sa.Text, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("renewer", sa.String(32), nullable=False, server_default=""),
    sa.Column("renewed_until", sa.Float, nullable=False, server_default="0"),
)

clip_uses = sa.Table(
    "clip_uses",
    metadata,
    sa.Column("video_id", sa.String(64), primary_key=True),
    sa.Column("slot", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("used_at", sa.Float, nullable=False),
    sa.Index("clip_uses_by_key", "key", "used_at"),
    sa.Index("clip_uses_by_age", "used_at"),
)

services = sa.Table(
    "services",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("rests_until", sa.Float, nullable=False),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("rests_until", sa.DateTime(timezone=True), nullable=False),
)

spending = sa.Table(
    "spending",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("video_id", sa.String(64), nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("call", sa.String(64), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("nanodollars", sa.BigInteger),
    sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("seconds", sa.Float, nullable=False, server_default="0"),
    sa.Column("reply", sa.JSON(none_as_null=True)),
    sa.Index("spending_by_video", "video_id", "since"),
    sa.Index("spending_by_day", "day"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
)

stage_totals = sa.Table(
    "stage_totals",
    metadata,
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("ended", sa.String(16), primary_key=True),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(32), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("held_until", sa.Float, nullable=False),
)

step_workers = sa.Table(
    "step_workers",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("queues", sa.String(255), nullable=False),
    sa.Column("places", sa.Integer, nullable=False),
    sa.Column("heard_at", sa.Float, nullable=False),
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("place", sa.String(32), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("media_type", sa.String(64), nullable=False),
    sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ready", sa.Boolean, nullable=False),
    sa.Index("uploads_by_use", "ready", "used_at"),
)

sa.Index("uploads_ready", uploads.c.id, unique=True, sqlite_where=sa.text("ready"), postgresql_where=sa.text("ready"))
