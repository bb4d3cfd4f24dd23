"""What somebody must look at again and again: the inbox, the calendar, what is wanted, what has expired, the disk."""

import logging
import time
from datetime import datetime
from pathlib import Path

import dagster as dg

from cm_assets.lifecycle.arrivals import sweep
from cm_assets.lifecycle.catalogue import catalogue
from cm_assets.lifecycle.projection import Projection
from cm_assets.lifecycle.worklog import WorkLog
from cm_assets.models.base import PermanentFailure
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.calendar import Calendar
from cm_assets.orchestration.disk import DiskWatch
from cm_assets.orchestration.inbox import Inbox
from cm_assets.orchestration.intake import Intake, Launcher
from cm_assets.orchestration.retention import Retention, Retirement
from cm_assets.resources import vault
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk
from cm_assets.storage.uploads import Uploads

NOTE_EVERY = 10.0
"""Seconds between two notes that somebody looks."""

log = logging.getLogger("cm_assets.rounds")


class Rounds:
    """The rounds of a home. Several may go them at once, and may be killed on the way.

    Args:
        settings: of the home.
        database: its intent.
        instance: whose runs make its videos.
        launcher: launches them.
        home: whose processes may be killed; None where Dagster's own launcher ends them.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        instance: dg.DagsterInstance,
        launcher: Launcher,
        *,
        home: Path | None,
    ) -> None:
        worklog = WorkLog(instance)
        store = ArtifactStore(settings.artifacts, settings.cache, settings.artifact_cache_bytes)
        disk = Disk(settings, database)
        sweep(settings.incoming)
        _reseal(settings)
        self._inbox = Inbox(settings.inbox, database, lambda: catalogue(settings), disk.require_room)
        self._calendar = Calendar(
            settings.calendar_file,
            homes.engine_folder(settings) / "calendar.yaml",
            database,
            lambda: catalogue(settings),
            disk.require_room,
        )
        self._watch = DiskWatch(settings, database, store, disk)
        self._intake = Intake(
            database,
            worklog,
            Projection(database, worklog, store),
            launcher,
            home=home,
            capacity=_most_runs(instance, settings) + 2,
            most_lost_runs=settings.max_lost_runs,
            full=disk.full,
        )
        self._retention = Retention(
            database,
            Retirement(database, worklog, store),
            keep_intermediates_days=settings.keep_intermediates_days,
            keep_days=settings.keep_days,
            uploads=Uploads(database, store),
        )
        self._database = database
        self._noted = -NOTE_EVERY

    def go(self, now: datetime | None = None) -> None:
        """One look at everything.

        Args:
            now: the time.
        """
        self._watch.tick()  # first: what an earlier engine measured may be old
        self._inbox.tick()
        self._calendar.tick(now)
        self._intake.tick(now)
        self._retention.tick()
        if time.monotonic() - self._noted > NOTE_EVERY:
            self._noted = time.monotonic()
            self._database.move_cursor(homes.LOOKED, int(time.time()))

    def cancel(self) -> None:
        """End the runs of videos that were cancelled, and nothing else."""
        self._intake.cancel()

    def settle(self) -> None:
        """Close what is done when the runs have been stopped; launches nothing."""
        self._intake.settle()


def _reseal(settings: Settings) -> None:
    """Have the tokens of accounts sealed with the newest key, so that older ones need not be kept."""
    try:
        count = vault(settings).reseal()
    except PermanentFailure as failure:
        log.error("%s", failure)  # noqa: TRY400 - the message is the whole story
    else:
        if count:
            log.info("the tokens of %d accounts are sealed with the first key of CM_SECRET_KEY now", count)


def _most_runs(instance: dg.DagsterInstance, settings: Settings) -> int:
    """Runs at once: what the instance's own configuration says, since that is what its queue does."""
    queue = instance.get_concurrency_config().run_queue_config
    most = queue.max_concurrent_runs if queue is not None else 0
    return most if most > 0 else settings.max_concurrent_runs
