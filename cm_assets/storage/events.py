"""The outbox of events: written in the transaction of what they tell, kept until everybody has been told."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cm_assets.models.event import ENDED, Event
from cm_assets.models.request import working_title
from cm_assets.partitions import VideoId

if TYPE_CHECKING:
    import sqlalchemy as sa


def record(connection: "sa.Connection", happened: Sequence[Event]) -> None:
    """Write events that are not there yet."""
    from cm_assets.storage.tables import events

    rows = [
        {"id": one.id, "video_id": one.video_id, "type": one.type, "at": one.at, "data": dict(one.data)}
        for one in happened
    ]
    insert_new(connection, events, rows)


def insert_new(connection: "sa.Connection", table: "sa.Table", rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, except those that are there."""
    from sqlalchemy.dialects import postgresql, sqlite

    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for row in rows:
        connection.execute(insert(table).values(**row).on_conflict_do_nothing())


def queued(video: VideoId, document: Mapping[str, Any], wanted_at: datetime) -> Event:
    """Somebody asks for a video (again)."""
    data = {"title": working_title(document), "state": "queued"}
    return Event.of(video, "video.queued", wanted_at.isoformat(), wanted_at, data)


def ended(connection: "sa.Connection", video: VideoId, outcome: str, reason: str, stage: str) -> Event:
    """Nobody waits for a video any more; read in the transaction that closes its request."""
    import sqlalchemy as sa

    from cm_assets.storage.tables import facts, requests

    stored = connection.execute(
        sa.select(requests.c.document, requests.c.wanted_at).where(requests.c.id == video)
    ).one()
    known = connection.scalar(sa.select(facts.c.facts).where(facts.c.video_id == video)) or {}
    wanted_at = utc(stored.wanted_at)
    kind = ENDED[outcome]
    data: dict[str, Any] = {
        "title": known.get("title") or working_title(stored.document),
        "state": kind.removeprefix("video."),
    }
    if outcome in {"done", "partial"}:
        data["links"] = known.get("links", {})
    if outcome == "rejected":
        data |= {"feedback": reason, "final": True}
    elif reason:
        data["reason"] = reason
    if stage:
        data["stage"] = stage
    return Event.of(video, kind, wanted_at.isoformat(), datetime.now(UTC), data)


def retired(video: VideoId, title: str, reason: str) -> Event:
    """A video's files and records are removed; that happens once."""
    data = {"title": title, "state": "retired", "reason": reason}
    return Event.of(video, "video.retired", "", datetime.now(UTC), data)


def utc(moment: datetime) -> datetime:
    """A time as it was stored: SQLite keeps no zone, and all times in here are UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
