"""One step, executed for a run whose own worker is elsewhere: begun once, watched, ended when it is wanted no more.

The step is a fork with a session of its own, so that its time limit has a main thread, and whoever watches it can kill
it at any moment with all that it started. Nothing half made is ever visible.
"""

import ctypes
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from functools import cache
from types import FrameType

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.api import create_execution_plan, execute_plan_iterator
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.retries import RetryMode
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin
from dagster._serdes import deserialize_value
from dagster._utils.hosted_user_process import recon_job_from_origin

from cm_assets import logs
from cm_assets.lifecycle.worklog import ATTEMPT_TAG, PARTITION_TAG, WorkLog, stage_of
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.processes import kill_tree
from cm_assets.orchestration.step_ends import attempts, begins, crashed
from cm_assets.orchestration.workers import returned
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.holds import Hold, hold_of
from cm_assets.storage.hosts import here
from cm_assets.storage.work import sweep_work

log = logging.getLogger("cm_assets.steps")

LOOK = 0.5
"""Seconds between two looks whether a step is still wanted."""

AGAIN = 1.0
"""Seconds between two looks whether whoever has a step is done with it."""

SILENCE = 15.0
"""Seconds that the database may be silent: whoever cannot see whether a step is wanted gives it back."""

MOST_BEGUN = 3
"""Workers of one run that may die without a word at one step, before the run ends for it."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2): a signal for this process when its parent ends."""


class HandBack(Exception):
    """The step is not done, and somebody else should have it."""


def execute(run_id: str, step: str, known_state: str) -> None:
    """Execute a step to its end, whatever that is; nothing if it has one or is wanted no more.

    Args:
        run_id: of its run.
        step: its key.
        known_state: what Dagster knows of the steps before, serialized; empty for nothing.

    Raises:
        HandBack: it has no end, and somebody else should give it one.
    """
    state = deserialize_value(known_state, KnownExecutionState) if known_state else None
    try:
        guard = _Guard(run_id, step, state)
        with logs.about(video=guard.video):
            guard.execute()
    except HandBack:
        raise
    except Exception as error:
        # Mostly a database that is away for a while.
        log.exception("%s of run %s could not be looked after", step, run_id)
        time.sleep(AGAIN)
        raise HandBack(type(error).__name__) from error


_records: list[InstanceRef] = []
"""What `open_records` found."""


def open_records() -> None:
    """Open the records that all steps of this process and its forks are to be written into.

    A worker keeps to those with which it began, whatever is written into the home's `dagster.yaml` meanwhile.
    """
    with homes.open_instance(Settings()) as instance:
        _records.append(instance.get_ref())


@cache
def _opened() -> tuple[dg.DagsterInstance, Database, Settings]:
    """What a guard looks at, once a process."""
    settings = Settings()
    return dg.DagsterInstance.from_ref(_records[-1]), Database(settings.database), settings


class _Guard:
    def __init__(self, run_id: str, step: str, state: KnownExecutionState | None) -> None:
        self._run_id = run_id
        self._step = step
        self._state = state
        self._retries = state.get_retry_state().get_attempt_count(step) if state is not None else 0
        self._instance, self._database, self._settings = _opened()
        run = self._run()
        self.video = run.tags.get(PARTITION_TAG, "") if run is not None else ""

    def execute(self) -> None:
        """Execute the step, and say so.

        Raises:
            HandBack: it has no end, and somebody else should give it one.
        """
        try:
            self._execute()
        except HandBack as why:
            log.warning("%s of run %s goes back to its queue: %s", self._step, self._run_id, why)
            raise

    def _execute(self) -> None:
        with hold_of(self._settings.database, self._run_id, self._step) as hold:
            while True:
                taken = hold.take()
                why = self._unwanted()
                if why:
                    log.info("%s of run %s is left alone: %s", self._step, self._run_id, why)
                    return
                if taken:
                    break
                time.sleep(AGAIN)
            run = self._run()
            assert run is not None
            begun = attempts(self._instance, self._run_id, self._step).begun
            if begun and WorkLog(self._instance).was_made_by(run, stage_of(run, self._step)):
                crashed(self._instance, run, self._step, "it was made when its worker died; another run goes on")
                return
            if begun >= MOST_BEGUN:
                crashed(self._instance, run, self._step, f"its workers died {MOST_BEGUN} times")
                return
            begins(self._instance, run, self._step, here().partition("/")[0])
            log.info("%s of run %s begins", self._step, self._run_id)
            began = time.monotonic()
            self._watch(self._begin(run, hold), hold)
            log.info("%s of run %s is over after %.1f s", self._step, self._run_id, time.monotonic() - began)

    def _run(self) -> dg.DagsterRun | None:
        return self._instance.get_run_by_id(self._run_id)

    def _unwanted(self) -> str:
        """Why the step must not be executed now; empty if it must be."""
        why = self._gone()
        if why:
            return why
        found = attempts(self._instance, self._run_id, self._step)
        return "it has its end" if found.done or found.over > self._retries else ""

    def _gone(self) -> str:
        """Why the run of the step has no right to go on; empty if it has."""
        run = self._run()
        if run is None or run.status != dg.DagsterRunStatus.STARTED:
            return f"its run is {run.status.value.lower() if run is not None else 'gone'}"
        number = run.tags.get(ATTEMPT_TAG)
        if number is not None:
            stored = self._database.get(run.tags.get(PARTITION_TAG, ""))
            if stored is None or stored.attempt != int(number):
                return "another run has taken its place"
        return ""

    def _begin(self, run: dg.DagsterRun, hold: Hold) -> int:
        """Fork the step; its pid."""
        # What is in a buffer now would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        guard = os.getpid()
        step = os.fork()
        if step == 0:
            os.close(hold.file())  # the lock is the guard's and must end with it
            os._exit(returned(lambda: self._work(run, guard)))
        return step

    def _work(self, run: dg.DagsterRun, guard: int) -> None:
        """Execute the step, in a process of its own."""
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with dg.DagsterInstance.from_ref(_records[-1]) as instance:
            try:
                job = _job_of(run)
                plan = create_execution_plan(
                    job, run_config=run.run_config, step_keys_to_execute=[self._step], known_state=self._state
                )
                for _ in execute_plan_iterator(
                    plan, job, run, instance, run_config=run.run_config, retry_mode=RetryMode.DEFERRED
                ):
                    pass
            except Exception as error:
                instance.report_engine_event(
                    f"{self._step} was not executed on {here().partition('/')[0]}: {type(error).__name__}: {error}",
                    run,
                    step_key=self._step,
                )
                raise

    def _watch(self, step: int, hold: Hold) -> None:
        """Wait for the step, and kill it when it is wanted no more."""
        told: list[int] = []

        def end(number: int, _frame: FrameType | None) -> None:
            told.append(number)

        before = signal.signal(signal.SIGTERM, end)
        code: int | None = None
        looked = heard = time.monotonic()
        try:
            while (code := _reaped(step)) is None:
                if told:
                    raise HandBack("its worker was stopped")
                now = time.monotonic()
                if now - looked < LOOK:
                    time.sleep(0.02)
                    continue
                kept = True
                try:
                    why, kept = self._gone(), hold.keep()
                    heard = time.monotonic()
                except Exception as error:
                    if time.monotonic() - heard > SILENCE:
                        raise HandBack("the database is silent") from error
                    why = ""
                looked = time.monotonic()
                if not kept:
                    raise HandBack("somebody else has it")
                if why:
                    log.info("%s of run %s is ended: %s", self._step, self._run_id, why)
                    return
        finally:
            if code is None:
                kill_tree(step)
                with suppress(ChildProcessError):
                    os.waitpid(step, 0)
            sweep_work(self._settings.home / "work")
            signal.signal(signal.SIGTERM, before)
        if not self._unwanted():
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            raise HandBack(f"its process ended {how}, and did not say how it went")


def _job_of(run: dg.DagsterRun) -> ReconstructableJob:
    origin = run.job_code_origin
    assert isinstance(origin, JobPythonOrigin)
    return recon_job_from_origin(origin).get_subset(
        op_selection=run.resolved_op_selection,
        asset_selection=run.asset_selection,
        asset_check_selection=run.asset_check_selection,
    )


def _reaped(child: int) -> int | None:
    """How a child ended; None while it lives."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None
