"""The intent database: every request for ever, whether it is still wanted, and how far its running step is.

Beside them lies what lists and searches need of Dagster's records, per video: a copy that can be made anew.

SQLite by default, Postgres by URL. What ran is Dagster's to say and what was made is the artifact store's.

SQLAlchemy is imported where it is used: every process of Dagster's loads the definitions, and few of them come here.
"""

import logging
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm_assets.models.base import Failure
from cm_assets.partitions import VideoId
from cm_assets.policies import POST
from cm_assets.storage.away import connected
from cm_assets.storage.holds import CLIENT_KEEPALIVE

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cm_assets.models.event import Event

log = logging.getLogger("cm_assets.database")

HEAD = "0014"
"""The newest migration; a database that is there needs no look at the migrations."""

MIGRATION_LOCK = 0x636D
"""Postgres advisory lock of whoever migrates."""

RETIRED = "retired"
"""The outcome of a request of which only a tombstone is left. It is final."""


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
        outcome: how it ended, such as `done` or `failed`; empty while it is open.
        reason: why it failed, for a person.
        lost_runs: runs that died without a word since somebody last asked for the video.
        rank: place in the backlog, the lowest first.
        resume_at: nothing is done for the video before; None for at once.
        waiting_for: what it waits for until then.
        attempt: how many runs were to be launched for it, all in all; the last of them alone may work.
        claimed_until: somebody is launching its run, and must be done by then.
        given_up: why a post, or the taking down of one, is not tried any more, by stage.
        take_down: the platforms that are not to show it any more.
        closed_at: when it was closed; None while it is open.
        kept: what is left of the video: `all`, `results` (no intermediates), or `nothing`.
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
    attempt: int = 0
    claimed_until: datetime | None = None
    given_up: Mapping[str, str] = field(default_factory=dict)
    take_down: Sequence[str] = ()
    closed_at: datetime | None = None
    kept: str = "all"


@dataclass(frozen=True, slots=True)
class Step:
    """How far the step of a stage is.

    Attributes:
        share: of its work, 0 to 1.
        attempt: which try of its run this is, from 1.
        waits_for: before it is tried again; empty while it works.
    """

    share: float
    attempt: int = 1
    waits_for: str = ""


class Taken(Exception):
    """The id or the (source, key) is in the database already."""


class NewerDatabase(Failure):
    """The tables are those of a newer version of this project."""


class UploadGone(Exception):
    """A request names uploads that there are none of, or no more.

    Attributes:
        ids: theirs.
    """

    def __init__(self, ids: Collection[str]) -> None:
        super().__init__(*sorted(ids))
        self.ids = frozenset(ids)


class Database:
    """The tables, opened lazily and safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._shared = threading.local()

    @cached_property
    def _engine(self) -> "sa.Engine":
        import sqlalchemy as sa

        url = sa.make_url(self.url)
        if url.get_backend_name() != "sqlite":
            return _server_engine(self)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, hide_parameters=True)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        self.migrate(engine)
        return engine

    def migrate(self, engine: "sa.Engine") -> None:
        """Make the tables what this version needs, if they are not.

        Raises:
            NewerDatabase: a newer version has changed them; nothing was changed.
        """
        import sqlalchemy as sa

        # Dagster's own migrations may live in the same Postgres database, and call their table so.
        versions = "alembic_version" if engine.dialect.name == "sqlite" else "cm_version"
        if sa.inspect(engine).has_table(versions):
            with engine.connect() as connection:
                there = connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(versions)))
            if there == HEAD:
                return
            if there is not None and there > HEAD:
                raise NewerDatabase(
                    f"the database was changed by a newer cm_assets ({there}; this one knows {HEAD}): install that "
                    "version again, or restore a backup from before; nothing was changed"
                )
        from alembic import command
        from alembic.config import Config

        logging.getLogger("alembic").setLevel(logging.WARNING)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                # Two processes that meet a new home at once: the second waits here and finds the work done.
                connection.exec_driver_sql("begin immediate")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["version_table"] = versions
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction for all that this thread writes within the block.

        What fails by itself is undone by itself. Requests that are looked up are seen as they will be.
        """
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "sqlite":
                # Else Python's driver begins none before a savepoint, whose end is then the end of all.
                connection.exec_driver_sql("begin immediate")
            self._shared.connection = connection
            try:
                yield
            finally:
                del self._shared.connection

    @contextmanager
    def _write(self) -> Iterator["sa.Connection"]:
        shared: sa.Connection | None = getattr(self._shared, "connection", None)
        if shared is None:
            with self._engine.begin() as connection:
                yield connection
        else:
            with shared.begin_nested():
                yield shared

    @contextmanager
    def _read(self) -> Iterator["sa.Connection"]:
        shared: sa.Connection | None = getattr(self._shared, "connection", None)
        if shared is None:
            with self._engine.connect() as connection:
                yield connection
        else:
            yield shared

    def _put(
        self,
        table: "sa.Table",
        key: Mapping[str, object],
        values: Mapping[str, object],
        more: Mapping[str, object] | None = None,
    ) -> "sa.Executable":
        """The statement that overwrites the row of a key, or makes it; `more` is what it becomes if it is there."""
        from sqlalchemy.dialects import postgresql, sqlite

        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        row = insert(table).values({**key, **values})
        return row.on_conflict_do_update(index_elements=list(key), set_=dict(more or values))

    def reading(self) -> "sa.Connection":
        """A connection for the other modules of this room; close it."""
        return self._engine.connect()

    def writing(self) -> AbstractContextManager["sa.Connection"]:
        """A transaction for the other modules of this room."""
        return self._write()

    def putting(self, table: "sa.Table", key: Mapping[str, object], values: Mapping[str, object]) -> "sa.Executable":
        """For the other modules of this room: the statement that overwrites the row of a key, or makes it."""
        return self._put(table, key, values)

    def add(self, request: StoredRequest) -> None:
        """Store a request.

        Raises:
            Taken: its id or its (source, key) is there already; nothing was changed.
            UploadGone: an upload that it names is not there; nothing was changed.
        """
        import sqlalchemy as sa

        from cm_assets.models.upload import uploads_in
        from cm_assets.storage.events import queued, record
        from cm_assets.storage.tables import requests
        from cm_assets.storage.uploads import use

        row = {name: getattr(request, name) for name in requests.columns.keys()}  # noqa: SIM118 - not a mapping
        row |= {"given_up": dict(request.given_up), "take_down": list(request.take_down)}
        try:
            with self._write() as connection:
                connection.execute(requests.insert().values(row))
                if gone := use(connection, uploads_in(request.document)):
                    raise UploadGone(gone)
                record(connection, [queued(request.id, request.document, request.wanted_at)])
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

        with self._read() as connection:
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

    def oldest_open(self) -> datetime | None:
        """When the oldest of the requests came that wait for nothing but their turn; None if none does."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        query = sa.select(requests).where(requests.c.wanted & requests.c.resume_at.is_(None))
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(requests.c.received_at).limit(1)).one_or_none()
        return None if row is None else _stored(row).received_at

    def count_open(self) -> int:
        """How many videos are wanted and not done."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(requests.c.wanted)) or 0

    def count_ends(self) -> dict[str, int]:
        """How many videos have ended in each way."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        query = sa.select(requests.c.outcome, sa.func.count().label("videos")).group_by(requests.c.outcome)
        with self._engine.connect() as connection:
            return {row.outcome: row.videos for row in connection.execute(query.where(~requests.c.wanted))}

    def places(self, videos: Collection[VideoId], now: datetime) -> dict[VideoId, int]:
        """How many come before each of these videos in the backlog; nothing for those that wait for a time."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        ready = requests.c.resume_at.is_(None) | (requests.c.resume_at <= now)
        place = (sa.func.rank().over(order_by=requests.c.rank) - 1).label("place")
        backlog = sa.select(requests.c.id, place).where(requests.c.wanted, ready).subquery()
        query = sa.select(backlog).where(backlog.c.id.in_(videos))
        with self._engine.connect() as connection:
            return {row.id: row.place for row in connection.execute(query)}

    def newest(
        self,
        *,
        limit: int,
        wanted: bool | None = None,
        outcome: str | None = None,
        before: StoredRequest | None = None,
        begun: bool = False,
        text: str = "",
    ) -> list[StoredRequest]:
        """Requests, the newest first.

        Args:
            limit: at most so many.
            wanted: only open ones, or only closed ones.
            outcome: only those that ended so.
            before: only those that come after this one in this order.
            begun: only those on which some work was done.
            text: only those whose id or title has this in it, in any case. Reads every request.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import facts, requests

        query = sa.select(requests).order_by(requests.c.received_at.desc(), requests.c.id).limit(limit)
        if begun or text:
            query = query.join(facts, facts.c.video_id == requests.c.id, isouter=not begun)
        if text:
            titles = [facts.c.facts["title"], *(requests.c.document[name] for name in ("title", "topic"))]
            titles.append(requests.c.document[("post", "title")])
            places = [requests.c.id, *(title.as_string() for title in titles)]
            query = query.where(sa.or_(*(sa.func.lower(one).contains(text.lower(), autoescape=True) for one in places)))
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

    def hurry(self, video: VideoId) -> bool:
        """Ask anew for an open video that waits for a time, so that it is tried now; False if it does not wait."""
        from cm_assets.storage.tables import requests

        chosen = (requests.c.id == video) & requests.c.wanted & requests.c.resume_at.is_not(None)
        values = {"wanted_at": datetime.now(UTC), "resume_at": None, "waiting_for": ""}
        with self._write() as connection:
            return bool(connection.execute(requests.update().where(chosen).values(**values)).rowcount)

    def want(self, video: VideoId, take_down: Sequence[str] | None = None) -> bool:
        """Ask for a video (again). False if it was open all along, or is retired.

        Args:
            video: which.
            take_down: the platforms that are not to show it any more; those of before if None.
        """
        import sqlalchemy as sa

        from cm_assets.storage.events import queued, record
        from cm_assets.storage.tables import requests

        now = datetime.now(UTC)
        down = {} if take_down is None else {"take_down": list(take_down)}
        with self._write() as connection:
            known = connection.scalar(sa.select(requests.c.given_up).where(requests.c.id == video)) or {}
            # Who has a post removed does not ask for one that was given up.
            kept = {} if take_down is None else {stage: why for stage, why in known.items() if stage.startswith(POST)}
            changed = connection.execute(
                requests.update()
                .where((requests.c.id == video) & ~requests.c.wanted & (requests.c.outcome != RETIRED))
                .values(
                    wanted=True,
                    wanted_at=now,
                    closed_at=None,
                    outcome="",
                    reason="",
                    lost_runs=0,
                    resume_at=None,
                    waiting_for="",
                    given_up=kept,
                    **down,
                )
            )
            if changed.rowcount > 0 and take_down is None:
                document = connection.execute(sa.select(requests.c.document).where(requests.c.id == video)).scalar_one()
                record(connection, [queued(video, document, now)])
        return changed.rowcount > 0

    def give_up(self, video: VideoId, stages: Mapping[str, str]) -> None:
        """Try some stages of an open video no more; why, by stage."""
        from cm_assets.storage.tables import requests

        stored = self.get(video)
        chosen = (requests.c.id == video) & requests.c.wanted
        if stored is not None:
            with self._write() as connection:
                connection.execute(requests.update().where(chosen).values(given_up={**stored.given_up, **stages}))

    def close(self, video: VideoId, outcome: str, reason: str = "", *, stage: str = "") -> bool:
        """Nobody waits for it any more: `done`, `failed`, `cancelled`, ... False if it was closed already.

        Args:
            video: which.
            outcome: how it ended.
            reason: why, for a person.
            stage: where it failed.
        """
        from cm_assets.storage.events import ended, record
        from cm_assets.storage.tables import progress, requests

        with self._write() as connection:
            changed = connection.execute(
                requests.update()
                .where((requests.c.id == video) & requests.c.wanted)
                .values(wanted=False, outcome=outcome, reason=reason, closed_at=datetime.now(UTC))
            )
            connection.execute(progress.delete().where(progress.c.video_id == video))
            if changed.rowcount > 0:
                record(connection, [ended(connection, video, outcome, reason, stage)])
        if changed.rowcount > 0:
            log.info("it is %s%s", outcome, f": {reason}" if reason else "", extra={"video": video})
        return changed.rowcount > 0

    def retire(self, video: VideoId, outcome: str, tombstone: Mapping[str, Any], reason: str) -> bool:
        """Put a tombstone in the place of a request that ended so. False if it did not, or is asked for again."""
        from cm_assets.storage.events import record, retired
        from cm_assets.storage.tables import requests

        chosen = (requests.c.id == video) & ~requests.c.wanted & (requests.c.outcome == outcome)
        values = {"outcome": RETIRED, "reason": reason, "document": dict(tombstone), "waiting_for": ""}
        with self._write() as connection:
            changed = connection.execute(requests.update().where(chosen).values(values)).rowcount > 0
            if changed:
                record(connection, [retired(video, str(tombstone["title"]), reason)])
        return changed

    def note_kept(self, video: VideoId, kept: str) -> None:
        """Note what is left of a closed video. Of one that nothing is left of, nothing is known either."""
        from cm_assets.storage.tables import facts, progress, requests, spending

        chosen = (requests.c.id == video) & ~requests.c.wanted
        with self._write() as connection:
            connection.execute(requests.update().where(chosen).values(kept=kept))
            if kept == "nothing":
                connection.execute(facts.delete().where(facts.c.video_id == video))
                connection.execute(progress.delete().where(progress.c.video_id == video))
                # What it cost stays, since it counts for its day; what was answered goes.
                connection.execute(spending.update().where(spending.c.video_id == video).values(reply=None))

    def closed(
        self,
        *,
        outcomes: Sequence[str],
        kept: Sequence[str],
        until: datetime,
        limit: int,
        after: StoredRequest | None = None,
    ) -> list[StoredRequest]:
        """Closed requests, those that were closed first before the others.

        Args:
            outcomes: only those that ended so.
            kept: only those of which this is left.
            until: only those that were closed by then.
            limit: at most so many.
            after: only those that come after this one in this order.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import requests

        chosen = requests.c.outcome.in_(outcomes) & requests.c.kept.in_(kept) & (requests.c.closed_at <= until)
        if after is not None:
            same = (requests.c.closed_at == after.closed_at) & (requests.c.id > after.id)
            chosen &= (requests.c.closed_at > after.closed_at) | same
        query = sa.select(requests).where(chosen).order_by(requests.c.closed_at, requests.c.id).limit(limit)
        with self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]

    def forget_progress(self, video: VideoId | None = None) -> None:
        """Forget how far the stages of a video, or of all, were: a new run begins, or none goes on."""
        from cm_assets.storage.tables import progress

        forgotten = progress.delete()
        with self._write() as connection:
            connection.execute(forgotten if video is None else forgotten.where(progress.c.video_id == video))

    def claim(self, seen: StoredRequest, now: datetime, until: datetime, *, lost: bool) -> int | None:
        """Become the one who launches the next run of an open video; its number, or None if somebody else is.

        Args:
            seen: the request, read before it was found that no run of the video is in flight.
            now: the time.
            until: when the claim ends by itself, should whoever has it die.
            lost: whether the run before died without a word, which is counted.
        """
        from cm_assets.storage.tables import requests

        free = requests.c.claimed_until.is_(None) | (requests.c.claimed_until <= now)
        chosen = (requests.c.id == seen.id) & requests.c.wanted & (requests.c.attempt == seen.attempt) & free
        values = {"attempt": seen.attempt + 1, "claimed_until": until, "lost_runs": seen.lost_runs + lost}
        with self._write() as connection:
            changed = connection.execute(requests.update().where(chosen).values(values))
        return seen.attempt + 1 if changed.rowcount else None

    def release(self, video: VideoId | None = None, attempt: int | None = None) -> None:
        """End a claim: the run is in the queue, or cannot be launched now. Without a video, end all claims."""
        from cm_assets.storage.tables import requests

        released = requests.update().where(requests.c.claimed_until.is_not(None)).values(claimed_until=None)
        if video is not None:
            released = released.where((requests.c.id == video) & (requests.c.attempt == attempt))
        with self._write() as connection:
            connection.execute(released)

    def report_progress(self, video: VideoId, stage: str, step: Step) -> None:
        """Overwrite how far the running step of a stage is."""
        from cm_assets.storage.tables import progress

        values = {**asdict(step), "updated_at": datetime.now(UTC)}
        with self._write() as connection:
            connection.execute(self._put(progress, {"video_id": video, "stage": stage}, values))

    def end_attempt(self, video: VideoId, stage: str, step: Step, ended: str, seconds: float) -> None:
        """Note how far a stage is whose attempt has just ended, and count how attempts end.

        Args:
            video: whose.
            stage: of it.
            step: how far it is now.
            ended: `done`, or the class of the failure.
            seconds: that the attempt took.
        """
        from cm_assets.storage.tables import progress, stage_totals

        one = {"attempts": 1, "seconds": seconds}
        more = {"attempts": stage_totals.c.attempts + 1, "seconds": stage_totals.c.seconds + seconds}
        values = {**asdict(step), "updated_at": datetime.now(UTC)}
        with self._write() as connection:
            connection.execute(self._put(progress, {"video_id": video, "stage": stage}, values))
            connection.execute(self._put(stage_totals, {"stage": stage, "ended": ended}, one, more))

    def attempts(self) -> dict[tuple[str, str], tuple[int, float]]:
        """How many attempts of each stage ended in each way, and the seconds that they took."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import stage_totals

        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(stage_totals)).all()
        return {(row.stage, row.ended): (row.attempts, row.seconds) for row in rows}

    def progress(self, videos: Collection[VideoId]) -> dict[VideoId, dict[str, Step]]:
        """How far each stage of each of these videos has come."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import progress

        found: dict[VideoId, dict[str, Step]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(sa.select(progress).where(progress.c.video_id.in_(videos))):
                found.setdefault(row.video_id, {})[row.stage] = Step(row.share, row.attempt, row.waits_for)
        return found

    def at_work(self) -> dict[str, int]:
        """How many videos are in each stage at this moment."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import progress

        query = sa.select(progress.c.stage, sa.func.count().label("videos")).group_by(progress.c.stage)
        with self._engine.connect() as connection:
            rows = connection.execute(query.where(progress.c.share < 1, progress.c.waits_for == ""))
            return {row.stage: row.videos for row in rows}

    def note(
        self, video: VideoId, facts: Mapping[str, Any], happened: "Sequence[Event]" = (), *, size: int | None = None
    ) -> None:
        """Overwrite what is known of a video's work, and write the events that the difference means.

        Args:
            video: whose.
            facts: what is known.
            happened: the events.
            size: bytes that its artifacts take on our disks.
        """
        from cm_assets.storage.events import record
        from cm_assets.storage.tables import facts as table

        values = {"facts": dict(facts), "updated_at": datetime.now(UTC), "bytes": size}
        with self._write() as connection:
            connection.execute(self._put(table, {"video_id": video}, values))
            record(connection, happened)

    def noted(self, videos: Collection[VideoId]) -> dict[VideoId, dict[str, Any]]:
        """What is known of the work on these videos; nothing for those on which none was done."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import facts

        query = sa.select(facts.c.video_id, facts.c.facts).where(facts.c.video_id.in_(videos))
        with self._engine.connect() as connection:
            return {row.video_id: row.facts for row in connection.execute(query)}

    def note_size(self, video: VideoId, size: int) -> None:
        """Overwrite how many bytes a video's artifacts take on our disks."""
        from cm_assets.storage.tables import facts

        with self._write() as connection:
            connection.execute(facts.update().where(facts.c.video_id == video).values(bytes=size))

    def sizes(self, after: VideoId, limit: int) -> list[tuple[VideoId, int | None]]:
        """What videos' artifacts are noted to take on our disks, None if nobody knows, in the order of their ids.

        Args:
            after: only videos that come after this one.
            limit: at most so many.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import facts

        query = sa.select(facts.c.video_id, facts.c.bytes).where(facts.c.video_id > after).order_by(facts.c.video_id)
        with self._engine.connect() as connection:
            return [(row.video_id, row.bytes) for row in connection.execute(query.limit(limit))]

    def artifact_bytes(self) -> int:
        """What all artifacts that were measured take on our disks."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import facts

        with self._engine.connect() as connection:
            return int(connection.scalar(sa.select(sa.func.sum(facts.c.bytes))) or 0)

    def note_disk(self, parts: Mapping[str, int]) -> None:
        """Overwrite how many bytes the parts of the home take."""
        from cm_assets.storage.tables import disk

        rows = [{"part": part, "bytes": size} for part, size in parts.items()]
        with self._write() as connection:
            connection.execute(disk.delete())
            if rows:
                connection.execute(disk.insert(), rows)

    def disk(self) -> dict[str, int]:
        """How many bytes the parts of the home took when they were last measured; nothing if they never were."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import disk

        with self._engine.connect() as connection:
            return {row.part: row.bytes for row in connection.execute(sa.select(disk))}

    def cursor(self, name: str) -> int:
        """How far somebody has read; 0 at first."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import cursors

        with self._engine.connect() as connection:
            return int(connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == name)) or 0)

    def cursors(self, beginning: str) -> list[str]:
        """The names of the cursors that begin so."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import cursors

        with self._engine.connect() as connection:
            return list(connection.scalars(sa.select(cursors.c.name).where(cursors.c.name.startswith(beginning))))

    def move_cursor(self, name: str, value: int) -> None:
        """Remember how far somebody has read."""
        from cm_assets.storage.tables import cursors

        with self._write() as connection:
            connection.execute(self._put(cursors, {"name": name}, {"value": value}))

    def dispose(self) -> None:
        """Close all connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()


_server_engines: dict[str, "sa.Engine"] = {}


def _server_engine(database: Database) -> "sa.Engine":
    """The engine of a server's database, one for a process and its forks: what it has asked and compiled, they know."""
    import sqlalchemy as sa

    engine = _server_engines.get(database.url)
    if engine is None:
        # Errors show no parameters: the address of an upload is one, and whoever has it can write there.
        engine = sa.create_engine(database.url, pool_pre_ping=True, hide_parameters=True, connect_args=CLIENT_KEEPALIVE)
        sa.event.listen(engine, "do_connect", _wait_for_server)
        database.migrate(engine)
        # A fork opens connections of its own.
        os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
        _server_engines[database.url] = engine
    return engine


def _wait_for_server(dialect: "sa.Dialect", _record: object, arguments: Any, options: Any) -> object:
    return connected(lambda: dialect.connect(*arguments, **options))


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("pragma busy_timeout = 15000")
    cursor.execute("pragma journal_mode = wal")
    # A request that was acknowledged survives a power cut.
    cursor.execute("pragma synchronous = full")
    cursor.close()


def _stored(row: Any) -> StoredRequest:
    values = row._asdict()
    for name in ("received_at", "wanted_at", "resume_at", "claimed_until", "closed_at"):
        if values[name] is not None and values[name].tzinfo is None:  # SQLite keeps no zone; all times in here are UTC
            values[name] = values[name].replace(tzinfo=UTC)
    return StoredRequest(**values | {"take_down": tuple(values["take_down"])})
