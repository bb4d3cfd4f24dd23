"""A run that waits takes no core, and takes the place that it waits for soon."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.plan.active import ActiveExecution

from cm_assets.definitions import build_defs
from cm_assets.orchestration.executor import forked_executor
from cm_assets.orchestration.patience import IDLE
from cm_assets.orchestration.pools import CLAIM_AGAIN
from cm_assets.orchestration.sqlite import EventLog, storage
from cm_assets.settings import Settings

WAIT = 1.5
"""Seconds that a run waits in these tests."""


@pytest.fixture(autouse=True)
def patient(tmp_path: Path) -> None:
    """As in every process that has the definitions, however often they are built."""
    for _ in range(2):
        build_defs(Settings(home=tmp_path / "home"))


@contextmanager
def instance_in(folder: Path) -> Iterator[dg.DagsterInstance]:
    settings = {"storage": storage(folder), "concurrency": {"pools": {"granularity": "op", "default_limit": 1}}}
    with dg.DagsterInstance.local_temp(str(folder), settings) as instance:
        yield instance


def looks_during(work: object, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the executor asked whether a step may begin."""
    looks: list[float] = []
    asked = ActiveExecution.get_steps_to_execute

    def counted(self: ActiveExecution, limit: int | None = None) -> object:
        looks.append(time.monotonic())
        return asked(self, limit)

    monkeypatch.setattr(ActiveExecution, "get_steps_to_execute", counted)
    assert callable(work)
    work()
    return looks


@dg.op
def stubborn(context: dg.OpExecutionContext) -> None:
    if context.retry_number == 0:
        raise dg.RetryRequested(max_retries=1, seconds_to_wait=WAIT)


@dg.job(executor_def=forked_executor)
def stubborn_job() -> None:
    stubborn()


def test_a_run_that_waits_for_a_retry_does_not_spin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance_in(tmp_path) as instance:

        def run() -> None:
            assert dg.execute_job(dg.reconstructable(stubborn_job), instance=instance).success

        looks = looks_during(run, monkeypatch)
    waited = [look for look in looks if look > looks[0] + WAIT / 4]
    assert len(waited) < 2 * WAIT / IDLE + 200  # a step that is at work is looked at every 20 ms


def test_a_run_that_waits_for_a_place_does_not_spin_and_takes_it_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []

    @dg.op(pool="render")
    def work(_: dg.OpExecutionContext) -> None:
        began.append(time.monotonic())

    @dg.job
    def job() -> None:
        work()

    with instance_in(tmp_path) as instance:
        events = instance.event_log_storage
        events.set_concurrency_slots("render", 1)
        assert events.claim_concurrency_slot("render", "another-run", "render").is_claimed
        blocked = events.claim_concurrency_slot("render", "a-third-run", "render")
        assert not blocked.is_claimed
        assert blocked.sleep_interval == CLAIM_AGAIN
        events.free_concurrency_slots_for_run("a-third-run")
        freed: list[float] = []

        def free() -> None:
            freed.append(time.monotonic())
            events.free_concurrency_slots_for_run("another-run")

        timer = threading.Timer(WAIT, free)
        timer.start()
        looks = looks_during(lambda: job.execute_in_process(instance=instance), monkeypatch)
        timer.join()
    assert began[0] > freed[0]
    # Counted, not timed: after the place was free it asked the pool once or twice before it had it.
    assert len([look for look in looks if freed[0] < look < began[0]]) < 3 * CLAIM_AGAIN / IDLE + 20
    assert len(looks) < 2 * WAIT / IDLE + 60


def test_a_place_that_was_given_back_unseen_is_found(tmp_path: Path) -> None:
    """Another run frees its place after a run has read that there is none, and before it has put itself down."""
    with instance_in(tmp_path) as instance:
        events = instance.event_log_storage
        assert isinstance(events, EventLog)
        events.set_concurrency_slots("render", 1)
        events.add_pending_step("render", "late", "render", should_assign=False)
        assert events.claim_concurrency_slot("render", "late", "render").is_claimed
