"""Keeps what status and lists need of Dagster's records in the database, where it is read in milliseconds.

It can be thrown away: `rebuild` finds the same facts again.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg

from cm_assets.lifecycle.announcements import announcements
from cm_assets.lifecycle.review import ASSET
from cm_assets.lifecycle.status import Facts, facts_of
from cm_assets.lifecycle.worklog import PARTITION_TAG, STAGES, Made, WorkLog, made_by
from cm_assets.models.artifact import ArtifactRef, LostArtifact
from cm_assets.models.base import Failure
from cm_assets.models.render import Render
from cm_assets.partitions import VideoId, is_video_id
from cm_assets.policies import POST
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import RETIRED, Database, StoredRequest

log = logging.getLogger("cm_assets.projection")

CURSOR = "assets@"
"""Beginning of a cursor's name: how far the events of one Dagster instance were read."""

PAGE = 500

OVERLAP = 200
"""Storage ids that are read again where events may appear late."""

LATE = 30.0
"""Seconds after the newest event in which older ones may still appear."""

REST = 15.0
"""Seconds after which artifacts are looked for again that could not be read: to ask may take as long."""

KEYS = {dg.AssetKey(key.split("/")) for key in (*STAGES, ASSET)}
"""What the events of videos are about."""

MOST_OPEN = 5000
"""Open requests among which those that were in flight are looked for at the start."""


class Projection:
    """Reads new events and notes what they mean for their videos.

    Args:
        database: where it is noted.
        worklog: Dagster's records.
        store: the artifacts that the records name.
    """

    def __init__(self, database: Database, worklog: WorkLog, store: ArtifactStore) -> None:
        self._database = database
        self._worklog = worklog
        self._store = store
        self._name = cursor_of(worklog)
        self._cursor = database.cursor(self._name)
        self._seen: set[int] = set()
        self._moved = time.monotonic()
        self._unread: set[VideoId] = set()
        self._rests_until = 0.0
        # What an earlier engine left as in flight is looked at again, whatever became of it.
        wanted = [stored.id for stored in database.newest(limit=MOST_OPEN, wanted=True)]
        self._active = {video: ("", "") for video, noted in database.noted(wanted).items() if facts_of(noted).active}
        self._following: dict[VideoId, dict[str, Made]] = {}
        self._read_whole: dict[VideoId, dict[str, Made]] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        """Whose records are read."""
        return self._worklog.instance

    def advance(self, active: dict[VideoId, dg.DagsterRun]) -> None:
        """Note what is new: events of assets, and runs that began or ended.

        Args:
            active: the runs in flight, by video.
        """
        self._read_whole.clear()
        now = {video: (run.run_id, run.status.value) for video, run in active.items()}
        touched = {video for video in {*now, *self._active} if now.get(video) != self._active.get(video)}
        for video in touched:
            if now.get(video, ("",))[0] != self._active.get(video, ("",))[0]:
                self._following.pop(video, None)  # a run has begun, or is over: whatever events said, it is asked again
        self._active = now
        newest = self._worklog.newest_event()
        # SQLite gives the ids of deleted newest events, such as those of a run that was deleted, to the next ones.
        self._cursor = min(self._cursor, newest)
        if newest > self._cursor or self._may_be_late():
            changed = self._since(self._cursor)
            touched |= changed.keys()
            self._database.resume(changed)  # whatever they waited for, it may have come
            for video in changed.keys() & self._following.keys():
                self._following[video] |= changed[video]
        self._unread |= touched
        if self._unread and time.monotonic() >= self._rests_until:
            self._read()
        # Whoever takes over reads what is still to be read.
        if newest > self._cursor and not self._unread:
            self._move_cursor(newest)

    def _read(self) -> None:
        """Note what is to be noted, as long as the artifacts can be read."""
        for video in sorted(self._unread):
            try:
                self._note(video, self._followed(video))
            except Failure as failure:
                log.warning("what is new of %s is read later: %s", video, failure)
                self._rests_until = time.monotonic() + REST
                return
            self._unread.discard(video)

    def note(self, video: VideoId, *, told_to: int = -1) -> None:
        """Gather the facts of a video and store them, with the events that what is new in them means.

        Args:
            video: whose. A tombstone says all that is left to say.
            told_to: storage id up to which everything is history that nobody is told again.
        """
        self._note(video, self._worklog.all_made(video), told_to=told_to)

    def made(self, video: VideoId) -> dict[str, Made]:
        """The newest materialization of every stage that has one, no older than the last look."""
        made = self._read_whole.get(video)
        return self._worklog.all_made(video) if made is None else made

    def _followed(self, video: VideoId) -> dict[str, Made]:
        """The same, kept up by the events while a run is in flight: to ask for all of it takes twenty statements."""
        made = self._following.get(video)
        if made is None:
            made = self._read_whole[video] = self._worklog.all_made(video)
            if video in self._active:
                self._following[video] = made
        return made

    def _note(self, video: VideoId, made: Mapping[str, Made], *, told_to: int = -1) -> None:
        stored = self._database.get(video)
        if stored is not None and stored.outcome == RETIRED:
            return
        before = facts_of(self._database.noted([video]).get(video))
        facts = gather(self._worklog, self._store, video, made)
        now = datetime.now(UTC)
        happened = [] if stored is None else announcements(stored, before, facts, now, told_to=told_to)
        self._database.note(video, facts.model_dump(), happened, size=self._store.local_bytes(video))

    def knows(self, video: VideoId) -> bool:
        """Whether this instance has made the video's render."""
        return self._worklog.made(video, "render") is not None

    def rebuild(self, told: Callable[[int], None]) -> int:
        """Gather the facts of every video anew; how many there are.

        Args:
            told: how many are done, now and then.
        """
        newest = self._worklog.newest_event()
        count = 0
        for count, video in enumerate(self._all_videos(), 1):
            # What was read before has been told, though the facts that say so may be lost.
            self.note(video, told_to=self._cursor)
            told(count)
        self._move_cursor(newest)
        return count

    def _move_cursor(self, newest: int) -> None:
        # Last: whoever dies before it reads the same events again, and notes the same.
        self._database.move_cursor(self._name, newest)
        self._cursor = newest
        self._moved = time.monotonic()

    def _may_be_late(self) -> bool:
        return not self._worklog.ids_in_order and time.monotonic() - self._moved < LATE

    def _since(self, storage_id: int) -> dict[VideoId, dict[str, Made]]:
        """The videos that events after this one are about, with what they say was made of each, the newest of it."""
        videos: dict[VideoId, dict[str, Made]] = {}
        seen: set[int] = set()
        if not self._worklog.ids_in_order:
            storage_id = max(0, storage_id - OVERLAP)
        for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION):
            after: int | None = storage_id
            while after is not None:
                found = self._worklog.instance.event_log_storage.get_logs_for_all_runs_by_log_id(after, kind, PAGE)
                for one, entry in sorted(found.items()):
                    event = entry.dagster_event
                    if event is None or event.asset_key not in KEYS or not event.partition or one in self._seen:
                        continue
                    made = videos.setdefault(event.partition, {})
                    if kind == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key.to_user_string() in STAGES:
                        made[event.asset_key.to_user_string()] = made_by(one, entry)
                seen |= found.keys()
                after = max(found) if len(found) == PAGE else None
        # What is older than the overlap is not read again, so it need not be remembered.
        self._seen = set() if self._worklog.ids_in_order else seen
        return {video: made for video, made in videos.items() if is_video_id(video)}

    def _all_videos(self) -> Iterator[VideoId]:
        before: StoredRequest | None = None
        while page := self._database.newest(limit=PAGE, before=before):
            yield from (stored.id for stored in page)
            before = page[-1]


def cursor_of(worklog: WorkLog) -> str:
    """The name of the cursor of a Dagster instance."""
    return CURSOR + worklog.instance_id()


def other_instances(database: Database, own: str) -> bool:
    """Whether videos of this database were made by another Dagster instance, which alone knows what it made.

    Args:
        database: of the home.
        own: name of the cursor of the instance that asks.
    """
    return any(name != own for name in database.cursors(CURSOR))


def _render(store: ArtifactStore, made: Made) -> Render | None:
    """What was rendered; None if somebody has removed it."""
    try:
        return Render.model_validate_json(store.read(str(made.metadata["model"])))
    except LostArtifact:
        return None


def gather(worklog: WorkLog, store: ArtifactStore, video: VideoId, made: Mapping[str, Made]) -> Facts:
    """What Dagster and the artifact store say of a video now, of which this was made."""
    records = worklog.instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: video}), limit=100)
    newest = records[0].dagster_run if records else None
    in_flight = {record.dagster_run.run_id for record in records if not record.dagster_run.is_finished}
    links: dict[str, str] = {}
    files: dict[str, ArtifactRef] = {}
    rendered = -1
    seconds, size, sha256 = None, None, ""
    failed: tuple[str, ...] = ()
    render = _render(store, made["render"]) if "render" in made else None
    if render is not None:
        files = {name: getattr(render, name) for name in ("video", "cover", "srt", "vtt")}
        links = {name: store.address(ref) for name, ref in files.items()}
        failed = tuple(worklog.failed_blocking_checks("render", video, made["render"]))
        # Its checks are known for certain when its run is over.
        if not failed and made["render"].run_id not in in_flight:
            rendered = made["render"].storage_id
        seconds, size, sha256 = render.seconds, render.video.size, render.video.sha256
    taken = worklog.taken_down_posts(video, made)
    for stage, one in made.items():
        if stage.startswith(POST) and taken.get(stage, -1) < one.storage_id:
            links[stage.removeprefix(POST)] = str(one.metadata["post"])
    return Facts(
        made={stage: one.storage_id for stage, one in made.items()},
        taken=taken,
        rendered=rendered,
        started=max((record.start_time or 0.0 for record in records), default=0.0),
        active=bool(in_flight),
        runs=len(records),
        run_id=newest.run_id if newest else None,
        title=str(made["script"].metadata.get("title", "")) if "script" in made else "",
        links=links,
        files=files,
        seconds=seconds,
        size=size,
        render_sha256=sha256,
        failed_checks=failed,
        review=worklog.review(video, made.get("render")),
    )
