"""How every stage runs: failures in their classes, the time limit, a work folder, progress.

Asset bodies do their work inside `Stages.run`; nothing else in this package catches errors.
"""

import errno
import logging
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import dagster as dg

from cm_assets.checks.finding import Finding, specs
from cm_assets.lifecycle.worklog import ATTEMPT_TAG, AWAY_SINCE, RESUME_AT, WorkLog, stage_of
from cm_assets.logs import about
from cm_assets.models.base import AskedToWait, Failure, Model, PermanentFailure, Seconds, TransientFailure
from cm_assets.partitions import PARTITIONS, is_video_id
from cm_assets.policies import DAY, QUEUE_TAG, STAGES, StagePolicy
from cm_assets.storage.away import is_away
from cm_assets.storage.database import RETIRED, Database, Step
from cm_assets.storage.work import new_folder

log = logging.getLogger("cm_assets.stage")

videos = dg.DynamicPartitionsDefinition(name=PARTITIONS)

PROGRESS_INTERVAL = 0.5
"""Seconds between two writes of a step's progress."""

LONGEST_WAIT = 60.0
"""Seconds that a run may wait for a service. Whoever asks for more is asked again by another run."""

MOST_WAITS = 20
"""Waits of one step of one run; a service that asks for more is asked again by another run."""

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 6 * 3600.0
"""Seconds between two runs of a stage while a service is away: as long as that has lasted, within these."""

NO_LIMIT = 1_000_000
"""Retries that Dagster may count: how many there are is decided here."""


_Context = dg.AssetExecutionContext | dg.OpExecutionContext
_Ending = dg.Failure | dg.RetryRequested


class TimeLimitReached(BaseException):
    """The stage's time is up. No `Exception`, so that no engine's fallback mistakes it for a failure of its own."""


class Stage:
    """One stage of one video, while it runs.

    Attributes:
        video: whose it is.
        name: the stage.
        folder: for files in the making; gone afterwards.
        comes_back: whether the body is called again in this run if it raises a failure: it has tries left for it, or
            the wait is short.
    """

    def __init__(
        self,
        video: str,
        name: str,
        folder: Path,
        database: Database,
        attempt: int,
        comes_back: Callable[[Failure], bool],
    ) -> None:
        self.video = video
        self.name = name
        self.folder = folder
        self.comes_back = comes_back
        self._database = database
        self._attempt = attempt
        self._told = 0.0

    def progress(self, share: float) -> None:
        """Tell people how far the work is, 0 to 1."""
        now = time.monotonic()
        if now - self._told >= PROGRESS_INTERVAL:
            self._told = now
            try:
                self._database.report_progress(self.video, self.name, Step(min(max(share, 0.0), 1.0), self._attempt))
            except Exception as error:
                if not is_away(error):  # nobody's work is lost because nobody can be told how far it is
                    raise


class Stages:
    """Runs stages.

    Args:
        database: takes their progress.
        work: folder for files in the making.
    """

    def __init__(self, database: Database, work: Path) -> None:
        self._database = database
        self._work = work

    @contextmanager
    def run(self, context: _Context, name: str | None = None) -> Iterator[Stage]:
        """Run the body as a stage.

        Args:
            context: of the step.
            name: of the stage; that of the asset's key if None.

        Raises:
            dagster.Failure: the work failed for good, or must wait for longer than a run may.
            dagster.RetryRequested: it is tried again, or a service said when to come back.
        """
        name = name or context.asset_key.to_user_string()
        video = context.partition_key
        policy = STAGES[name]
        if not is_video_id(video):
            raise dg.Failure(f"{video!r} is no video id: lower-case letters, digits and hyphens", allow_retries=False)
        stored = self._database.get(video)
        if stored is not None and stored.outcome == RETIRED:
            # Dagster would show a partition key that is added again as made, approval and all.
            raise dg.Failure(
                f"{video} is retired, and its id is never used again: choose another id", allow_retries=False
            )
        number = context.run.tags.get(ATTEMPT_TAG)
        if number is not None and (stored is None or int(number) != stored.attempt):
            # It was launched late by somebody who had been taken for dead.
            raise dg.Failure("another run has taken its place", allow_retries=False)
        attempt = _op(context).retry_number + 1
        if attempt > 1 and WorkLog(context.instance).was_made_by(context.run, name):
            # Its process was killed after that, and before it could say that it was done.
            why = f"{name} was made when its process ended; another run goes on"
            raise dg.Failure(why, metadata={RESUME_AT: time.time()}, allow_retries=False)
        folder = new_folder(self._work, video)
        began = time.monotonic()

        def ending(error: Exception, end: _Ending) -> _Ending:
            """Tell people how the attempt ended; its end."""
            step = Step(0.0, attempt)
            if isinstance(end, dg.RetryRequested):
                step = Step(0.0, attempt, f"{name}: {_said(error)} (again in {end.seconds_to_wait or 0:.0f} s)")
            kind = _class_of(error)
            self._database.end_attempt(video, name, step, kind, _logged(name, began, kind, _said(error)))
            return end

        bound = ExitStack()
        bound.enter_context(about(video=video, stage=name, run=context.run.run_id, attempt=number or ""))
        try:
            log.info("%s begins", name, extra={"try": attempt})
            self._database.report_progress(video, name, Step(0.0, attempt))

            def comes_back(failure: Failure) -> bool:
                return isinstance(_end(context, policy, failure), dg.RetryRequested)

            with _time_limit(policy.time_limit):
                yield Stage(video, name, folder, self._database, attempt, comes_back)
            self._database.end_attempt(video, name, Step(1.0, attempt), "done", _logged(name, began, "done"))
        except TimeLimitReached:
            late = TransientFailure(f"{name} took longer than its {policy.time_limit / 60:g} minutes")
            # Where there may be other runs, one of them goes on: several such attempts are more than a run may take.
            end = _outlast(context, policy, late) if policy.patience else _end(context, policy, late)
            raise ending(late, end) from late
        except (dg.Failure, dg.RetryRequested):
            raise
        except Exception as error:
            said = _in_words(error)
            raise ending(said, _end(context, policy, said)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            bound.close()


def _logged(stage: str, began: float, ended: str, why: str = "") -> Seconds:
    """Write down how an attempt ended; how long it took."""
    seconds = time.monotonic() - began
    said = f"{stage} ended: {why}" if why else f"{stage} is done"
    log.log(logging.WARNING if why else logging.INFO, said, extra={"ended": ended, "seconds": round(seconds, 3)})
    return seconds


def _class_of(error: Exception) -> str:
    """The class of a failure, as the numbers of the attempts name it."""
    kinds = {AskedToWait: "asked_to_wait", PermanentFailure: "permanent"}
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "transient")


def _in_words(error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TransientFailure("the disk is full: free some space, then make the video again")
    return error


def _op(context: _Context) -> dg.OpExecutionContext:
    return context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"


def _end(context: _Context, policy: StagePolicy, error: Exception) -> _Ending:
    """How an attempt ends that met an error, by the error's class."""
    if isinstance(error, PermanentFailure):
        return dg.Failure(str(error), allow_retries=False)
    if isinstance(error, AskedToWait):
        return _wait(context, error)
    return _again(context, policy, error)


def _again(context: _Context, policy: StagePolicy, error: Exception) -> _Ending:
    """Have the step tried again, later each time, as often as its policy says.

    Not left to Dagster's RetryPolicy, whose counter is shared with the waits that services ask for.
    """
    tried = _tried(context)
    if tried >= policy.retries and policy.patience and isinstance(error, TransientFailure):
        return _outlast(context, policy, error)
    if tried >= policy.retries:
        return dg.Failure(_said(error), allow_retries=False)
    delay = policy.first_delay * 2**tried * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
    return dg.RetryRequested(max_retries=NO_LIMIT, seconds_to_wait=delay)


def _outlast(context: _Context, policy: StagePolicy, error: TransientFailure) -> dg.Failure:
    """Have another run go on: after pauses that grow with the time for which a service has been away."""
    now = time.time()
    since = _away_since(context) or now
    if now - since > policy.patience:
        return dg.Failure(f"{error}; that has lasted for {policy.patience / DAY:g} days", allow_retries=False)
    pause = min(max(now - since, FIRST_PAUSE), LONGEST_PAUSE) * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
    return dg.Failure(str(error), metadata={RESUME_AT: now + pause, AWAY_SINCE: since}, allow_retries=False)


def _away_since(context: _Context) -> float | None:
    """Since when a service is away that the run before waited for already, in seconds since 1970."""
    attempt = context.run.tags.get(ATTEMPT_TAG)
    worklog = WorkLog(context.instance)
    before = worklog.run_of(context.partition_key, int(attempt) - 1) if attempt is not None else None
    ends = worklog.failures(before.dagster_run) if before is not None else []
    stage = stage_of(context.run, _op(context).op_handle.name)
    return next((one.away_since for one in ends if one.stage == stage), None)


def _tried(context: _Context) -> int:
    """Earlier attempts of this step of this run that failed; waits are none."""
    return sum(1 for cause in _earlier(context) if cause != AskedToWait.__name__)


def _wait(context: _Context, wait: AskedToWait) -> _Ending:
    """Come back when the service said. A long wait ends the run, so that it holds no place that others could use."""
    waits = sum(1 for cause in _earlier(context) if cause == AskedToWait.__name__)
    if wait.seconds > LONGEST_WAIT or waits >= MOST_WAITS:
        until = time.time() + max(wait.seconds, LONGEST_WAIT)
        return dg.Failure(str(wait), metadata={RESUME_AT: until}, allow_retries=False)
    return dg.RetryRequested(max_retries=NO_LIMIT, seconds_to_wait=wait.seconds)


def _earlier(context: _Context) -> list[str]:
    """What ended the earlier attempts of this step of this run: the names of the errors."""
    op = _op(context)
    if op.retry_number == 0:
        return []
    step = op.op_handle.name
    found = []
    for entry in context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY):
        event = entry.dagster_event
        if event is not None and event.step_key == step:
            error = event.step_retry_data.error
            cause = error.cause if error is not None and error.cause is not None else error
            found.append((cause.cls_name if cause is not None else None) or "")
    return found


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def fire(_signal: int, _frame: FrameType | None) -> None:
        raise TimeLimitReached

    before = signal.signal(signal.SIGALRM, fire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def policy_of(stage: str) -> dict[str, Any]:
    """The arguments of `@asset` that are the same for every stage, from the policy table."""
    policy = STAGES[stage]
    retries = dg.RetryPolicy(
        max_retries=policy.retries,
        delay=policy.first_delay,
        backoff=dg.Backoff.EXPONENTIAL,
        jitter=dg.Jitter.PLUS_MINUS,
    )
    return {
        "key": dg.AssetKey(stage.split("/")),
        "partitions_def": videos,
        "pool": policy.pool,
        "retry_policy": retries if policy.retries else None,
        "check_specs": specs(stage),
        "op_tags": {"cm/time_limit": f"{policy.time_limit:g}", QUEUE_TAG: policy.queue},
        "owners": ["team:cm_assets"],
    }


Results = Iterator[dg.MaterializeResult[Any]]
"""What an asset yields. An asset with checks has several outputs, which no return annotation can name."""


def results(model: Model, metadata: Mapping[str, Any], findings: Sequence[Finding] = ()) -> Results:
    """The model, with what people want to see of it and the findings of its checks."""
    yield dg.MaterializeResult(
        value=model,
        metadata=dict(metadata),
        check_results=[finding.result() for finding in findings],
        data_version=dg.DataVersion(model.content_sha256()),
    )
