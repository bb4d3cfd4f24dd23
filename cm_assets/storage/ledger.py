"""The ledger of posts: what was begun on a platform is written here before the first byte leaves the house.

Whoever posts holds the row under a token of its own, for a few seconds more with each note. Who was taken for dead and
comes back cannot write any more, so it never acts on what it alone knows.
"""

import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cm_assets.models.base import AskedToWait, Seconds
from cm_assets.models.post import LOST, LedgerEntry, Post
from cm_assets.partitions import VideoId
from cm_assets.storage.database import Database
from cm_assets.storage.events import insert_new

if TYPE_CHECKING:
    import sqlalchemy as sa

LEASE: Seconds = 15.0
"""How long a row is held after the newest note."""


class PostLedger:
    """The ledger in the intent database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entry(self, video_id: VideoId, platform: str) -> LedgerEntry | None:
        """What is known of a post; None if it was never begun."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import posts

        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(posts).where(posts.c.video_id == video_id, posts.c.platform == platform)
            ).one_or_none()
        return None if row is None else _entry(row._asdict())

    def begun(self, videos: Collection[VideoId]) -> dict[VideoId, tuple[str, ...]]:
        """The platforms on which something was begun that is a post, or may become one, and was not taken down."""
        from cm_assets.storage.tables import posts

        found: dict[VideoId, tuple[str, ...]] = {}
        query = posts.select().where(posts.c.video_id.in_(videos) & ~posts.c.taken_down).order_by(posts.c.platform)
        with self._database.reading() as connection:
            for row in connection.execute(query) if videos else ():
                if row.post is not None or row.session or row.handle:
                    found[row.video_id] = (*found.get(row.video_id, ()), row.platform)
        return found

    def begin_anew(self, video_id: VideoId) -> None:
        """Forget uploads that are lost: a person has looked, and asks for them again."""
        from cm_assets.storage.tables import posts

        with self._database.writing() as connection:
            for row in connection.execute(posts.select().where(posts.c.video_id == video_id)).all():
                if LOST in row.done and row.post is None:
                    here = (posts.c.video_id == video_id) & (posts.c.platform == row.platform)
                    connection.execute(posts.update().where(here).values(session="", bytes_sent=0, tries=0, done=[]))

    @contextmanager
    def hold(self, video_id: VideoId, platform: str) -> Iterator["HeldRow"]:
        """Keep the row of a post for oneself for as long as the block runs and notes something now and then.

        Raises:
            AskedToWait: somebody else holds it.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import posts

        held = HeldRow(self._database, LedgerEntry(video_id, platform))
        with self._database.writing() as connection:
            insert_new(connection, posts, [{"video_id": video_id, "platform": platform}])
            now = _now(connection)
            # A clock that was set back keeps no row for the dead. Twice a lease: who has just got the row may have read
            # the time later than we.
            free = (posts.c.holder == "") | (posts.c.held_until < now) | (posts.c.held_until > now + 2 * LEASE)
            row = connection.execute(
                held.mine(free).values(holder=held.token, held_until=now + LEASE).returning(*posts.c)
            ).one_or_none()
            if row is None:
                until = connection.scalar(
                    sa.select(posts.c.held_until).where(posts.c.video_id == video_id, posts.c.platform == platform)
                )
        if row is None:
            wait = min(max(float(until or 0) - now, 1.0), LEASE)
            raise AskedToWait(f"another process is posting {video_id} on {platform}", wait)
        held.entry = _entry(row._asdict())
        try:
            yield held
        finally:
            held.release()


class HeldRow:
    """A row in the hands of whoever is posting.

    Attributes:
        entry: what is known of the post.
        token: by which the holder is known.
    """

    def __init__(self, database: Database, entry: LedgerEntry) -> None:
        self.entry = entry
        self.token = uuid.uuid4().hex
        self._database = database

    def mine(self, condition: Any) -> Any:
        """An update of the row, if a condition holds."""
        from cm_assets.storage.tables import posts

        here = (posts.c.video_id == self.entry.video_id) & (posts.c.platform == self.entry.platform)
        return posts.update().where(here & condition)

    def note(self, **changes: Any) -> None:
        """Write fields of the entry down, and hold the row for longer.

        Raises:
            AskedToWait: nothing was written, since somebody else holds the row by now.
        """
        from cm_assets.storage.tables import posts

        entry = replace(self.entry, **changes)
        row = {name: getattr(entry, name) for name in changes}
        row |= {name: list(row[name]) for name in ("done", "notes") if name in row}
        if isinstance(row.get("post"), Post):
            row["post"] = row["post"].model_dump(mode="json")
        with self._database.writing() as connection:
            written = connection.execute(
                self.mine(posts.c.holder == self.token).values(**row, held_until=_now(connection) + LEASE)
            ).rowcount
        if not written:
            raise AskedToWait(f"another process is posting {entry.video_id} on {entry.platform}", LEASE)
        self.entry = entry

    def release(self) -> None:
        """Let others have the row."""
        from cm_assets.storage.tables import posts

        with self._database.writing() as connection:
            connection.execute(self.mine(posts.c.holder == self.token).values(holder="", held_until=0))


def _now(connection: "sa.Connection") -> Seconds:
    """Seconds since 1970 by the one clock that all holders share: a server's, where they may be on several hosts."""
    import sqlalchemy as sa

    if connection.dialect.name != "postgresql":
        return time.time()
    return float(connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())


def _entry(row: dict[str, Any]) -> LedgerEntry:
    fields = {name: value for name, value in row.items() if name not in {"holder", "held_until"}}
    fields |= {"done": tuple(row["done"]), "notes": tuple(row["notes"])}
    fields["post"] = None if row["post"] is None else Post.model_validate(row["post"])
    return LedgerEntry(**fields)
