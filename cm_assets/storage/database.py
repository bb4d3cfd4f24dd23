"""The intent database: every request for ever, whether it is still wanted, and how far its running step is.

Beside them lies what lists and searches need of Dagster's records, per video: a copy that can be made anew.

SQLite by default, Postgres by URL. What ran is Dagster's to say and what was made is the artifact store's.

SQLAlchemy is imported where it is used: every process of Dagster's loads the definitions, and few of them come here.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm_assets.partitions import VideoId

if TYPE_CHECKING:
    import sqlalchemy as sa

HEAD = "0002"
"""The newest migration; a database that is there needs no look at the migrations."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A row of intent.

    Attributes:
        id: the video.
        source: the way in: `file`, `text`, `dagster`, ...
        key: what makes a repeat on that way recognisable; unique with `source`.
        document: the canonical request.
        content_sha256: of the canonical request.
        wanted: whether somebody still waits for it: until it is done, failed for good or cancelled.
        wanted_at: when somebody last asked for it.
        outcome: `done`, `failed`, `cancelled`, or empty while it is open.
        reason: why it failed, for a person.
        lost_runs: runs that died without a word since somebody last asked for the video.
        rank: place in the backlog, the lowest first.
        resume_at: nothing is done for the video before; None for at once.
        waiting_for: what it waits for until then.
    """

    id: VideoId
    source: str
    key: str
    document: dict[str, Any]
    content_sha256: str
    priority: int
    received_at: datetime
    wanted: bool
    wanted_at: datetime
    outcome: str
    reason: str
    lost_runs: int
    rank: float = 0.0
    resume_at: datetime | None = None
    waiting_for: str = ""


class Taken(Exception):
    """The id or the (source, key) is in the database already."""


class Database:
    """The tables, opened lazily and safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def _engine(self) -> "sa.Engine":
        import sqlalchemy as sa

        url = sa.make_url(self.url)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
        if url.get_backend_name() == "sqlite":
            sa.event.listen(engine, "connect", _prepare_sqlite)
        self._migrate(engine)
        return engine

    def _migrate(self, engine: "sa.Engine") -> None:
        import sqlalchemy as sa

        if sa.inspect(engine).has_table("alembic_version"):
            with engine.connect() as connection:
                if connection.scalar(sa.text("select version_num from alembic_version")) == HEAD:
                    return
        from alembic import command
        from alembic.config import Config

        logging.getLogger("alembic").setLevel(logging.WARNING)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                # Two processes that meet a new home at once: the second waits here and finds the work done.
                connection.exec_driver_sql("begin immediate")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    @contextmanager
    def _write(self) -> Iterator["sa.Connection"]:
        with self._engine.begin() as connection:
            yield connection

    def add(self, request: StoredRequest) -> None:
        """Store a request.

        Raises:
            Taken: its id or its (source, key) is there already; nothing was changed.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        row = {name: getattr(request, name) for name in requests.columns.keys()}  # noqa: SIM118 - not a mapping
        try:
            with self._write() as connection:
                connection.execute(requests.insert().values(row))
        except sa.exc.IntegrityError as error:
            raise Taken(request.id) from error

    def get(self, video: VideoId) -> StoredRequest | None:
        """The request of a video."""
        from cm_assets.storage.tables import requests

        return self._one(requests.c.id == video)

    def find(self, source: str, key: str) -> StoredRequest | None:
        """The request that came in on this way under this key."""
        from cm_assets.storage.tables import requests

        return self._one((requests.c.source == source) & (requests.c.key == key))

    def last_key(self, source: str, prefix: str) -> StoredRequest | None:
        """The request that came in on this way under the greatest key that begins so."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        chosen = (requests.c.source == source) & requests.c.key.startswith(prefix, autoescape=True)
        query = sa.select(requests).where(chosen).order_by(requests.c.key.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _stored(row)

    def _one(self, where: "sa.ColumnElement[bool]") -> StoredRequest | None:
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        with self._engine.connect() as connection:
            row = connection.execute(sa.select(requests).where(where)).one_or_none()
        return None if row is None else _stored(row)

    def backlog(self, now: datetime, limit: int) -> list[StoredRequest]:
        """Open requests that need not wait for a time, in their order."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        ready = requests.c.resume_at.is_(None) | (requests.c.resume_at <= now)
        query = sa.select(requests).where(requests.c.wanted, ready).order_by(requests.c.rank, requests.c.id)
        with self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query.limit(limit))]

    def before_in_backlog(self, request: StoredRequest, now: datetime) -> int:
        """How many open requests that need not wait for a time come before this one."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        ready = requests.c.resume_at.is_(None) | (requests.c.resume_at <= now)
        query = sa.select(sa.func.count()).where(requests.c.wanted, ready, requests.c.rank < request.rank)
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def newest(
        self,
        *,
        limit: int,
        wanted: bool | None = None,
        outcome: str | None = None,
        before: StoredRequest | None = None,
    ) -> list[StoredRequest]:
        """Requests, the newest first.

        Args:
            limit: at most so many.
            wanted: only open ones, or only closed ones.
            outcome: only those that ended so.
            before: only those that come after this one in this order.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        query = sa.select(requests).order_by(requests.c.received_at.desc(), requests.c.id).limit(limit)
        if wanted is not None:
            query = query.where(requests.c.wanted == wanted)
        if outcome is not None:
            query = query.where(requests.c.outcome == outcome)
        if before is not None:
            same = (requests.c.received_at == before.received_at) & (requests.c.id > before.id)
            query = query.where((requests.c.received_at < before.received_at) | same)
        with self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]

    def postpone(self, video: VideoId, until: datetime, waiting_for: str) -> None:
        """Do nothing for an open video before a time."""
        from cm_assets.storage.tables import requests

        chosen = (requests.c.id == video) & requests.c.wanted
        with self._write() as connection:
            connection.execute(requests.update().where(chosen).values(resume_at=until, waiting_for=waiting_for))

    def resume(self, videos: Collection[VideoId]) -> None:
        """Do not wait any longer for a time: something has happened to these videos."""
        from cm_assets.storage.tables import requests

        chosen = requests.c.id.in_(videos) & requests.c.wanted & requests.c.resume_at.is_not(None)
        with self._write() as connection:
            connection.execute(requests.update().where(chosen).values(resume_at=None, waiting_for=""))

    def reprioritise(self, video: VideoId, priority: int, rank: float) -> bool:
        """Give an open video another place in the backlog. False if it is closed."""
        from cm_assets.storage.tables import requests

        chosen = (requests.c.id == video) & requests.c.wanted
        with self._write() as connection:
            changed = connection.execute(requests.update().where(chosen).values(priority=priority, rank=rank))
        return changed.rowcount > 0

    def want(self, video: VideoId) -> bool:
        """Ask for a video (again). False if it was open all along."""
        from cm_assets.storage.tables import requests

        with self._write() as connection:
            changed = connection.execute(
                requests.update()
                .where((requests.c.id == video) & ~requests.c.wanted)
                .values(
                    wanted=True,
                    wanted_at=datetime.now(UTC),
                    outcome="",
                    reason="",
                    lost_runs=0,
                    resume_at=None,
                    waiting_for="",
                )
            )
        return changed.rowcount > 0

    def close(self, video: VideoId, outcome: str, reason: str = "") -> bool:
        """Nobody waits for it any more: `done`, `failed` or `cancelled`. False if it was closed already."""
        from cm_assets.storage.tables import progress, requests

        with self._write() as connection:
            changed = connection.execute(
                requests.update()
                .where((requests.c.id == video) & requests.c.wanted)
                .values(wanted=False, outcome=outcome, reason=reason)
            )
            connection.execute(progress.delete().where(progress.c.video_id == video))
        return changed.rowcount > 0

    def forget_progress(self, video: VideoId | None = None) -> None:
        """Forget how far the stages of a video, or of all, were: a new run begins, or none goes on."""
        from cm_assets.storage.tables import progress

        forgotten = progress.delete()
        with self._write() as connection:
            connection.execute(forgotten if video is None else forgotten.where(progress.c.video_id == video))

    def count_lost_run(self, video: VideoId) -> None:
        """Note that a run of the video died without a word."""
        from cm_assets.storage.tables import requests

        with self._write() as connection:
            connection.execute(
                requests.update().where(requests.c.id == video).values(lost_runs=requests.c.lost_runs + 1)
            )

    def report_progress(self, video: VideoId, stage: str, share: float) -> None:
        """Overwrite how far the running step of a stage is, 0 to 1."""
        from cm_assets.storage.tables import progress

        values = {"share": share, "updated_at": datetime.now(UTC)}
        with self._write() as connection:
            updated = connection.execute(
                progress.update().where((progress.c.video_id == video) & (progress.c.stage == stage)).values(values)
            )
            if updated.rowcount == 0:
                connection.execute(progress.insert().values(video_id=video, stage=stage, **values))

    def progress(self, videos: Collection[VideoId]) -> dict[VideoId, dict[str, float]]:
        """How far each stage of each of these videos has come."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import progress

        found: dict[VideoId, dict[str, float]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(sa.select(progress).where(progress.c.video_id.in_(videos))):
                found.setdefault(row.video_id, {})[row.stage] = row.share
        return found

    def note(self, video: VideoId, facts: Mapping[str, Any]) -> None:
        """Overwrite what is known of a video's work."""
        from cm_assets.storage.tables import facts as table

        values = {"facts": dict(facts), "updated_at": datetime.now(UTC)}
        with self._write() as connection:
            if connection.execute(table.update().where(table.c.video_id == video).values(values)).rowcount == 0:
                connection.execute(table.insert().values(video_id=video, **values))

    def noted(self, videos: Collection[VideoId]) -> dict[VideoId, dict[str, Any]]:
        """What is known of the work on these videos; nothing for those on which none was done."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import facts

        query = sa.select(facts.c.video_id, facts.c.facts).where(facts.c.video_id.in_(videos))
        with self._engine.connect() as connection:
            return {row.video_id: row.facts for row in connection.execute(query)}

    def cursor(self, name: str) -> int:
        """How far somebody has read; 0 at first."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import cursors

        with self._engine.connect() as connection:
            return int(connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == name)) or 0)

    def move_cursor(self, name: str, value: int) -> None:
        """Remember how far somebody has read."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import cursors

        moved = cursors.update().where(cursors.c.name == name).values(value=value)
        try:
            with self._write() as connection:
                if connection.execute(moved).rowcount == 0:
                    connection.execute(cursors.insert().values(name=name, value=value))
        except sa.exc.IntegrityError:
            # Somebody else began to read at the same moment.
            with self._write() as connection:
                connection.execute(moved)

    def dispose(self) -> None:
        """Close all connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("pragma busy_timeout = 15000")
    cursor.execute("pragma journal_mode = wal")
    # A request that was acknowledged survives a power cut.
    cursor.execute("pragma synchronous = full")
    cursor.close()


def _stored(row: Any) -> StoredRequest:
    values = row._asdict()
    for name in ("received_at", "wanted_at", "resume_at"):
        if values[name] is not None and values[name].tzinfo is None:  # SQLite keeps no zone; all times in here are UTC
            values[name] = values[name].replace(tzinfo=UTC)
    return StoredRequest(**values)
