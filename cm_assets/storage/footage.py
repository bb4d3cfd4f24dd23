"""What videos remember of stock footage: which clips they show, and which services must rest."""

import time
from collections.abc import Collection, Mapping

from cm_assets.models.base import Seconds
from cm_assets.partitions import VideoId
from cm_assets.storage.database import Database

FORGOTTEN: Seconds = 365 * 86_400.0
"""After a year nobody takes a clip for the same again, and the table has an end."""


class FootageMemory:
    """The clips of all videos, as one of them looks at it, and the rests of services.

    In the intent database, since it must outlive caches and be seen by every host.

    Args:
        database: of the home.
        video: that looks.
    """

    def __init__(self, database: Database, video: VideoId) -> None:
        self._database = database
        self._video = video

    def earlier(self, slot: str) -> str | None:
        """The key of the clip that this video chose for a slot before, if it did."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import clip_uses

        own = (clip_uses.c.video_id == self._video) & (clip_uses.c.slot == slot)
        with self._database.reading() as connection:
            return connection.execute(sa.select(clip_uses.c.key).where(own)).scalar_one_or_none()

    def last_shown(self, keys: Collection[str]) -> Mapping[str, float]:
        """When other videos last chose these clips, POSIX seconds; nothing for those that none chose."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import clip_uses

        last = sa.func.max(clip_uses.c.used_at)
        chosen = clip_uses.c.key.in_(sorted(keys)) & (clip_uses.c.video_id != self._video)
        query = sa.select(clip_uses.c.key, last.label("last")).where(chosen).group_by(clip_uses.c.key)
        with self._database.reading() as connection:
            return {row.key: row.last for row in connection.execute(query)}

    def note(self, slot: str, key: str) -> None:
        """This video shows the clip. Noted again, it keeps its time: a repeated stage makes no clip newer."""
        from cm_assets.storage.tables import clip_uses

        if self.earlier(slot) == key:
            return
        now = time.time()
        place = {"video_id": self._video, "slot": slot}
        with self._database.writing() as connection:
            connection.execute(self._database.putting(clip_uses, place, {"key": key, "used_at": now}))
            connection.execute(clip_uses.delete().where(clip_uses.c.used_at < now - FORGOTTEN))

    def until(self, service: str) -> float:
        """POSIX seconds before which the service is not to be called; 0 if it may be."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import services

        query = sa.select(services.c.rests_until).where(services.c.name == service)
        with self._database.reading() as connection:
            return float(connection.execute(query).scalar_one_or_none() or 0.0)

    def rest(self, service: str, until: float) -> None:
        """Do not call the service before this time, POSIX seconds."""
        from cm_assets.storage.tables import services

        with self._database.writing() as connection:
            connection.execute(self._database.putting(services, {"name": service}, {"rests_until": until}))
