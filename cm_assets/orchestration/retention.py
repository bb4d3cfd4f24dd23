"""Results that expire: intermediates of published videos first, whole videos later, tombstones never.

A retirement begins with the tombstone: from then on nobody makes or posts the video. Then go its files, Dagster's
records of it, and its partition key. Whoever is killed in between left a tombstone that says that something is left,
and the next call or the schedule goes on.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from cm_assets.lifecycle.retirement import NotToBeRetired, must_stay, tombstone
from cm_assets.lifecycle.worklog import PARTITION_TAG, Made, WorkLog
from cm_assets.logs import about
from cm_assets.models.disk import size
from cm_assets.models.request import working_title
from cm_assets.orchestration.forgetting import forget_reports, forget_run
from cm_assets.partitions import PARTITIONS, VideoId
from cm_assets.policies import PLATFORMS, POST
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import RETIRED, Database, StoredRequest
from cm_assets.storage.uploads import Uploads

log = logging.getLogger("cm_assets.retention")

INTERVAL = 60.0
"""Seconds between two looks where nothing has expired."""

SWEEP = 6 * 3600.0
"""Seconds between two looks for the parts of uploads that were never finished: each is a request that is paid for."""

PAGE = 50

CLOSED = ("done", "partial", "taken_down", "failed", "cancelled", "rejected")


class Retirement:
    """Takes videos away, for good.

    Args:
        database: the requests.
        worklog: Dagster's records.
        store: the artifacts.
    """

    def __init__(self, database: Database, worklog: WorkLog, store: ArtifactStore) -> None:
        self._database = database
        self._worklog = worklog
        self._store = store
        self._instance = worklog.instance

    def retire(self, stored: StoredRequest, reason: str) -> bool:
        """Retire a video, or go on where that was interrupted.

        Args:
            stored: which.
            reason: why, for its tombstone.

        Returns:
            False if a run had just begun: what is left goes when it has ended.

        Raises:
            NotToBeRetired: it must stay; nothing was changed.
        """
        if stored.outcome != RETIRED:
            made = self._worklog.all_made(stored.id)
            review = self._worklog.review(stored.id, made.get("render"))
            ids = {stage: one.storage_id for stage, one in made.items()}
            if why := must_stay(stored, ids, review, in_flight=self._in_flight(stored.id)):
                raise NotToBeRetired(why)
            title = _title(made) or working_title(stored.document)
            if not self._database.retire(
                stored.id, stored.outcome, tombstone(stored, title, self._posts(stored.id, made)), reason
            ):
                raise NotToBeRetired(f"{stored.id} has just been asked for again")
        return self._finish(stored.id)

    def _finish(self, video: VideoId) -> bool:
        runs = self._runs(video)
        if not all(run.is_finished for run in runs):
            return False
        self._keep_links(video)
        self._store.remove(video)
        for run in runs:
            forget_run(self._instance, run.run_id)
        forget_reports(self._instance, video)
        self._instance.delete_dynamic_partition(PARTITIONS, video)
        if self._runs(video):
            return False
        self._database.note_kept(video, "nothing")
        return True

    def _keep_links(self, video: VideoId) -> None:
        """A post that was being made when its video retired is out there: its link stays."""
        made = {stage: self._worklog.made(video, stage) for stage in (f"{POST}{platform}" for platform in PLATFORMS)}
        stored, posts = (
            self._database.get(video),
            self._posts(video, {stage: one for stage, one in made.items() if one}),
        )
        if stored is not None:
            stone = tombstone(stored, "", posts)
            if stone != stored.document:
                self._database.retire(video, RETIRED, stone, stored.reason)

    def _posts(self, video: VideoId, made: dict[str, Made]) -> dict[str, str]:
        taken = self._worklog.taken_down_posts(video, made)
        return {
            stage.removeprefix(POST): str(one.metadata["post"])
            for stage, one in made.items()
            if stage.startswith(POST) and taken.get(stage, -1) < one.storage_id
        }

    def drop_intermediates(self, stored: StoredRequest) -> bool:
        """Remove what the render was made from; False if a run is in flight that may read it."""
        if self._in_flight(stored.id):
            return False
        self._store.remove_media(stored.id, but=["render"])
        self._database.note_size(stored.id, self._store.local_bytes(stored.id))
        self._database.note_kept(stored.id, "results")
        return True

    def abort_abandoned(self) -> int:
        """Remove what writers that were killed left in the store and nothing names; of how many files."""
        return self._store.abort_abandoned()

    def local_bytes(self, video: VideoId) -> int:
        """What a video's artifacts take on our disks."""
        return self._store.local_bytes(video)

    def _in_flight(self, video: VideoId) -> bool:
        return any(not run.is_finished for run in self._runs(video))

    def _runs(self, video: VideoId) -> Sequence[dg.DagsterRun]:
        return self._instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: video}))


class Retention:
    """Looks for what has expired and takes it away, a video at a time.

    Args:
        database: the requests.
        retirement: takes videos away.
        keep_intermediates_days: days after its end that a published video keeps them; None for ever.
        keep_days: days after its end that a video stays, and after its last use an upload; None for ever.
        uploads: files that users have handed in; None to leave them alone.
    """

    def __init__(
        self,
        database: Database,
        retirement: Retirement,
        *,
        keep_intermediates_days: float | None,
        keep_days: float | None,
        uploads: Uploads | None = None,
    ) -> None:
        self._database = database
        self._retirement = retirement
        self._keep_intermediates_days = keep_intermediates_days
        self._keep_days = keep_days
        self._uploads = uploads
        self._round = self._due()
        self._rests_until = 0.0
        self._sweeps_at = 0.0

    def tick(self) -> bool:
        """Look at one video that has expired, if there is one and it is time to look; whether something went."""
        if time.monotonic() < self._rests_until:
            return False
        went = next(self._round, None)
        if went is None:
            self._round = self._due()
            self._rests_until = time.monotonic() + INTERVAL
        return bool(went)

    def _due(self) -> Iterator[bool]:
        """One round: what has expired, each as it is asked for."""
        now = datetime.now(UTC)
        for stored in self._closed([RETIRED], ["all", "results"], now):
            yield self._tried(self._retire, stored, stored.reason)
        if self._keep_days is not None:
            reason = f"it was done for longer than CM_KEEP_DAYS={self._keep_days:g}"
            for stored in self._closed(CLOSED, ["all", "results"], now - timedelta(days=self._keep_days)):
                yield self._tried(self._retire, stored, reason)
        if self._keep_intermediates_days is not None:
            for stored in self._closed(
                ["done", "partial"], ["all"], now - timedelta(days=self._keep_intermediates_days)
            ):
                yield self._tried(self._drop_intermediates, stored)
        if self._uploads is not None:
            yield from self._expired(self._uploads, now)
        if time.monotonic() >= self._sweeps_at:
            self._sweeps_at = time.monotonic() + SWEEP
            yield self._swept()

    def _swept(self) -> bool:
        try:
            count = self._retirement.abort_abandoned()
        except Exception as error:  # noqa: BLE001 - likewise what a store does not tell
            log.warning("parts of uploads may stay: %s: %s", type(error).__name__, error)
            return False
        if count:
            log.info("the parts of %d uploads went whose writers were killed", count)
        return count > 0

    def _expired(self, uploads: Uploads, now: datetime) -> Iterator[bool]:
        try:
            if uploads.sweep(now):
                yield True
            if self._keep_days is not None:
                for upload in uploads.expired(now - timedelta(days=self._keep_days)):
                    log.info("%s went: it was not used for CM_KEEP_DAYS=%g", upload.named, self._keep_days)
                    yield True
        except Exception as error:  # noqa: BLE001 - likewise what a store cannot remove
            log.warning("uploads stay for now: %s: %s", type(error).__name__, error)

    def _closed(self, outcomes: Sequence[str], kept: Sequence[str], until: datetime) -> Iterator[StoredRequest]:
        last: StoredRequest | None = None
        while page := self._database.closed(outcomes=outcomes, kept=kept, until=until, limit=PAGE, after=last):
            for stored in page:
                # The page may have been read some seconds ago.
                now = self._database.get(stored.id)
                if now is not None and now.outcome in outcomes and now.kept in kept:
                    yield now
            last = page[-1]

    def _tried(self, act: Callable[..., bool], stored: StoredRequest, *arguments: str) -> bool:
        with about(video=stored.id):
            try:
                return act(stored, *arguments)
            except Exception as error:  # noqa: BLE001 - what a store cannot remove must hold up no other video
                log.warning("%s stays for now: %s: %s", stored.id, type(error).__name__, error)
                return False

    def _retire(self, stored: StoredRequest, reason: str) -> bool:
        try:
            gone = self._retirement.retire(stored, reason)
        except NotToBeRetired as why:
            log.debug("%s", why)
            return False
        if gone:
            log.info("%s retired: %s", stored.id, reason)
        return gone

    def _drop_intermediates(self, stored: StoredRequest) -> bool:
        before = self._retirement.local_bytes(stored.id)
        gone = self._retirement.drop_intermediates(stored)
        if gone:
            log.info("%s: %s of intermediates went", stored.id, size(before - self._retirement.local_bytes(stored.id)))
        return gone


def _title(made: dict[str, Made]) -> str:
    return str(made["script"].metadata.get("title", "")) if "script" in made else ""
