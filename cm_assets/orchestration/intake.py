"""The intake: hands what is wanted to Dagster's queue, in order, and notes how it ended.

Several may look at once, and any may die at any moment: whoever launches a run claims its number first, and a run whose
number is no longer the last of its video does no work.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import dagster as dg

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import (
    PRODUCE_JOB,
    Awaiting,
    Done,
    Launch,
    Posts,
    Rejected,
    Wait,
    missing,
    next_step,
    script_after,
)
from cm_assets.lifecycle.projection import Projection
from cm_assets.lifecycle.status import facts_of
from cm_assets.lifecycle.worklog import ATTEMPT_TAG, STOPPED_TAG, WorkLog, stages_of
from cm_assets.logs import about
from cm_assets.models.base import Seconds
from cm_assets.models.review import Review
from cm_assets.orchestration.launching import CodeServerAway, LaunchFailed
from cm_assets.orchestration.processes import kill_trees
from cm_assets.orchestration.workers import WORKER_TAG, Worker
from cm_assets.partitions import PARTITIONS, VideoId
from cm_assets.policies import MINUTE, RUN_MAXIMUM, STAGES
from cm_assets.storage.database import Database, StoredRequest
from cm_assets.storage.ledger import PostLedger

log = logging.getLogger("cm_assets.intake")

FOR_EVER = timedelta(days=36500)
"""Until something happens to the video."""

LOOK_AHEAD = 200
"""Requests among which those are looked for that need no disk space."""

CANCEL_GRACE = 2.0
"""Seconds that a cancelled run has to say which process it is."""

CLAIM = timedelta(seconds=30)
"""How long a launch may take; who has not launched by then is taken for dead."""

STILLBORN = timedelta(seconds=60)
"""Age at which a run that never came into the queue is given up: whoever was about to put it there has died."""

AWAY = 1.0
"""Seconds until a code server that did not answer is asked again."""


class Launcher(Protocol):
    """Launches runs, or hands them to somebody who does."""

    def launch(
        self, job: str, stages: Sequence[str], video: str, tags: Mapping[str, str], config: Mapping[str, Any]
    ) -> str | None:
        """Launch a run of a job, limited to some stages of a video; its id, or None if that happens later.

        Raises:
            LaunchFailed: Dagster said no, and why.
            CodeServerAway: nobody is there to ask.
        """


@runtime_checkable
class Witness(Protocol):
    """A run launcher that can say how a run's worker ended."""

    def bury(self, run: dg.DagsterRun) -> str:
        """End what is left of a lost run's worker; how it ended, for people."""


class Intake:
    """Looks at what is wanted and acts on it.

    Args:
        database: what is wanted.
        worklog: what ran.
        projection: what status and lists are told.
        launcher: launches runs.
        home: whose processes may be killed; None where Dagster's own launcher ends them.
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
        home: Path | None,
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
        self._away_until = 0.0
        self._in_flight: frozenset[VideoId] = frozenset()

    def tick(self, now: datetime | None = None) -> None:
        """One look.

        Args:
            now: the time.
        """
        now = now or datetime.now(UTC)
        # Before the runs: who launches in between has then claimed a number that these rows do not have.
        backlog = self._first(now, 2 * self._capacity)
        records = self._worklog.in_flight()
        active = {video: record.dagster_run for video, record in records.items()}
        self._in_flight = frozenset(active)
        self._projection.advance(active)
        self._cancel_unwanted(active)
        self._give_up_stillborn(records, now)
        room = self._capacity - len(active)
        for request, held in backlog:
            if room <= 0 or time.monotonic() < self._away_until:
                break
            with about(video=request.id):
                room -= request.id not in active and self._advance(request, now, held=held)

    def cancel(self) -> None:
        """End the runs of videos that were cancelled."""
        self._cancel_unwanted({video: record.dagster_run for video, record in self._worklog.in_flight().items()})

    def settle(self) -> None:
        """Close what is done of that which was in flight when the runs were stopped; launches nothing.

        A video is published when its posts are there, which is a moment before its run ends, and who waited for it may
        leave then.
        """
        self._projection.advance({})
        for video in sorted(self._in_flight):
            stored = self._database.get(video)
            if stored is None or not stored.wanted:
                continue
            with about(video=video):
                step, _ = self._next(stored, datetime.now(UTC))
                if isinstance(step, Done):
                    self._database.close(video, step.outcome, step.reason)

    def _next(self, stored: StoredRequest, now: datetime) -> tuple[Launch | Wait | Awaiting | Rejected | Done, Review]:
        """What is next for a video, and what people said of its render."""
        all_made = self._projection.made(stored.id)
        review = self._worklog.review(stored.id, all_made.get("render"))
        made = {stage: one.storage_id for stage, one in all_made.items()}
        taken = self._worklog.taken_down_posts(stored.id, made)
        # What was begun elsewhere matters only where something is to be seen no more.
        undoing = [stored.id] if stored.take_down or stored.given_up else []
        begun = PostLedger(self._database).begun(undoing).get(stored.id, ())
        posts = Posts(taken, stored.given_up, stored.take_down, begun)
        return next_step(parse(stored.document), made, now, review, posts), review

    def _first(self, now: datetime, limit: int) -> list[tuple[StoredRequest, bool]]:
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
        if stored.claimed_until is not None and stored.claimed_until > now:
            return False
        lost = self._lost(stored)
        if lost is None:
            return False
        step, review = self._next(stored, now)
        if isinstance(step, Done):
            self._database.close(stored.id, step.outcome, step.reason)
        elif isinstance(step, Rejected):
            self._database.close(stored.id, "rejected", step.feedback)
        elif isinstance(step, Awaiting):
            self._database.postpone(stored.id, now + FOR_EVER, "approval")
        elif isinstance(step, Launch) and held:
            return False
        elif isinstance(step, Launch):
            config: Mapping[str, Any] = {}
            if step.answers:
                config = self._answer(stored.id, review)
            elif step.take_down:
                config = {"ops": {"take_down": {"config": {"platform": step.take_down}}}}
            return self._launch(stored, step, config, now, lost=lost)
        else:
            self._database.postpone(stored.id, step.until, step.reason)
        return False

    def _launch(
        self, stored: StoredRequest, step: Launch, config: Mapping[str, Any], now: datetime, *, lost: bool
    ) -> bool:
        attempt = self._database.claim(stored, now, now + CLAIM, lost=lost)
        if attempt is None:
            return False
        self._worklog.instance.add_dynamic_partitions(PARTITIONS, [stored.id])
        self._database.forget_progress(stored.id)
        # Dagster serves the highest number first, a request's 1 is the most urgent.
        tags = {"dagster/priority": str(-stored.priority), ATTEMPT_TAG: str(attempt)}
        try:
            run_id = self._launcher.launch(step.job, step.stages, stored.id, tags, config)
        except CodeServerAway as away:
            log.warning("%s", away)
            self._database.release(stored.id, attempt)
            self._away_until = time.monotonic() + AWAY
            return False
        except LaunchFailed as failure:
            log.error("%s", failure)  # noqa: TRY400 - the message is the whole story
            self._database.release(stored.id, attempt)
            self._database.close(stored.id, "failed", str(failure))
            return False
        if run_id is not None:
            self._database.release(stored.id, attempt)
        what = ", ".join(step.stages) or step.take_down
        log.info("%s of %s, run %s", step.job, what, run_id or "to come", extra={"attempt": attempt})
        return True

    def _answer(self, video: str, review: Review) -> dict[str, Any]:
        """Run config that has the script answer a rejection: it names the script that was rejected."""
        rejected = self._worklog.script_before(video, review.decided)
        return {"ops": {"script": {"config": {"feedback": review.feedback, "revises": rejected or ""}}}}

    def _lost(self, stored: StoredRequest) -> bool | None:
        """Whether the run before died without a word; None if nothing more is to be done for the video now."""
        record = self._worklog.run_of(stored.id, stored.attempt)
        if record is None or record.create_timestamp < stored.wanted_at:
            return False
        run = record.dagster_run
        if run.status == dg.DagsterRunStatus.CANCELED and STOPPED_TAG not in run.tags:
            self._database.close(stored.id, "cancelled", "its run was cancelled")
            return None
        if run.status != dg.DagsterRunStatus.FAILURE:
            return False
        if self._worklog.overran(run):
            why = f"its run took longer than {RUN_MAXIMUM / 60:g} minutes"
            at_work = self._worklog.at_work(run)
            ended = record.end_time or time.time()
            late = [stage for stage, since in at_work.items() if ended - since <= _longest(stage)]
            # One that was only waiting for its turn is no slower than others: it goes on in another run.
            if late or not at_work:
                return None if late and self._give_up(stored, run, dict.fromkeys(late, why)) else False
            # What was begun longer ago than it may take has lost its worker, and nobody came in its place.
        failures = self._worklog.failures(run)
        final = {one.stage: one.reason for one in failures if one.resume_at is None}
        if final and self._give_up(stored, run, final):
            return None
        waits = {one.resume_at: one for one in failures if one.resume_at is not None}
        if waits and (until := min(waits)) > datetime.now(UTC):
            self._database.postpone(stored.id, until, f"{waits[until].stage}: {waits[until].reason}")
            return None
        if failures:
            return False
        how = self._bury(run)
        log.warning("%s: the worker of run %s was lost: %s", stored.id, run.run_id, how or "nobody saw how")
        if stored.lost_runs + 1 >= self._most_lost_runs:
            why = f"its worker was lost {self._most_lost_runs} times" + (f", the last time: {how}" if how else "")
            return None if self._give_up(stored, run, dict.fromkeys(stages_of(run), why)) else False
        if self._home is not None:
            # A step can outlive the worker that started it; it must not finish beside the one that takes its place.
            kill_trees(self._pids(run), self._home)
        return True

    def _pids(self, run: dg.DagsterRun) -> list[int]:
        """The processes that executed a run here; numbers of another host's would be somebody else's here."""
        worker = Worker.parse(run.tags.get(WORKER_TAG, ""))
        return self._worklog.worker_pids(run) if worker is None or worker.local else []

    def _bury(self, run: dg.DagsterRun) -> str:
        launcher = self._worklog.instance.run_launcher
        if not isinstance(launcher, Witness):
            return ""
        try:
            return launcher.bury(run)
        except Exception:  # whatever is wrong with its engine, the video goes on
            log.exception("nobody could say how run %s ended", run.run_id)
            return ""

    def _give_up(self, stored: StoredRequest, run: dg.DagsterRun, stages: Mapping[str, str]) -> bool:
        """Try some stages no more; False if that was decided before.

        A video that cannot be made has failed. Of one that cannot be posted somewhere, the other posts go on.
        """
        if run.job_name == PRODUCE_JOB:
            reason = "; ".join(f"{stage}: {why}" for stage, why in stages.items())
            return self._database.close(stored.id, "failed", reason, stage=next(iter(stages), ""))
        if stages.keys() <= stored.given_up.keys():
            return False
        self._database.give_up(stored.id, stages)
        return True

    def _give_up_stillborn(self, records: Mapping[str, dg.RunRecord], now: datetime) -> None:
        for record in records.values():
            run = record.dagster_run
            if run.status == dg.DagsterRunStatus.NOT_STARTED and now - record.create_timestamp > STILLBORN:
                self._worklog.instance.report_run_failed(run, "It never came into the queue.")

    def _cancel_unwanted(self, active: dict[str, dg.DagsterRun]) -> None:
        for video, run in active.items():
            stored = self._database.get(video)
            if stored is not None and stored.outcome == "cancelled":
                with about(video=video, run=run.run_id):
                    self._cancel(run)

    def _cancel(self, run: dg.DagsterRun) -> None:
        """End a run now. A killed step leaves nothing half made, so there is nothing to wait for."""
        instance = self._worklog.instance
        if self._home is None:
            if run.status != dg.DagsterRunStatus.CANCELING:
                instance.run_coordinator.cancel_run(run.run_id)
            return
        since = self._cancelled_at.setdefault(run.run_id, time.monotonic())
        if run.status in {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING}:
            pids = self._pids(run)
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


def _longest(stage: str) -> Seconds:
    """How long somebody can be at work for a stage before he is ended."""
    return STAGES.get(stage, STAGES["take_down"]).time_limit + MINUTE


def _is_made(stored: StoredRequest, noted: Mapping[str, Any]) -> bool:
    if "render" not in noted.get("made", ()):
        return False
    facts = facts_of(noted)
    return not missing(facts.made, script_after(parse(stored.document), facts.review))
