"""A step is executed once, for as long as its run wants it, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.events import StepMaterializationData

from cm_assets.lifecycle.worklog import ATTEMPT_TAG, PARTITION_TAG, WorkLog
from cm_assets.orchestration import home as homes
from cm_assets.orchestration import step_guard
from cm_assets.orchestration.step_ends import attempts, begins
from cm_assets.orchestration.workers import returned
from cm_assets.settings import Settings
from cm_assets.storage.database import Database, StoredRequest
from cm_assets.storage.holds import hold_of
from cm_assets_tests.conftest import until
from cm_assets_tests.orchestration import queued_jobs
from cm_assets_tests.orchestration.queued_jobs import said
from cm_assets_tests.postgres import new_database

pytestmark = pytest.mark.celery

HANDED_BACK = 7


@pytest.fixture
def instance(tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance on Postgres, in a home to which this process and its forks belong."""
    for name in ("CM_HOME", "DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY", homes.POSTGRES):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("CM_DATABASE_URL", new_database(postgres))
    settings = Settings(home=tmp_path / "home")
    homes.prepare(settings)
    with homes.open_instance(settings) as opened:
        yield opened


def run_of(instance: dg.DagsterInstance, job: dg.JobDefinition, **tags: str) -> str:
    """A run that has started, whose worker is elsewhere."""
    origin = dg.reconstructable(getattr(queued_jobs, job.name)).get_python_origin()
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, job_code_origin=origin, tags=tags)
    return str(run.run_id)


def guarded(run_id: str, step: str, meanwhile: Callable[[], object] = lambda: None) -> int:
    """A process that guards a step; `meanwhile` happens between its worker's start and the step's."""
    pid = os.fork()
    if pid:
        return pid

    def work() -> None:
        step_guard._opened.cache_clear()
        step_guard.open_records()
        meanwhile()
        try:
            step_guard.execute(run_id, step, "")
        except step_guard.HandBack:
            raise SystemExit(HANDED_BACK) from None

    os._exit(returned(work))


def ended(pid: int, seconds: float = 60) -> int:
    """How a guard ended."""
    found: list[int] = []

    def done() -> bool:
        who, status = os.waitpid(pid, os.WNOHANG)
        found.extend([os.waitstatus_to_exitcode(status)] if who else [])
        return bool(found)

    assert until(done, seconds), "it goes on"
    return found[0]


def child() -> int:
    """The pid of what a step has started, once it has."""
    word = until(lambda: next((word for word in said() if word.startswith("child=")), None), 60)
    assert word
    return int(str(word).partition("=")[2])


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> int:
    return len(instance.all_logs(run_id, of_type=kind))


def test_a_step_is_executed_and_not_a_second_time(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_slow)
    assert ended(guarded(run_id, "slow")) == 0
    assert ended(guarded(run_id, "slow")) == 0
    assert said() == ["began", "ended"]
    assert events(instance, run_id, dg.DagsterEventType.STEP_SUCCESS) == 1


def test_a_worker_keeps_to_the_records_with_which_it_began(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that was not told of the database writes another `dagster.yaml` into the home."""
    run_id = run_of(instance, queued_jobs.one_slow)
    before = (tmp_path / "home" / "dagster.yaml").read_text()

    def ignorant() -> None:
        with monkeypatch.context() as patch:
            for name in ("CM_DATABASE_URL", homes.POSTGRES):
                patch.delenv(name)
            homes.prepare(Settings(home=tmp_path / "home"))

    assert ended(guarded(run_id, "slow", ignorant)) == 0
    assert (tmp_path / "home" / "dagster.yaml").read_text() != before
    assert events(instance, run_id, dg.DagsterEventType.STEP_SUCCESS) == 1


def test_what_was_made_when_its_worker_died_is_not_made_again_by_this_run(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_slow, **{PARTITION_TAG: "sea"})
    run = instance.get_run_by_id(run_id)
    assert run is not None
    begins(instance, run, "slow", "elsewhere")
    made = StepMaterializationData(dg.AssetMaterialization("slow", partition="sea"))
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    instance.report_dagster_event(dg.DagsterEvent(kind.value, run.job_name, event_specific_data=made), run_id)
    assert ended(guarded(run_id, "slow")) == 0
    assert said() == []
    (failure,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert "it was made when its worker died" in str(failure.dagster_event)
    assert WorkLog(instance).failures(run) == []  # so the run counts as lost, and the next one goes on behind it


def test_two_who_get_the_same_step_execute_it_once(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_slow)
    both = [guarded(run_id, "slow"), guarded(run_id, "slow")]
    assert [ended(one) for one in both] == [0, 0]
    assert said() == ["began", "ended"]


def test_a_step_of_a_run_that_is_over_is_not_begun(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_long)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run, "Its worker was lost.")
    assert ended(guarded(run_id, "long")) == 0
    assert said() == []


def cancel(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)


def bury(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_run_failed(run, "Its worker was lost.")


@pytest.mark.parametrize("end", [cancel, bury])
def test_a_run_that_ends_takes_its_step_along(
    instance: dg.DagsterInstance, end: Callable[[dg.DagsterInstance, dg.DagsterRun], None]
) -> None:
    run_id = run_of(instance, queued_jobs.one_long)
    guard, started = guarded(run_id, "long"), child()
    run = instance.get_run_by_id(run_id)
    assert run is not None
    end(instance, run)
    begun = time.monotonic()
    assert until(lambda: not alive(started), 5, 0.05)
    assert ended(guard) == 0
    assert time.monotonic() - begun < 5 + 5
    assert "ended" not in said()
    assert events(instance, run_id, dg.DagsterEventType.STEP_SUCCESS) == 0


def test_a_newer_attempt_of_the_video_ends_an_older_one_s_step(instance: dg.DagsterInstance) -> None:
    now, database = datetime.now(UTC), Database(Settings().database)
    request = StoredRequest(
        *("sea", "test", "sea", {}, "0", 10, now),
        wanted=True,
        wanted_at=now,
        outcome="",
        reason="",
        lost_runs=0,
        attempt=1,
    )
    database.add(request)
    run_id = run_of(instance, queued_jobs.one_long, **{PARTITION_TAG: "sea", ATTEMPT_TAG: "1"})
    guard, started = guarded(run_id, "long"), child()
    assert database.claim(request, now, now + timedelta(seconds=30), lost=True) == 2
    assert until(lambda: not alive(started), 5, 0.05)
    assert ended(guard) == 0
    assert events(instance, run_id, dg.DagsterEventType.STEP_SUCCESS) == 0


def test_a_step_dies_with_its_guard_and_another_guard_takes_over(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_long)
    guard, _ = guarded(run_id, "long"), child()
    step = psutil.Process(guard).children()[0]
    os.kill(guard, signal.SIGKILL)
    assert ended(guard) == -signal.SIGKILL
    assert until(lambda: not alive(step.pid), 5)
    assert ended(guarded(run_id, "long")) == 0
    assert said().count("began") == 2
    assert said()[-1] == "again"
    assert events(instance, run_id, dg.DagsterEventType.STEP_SUCCESS) == 1
    os.kill(int(next(word for word in said() if word.startswith("child=")).partition("=")[2]), signal.SIGKILL)


def test_a_guard_that_is_stopped_hands_its_step_back_and_leaves_nothing(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_long)
    guard, started = guarded(run_id, "long"), child()
    os.kill(guard, signal.SIGTERM)
    assert ended(guard) == HANDED_BACK
    assert not alive(started)


def test_a_step_that_kills_its_workers_ends_its_run_as_a_lost_one(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_deadly)
    assert [ended(guarded(run_id, "deadly")) for _ in range(step_guard.MOST_BEGUN + 1)] == [
        *[HANDED_BACK] * step_guard.MOST_BEGUN,
        0,
    ]
    assert said() == ["began"] * step_guard.MOST_BEGUN
    found = attempts(instance, run_id, "deadly")
    assert found.done
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert WorkLog(instance).failures(run) == []  # no failure of the stage's own: another run goes on


def test_a_step_s_time_limit_comes_in_its_main_thread(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_late)
    assert ended(guarded(run_id, "late")) == 0
    assert said() == ["limited"]


def test_no_event_of_a_step_elsewhere_names_a_pid(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance, queued_jobs.one_late)
    assert ended(guarded(run_id, "late")) == 0
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert WorkLog(instance).worker_pids(run) == []
    before = attempts(instance, run_id, "late")
    begins(instance, run, "late", "elsewhere")
    assert attempts(instance, run_id, "late").begun == before.begun + 1


def test_a_hold_is_one_s_alone_and_free_when_its_holder_dies(postgres: str) -> None:
    url = new_database(postgres).replace("postgresql:", "postgresql+psycopg:")
    program = f"""
import time
from cm_assets.storage.holds import hold_of
hold = hold_of({url!r}, "r", "s")
print(hold.take(), flush=True)
time.sleep(60)
"""
    with (
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other,
        hold_of(url, "r", "s") as mine,
        hold_of(url, "r", "another") as another,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        assert not mine.take()
        assert another.take()
        other.kill()
        assert until(mine.take, 10)
        assert mine.keep()
        assert hold_of(url, "r", "s").held_by_somebody()
