"""The intake: hands what is wanted to Dagster's queue, in order, and notes how it ended."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import Awaiting, Done, Launch, Rejected, missing, next_step, script_after
from cm_assets.lifecycle.projection import Projection
from cm_assets.lifecycle.status import facts_of
from cm_assets.lifecycle.worklog import ACTIVE, PARTITION_TAG, STOPPED_TAG, WorkLog
from cm_assets.models.review import Review
from cm_assets.orchestration.launching import CodeServerAway, Launcher, LaunchFailed
from cm_assets.orchestration.processes import kill_trees
from cm_assets.partitions import PARTITIONS
from cm_assets.policies import RUN_MAXIMUM
from cm_assets.storage.database import Database, StoredRequest

log = logging.getLogger("cm_assets.intake")

FOR_EVER = timedelta(days=36500)
"""Until something happens to the video."""

LOOK_AHEAD = 200
"""Requests among which those are looked for that need no disk space."""

CANCEL_GRACE = 2.0
"""Seconds that a cancelled run has to say which process it is."""


class Intake:
    """Looks at what is wanted and acts on it.

    Args:
        database: what is wanted.
        worklog: what ran.
        projection: what status and lists are told.
        launcher: launches runs.
        home: whose processes may be killed.
        most_lost_runs: runs of a video that may die without a word before it counts as failed.
        capacity: runs that may be in Dagster's hands at once; the rest waits here, where priorities can change.
        full: why there is no room for another video; what is made already is posted nevertheless.
    """

    def __init__(
        self,
        database: Database,
        worklog: WorkLog,
        projection: Projection,
        launcher: Launcher,
        *,
        home: Path,
        capacity: int,
        most_lost_runs: int,
        full: Callable[[], str] = str,
    ) -> None:
        self._database = database
        self._worklog = worklog
        self._projection = projection
        self._launcher = launcher
        self._home = home
        self._capacity = capacity
        self._most_lost_runs = most_lost_runs
        self._full = full
        self._cancelled_at: dict[str, float] = {}

    def tick(self) -> None:
        """One look."""
        active = {
            run.tags[PARTITION_TAG]: run
            for run in self._worklog.instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE)))
            if PARTITION_TAG in run.tags
        }
        self._projection.advance(active)
        self._cancel_unwanted(active)
        room = self._capacity - len(active)
        now = datetime.now(UTC)
        for request, held in self._next(now, self._capacity + len(active)):
            if room <= 0:
                break
            if request.id not in active and self._advance(request, now, held=held):
                room -= 1

    def _next(self, now: datetime, limit: int) -> list[tuple[StoredRequest, bool]]:
        """The first of the backlog, and whether nothing may be made of them for now.

        Where the disk is full, those that are made come first, and then those whose runs may have ended.
        """
        if not self._full():
            return [(request, False) for request in self._database.backlog(now, limit)]
        backlog = self._database.backlog(now, LOOK_AHEAD)
        noted = self._database.noted([request.id for request in backlog])
        begun = [(request, not _is_made(request, noted[request.id])) for request in backlog if request.id in noted]
        return sorted(begun, key=lambda one: one[1])[:limit]

    def _advance(self, stored: StoredRequest, now: datetime, *, held: bool) -> bool:
        """Do what is next for a video that has no run in flight; whether a run was launched."""
        if self._ended_badly(stored, held=held):
            return False
        request = parse(stored.document)
        all_made = self._worklog.all_made(stored.id)
        made = {stage: one.storage_id for stage, one in all_made.items()}
        review = self._worklog.review(stored.id, all_made.get("render"))
        step = next_step(request, made, now, review)
        if isinstance(step, Done):
            self._database.close(stored.id, "done")
        elif isinstance(step, Rejected):
            self._database.close(stored.id, "rejected", step.feedback)
        elif isinstance(step, Awaiting):
            self._database.postpone(stored.id, now + FOR_EVER, "approval")
        elif isinstance(step, Launch) and held:
            return False
        elif isinstance(step, Launch):
            self._worklog.instance.add_dynamic_partitions(PARTITIONS, [stored.id])
            self._database.forget_progress(stored.id)
            try:
                run_id = self._launcher.launch(
                    # Dagster serves the highest number first, a request's 1 is the most urgent.
                    step.job,
                    step.stages,
                    stored.id,
                    {"dagster/priority": str(-stored.priority)},
                    self._answer(stored.id, review) if step.answers else {},
                )
            except CodeServerAway as away:
                log.warning("%s: %s", stored.id, away)
                return False
            except LaunchFailed as failure:
                log.error("%s", failure)  # noqa: TRY400 - the message is the whole story
                self._database.close(stored.id, "failed", str(failure))
                return False
            log.info("%s: %s of %s as run %s", stored.id, step.job, ", ".join(step.stages), run_id)
            return True
        else:
            self._database.postpone(stored.id, step.until, step.reason)
        return False

    def _answer(self, video: str, review: Review) -> dict[str, Any]:
        """Run config that has the script answer a rejection: it names the script that was rejected."""
        rejected = self._worklog.script_before(video, review.decided)
        return {"ops": {"script": {"config": {"feedback": review.feedback, "revises": rejected or ""}}}}

    def _ended_badly(self, stored: StoredRequest, *, held: bool) -> bool:
        """Judge the newest run since the video was last asked for; whether nothing more is to be done for it now."""
        record = self._worklog.newest_run(stored.id)
        if record is None or record.create_timestamp < stored.wanted_at:
            return False
        run = record.dagster_run
        if run.status == dg.DagsterRunStatus.CANCELED and STOPPED_TAG not in run.tags:
            return self._database.close(stored.id, "cancelled", "its run was cancelled")
        if run.status != dg.DagsterRunStatus.FAILURE:
            return False
        if self._worklog.overran(run):
            return self._database.close(stored.id, "failed", f"its run took longer than {RUN_MAXIMUM / 60:g} minutes")
        failure = self._worklog.failure(run)
        if failure is not None and failure.resume_at is not None:
            if failure.resume_at <= datetime.now(UTC):
                return False
            self._database.postpone(stored.id, failure.resume_at, f"{failure.stage}: {failure.reason}")
            return True
        if failure is not None:
            return self._database.close(stored.id, "failed", f"{failure.stage}: {failure.reason}")
        if held:
            return True  # counted when it is launched again
        # A step can outlive the worker that started it; it must not finish beside the one that takes its place.
        kill_trees(self._worklog.worker_pids(run), self._home)
        self._database.count_lost_run(stored.id)
        if stored.lost_runs + 1 >= self._most_lost_runs:
            return self._database.close(stored.id, "failed", f"its worker was lost {self._most_lost_runs} times")
        return False

    def _cancel_unwanted(self, active: dict[str, dg.DagsterRun]) -> None:
        for video, run in active.items():
            stored = self._database.get(video)
            if stored is not None and stored.outcome == "cancelled":
                self._cancel(run)

    def _cancel(self, run: dg.DagsterRun) -> None:
        """End a run now. A killed step leaves nothing half made, so there is nothing to wait for."""
        instance = self._worklog.instance
        since = self._cancelled_at.setdefault(run.run_id, time.monotonic())
        if run.status in {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING}:
            pids = self._worklog.worker_pids(run)
            if not pids and time.monotonic() - since < CANCEL_GRACE:
                return  # it is just being born: the next look will find it
            if run.status != dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceling(run)
            kill_trees(pids, self._home)
        now = instance.get_run_by_id(run.run_id)
        if now is not None and not now.is_finished:
            instance.report_run_canceled(now, "Cancelled.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        self._cancelled_at.pop(run.run_id, None)


def _is_made(stored: StoredRequest, noted: Mapping[str, Any]) -> bool:
    if "render" not in noted.get("made", ()):
        return False
    facts = facts_of(noted)
    return not missing(facts.made, script_after(parse(stored.document), facts.review))
