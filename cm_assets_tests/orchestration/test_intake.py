"""What the intake does when the engine ends: nothing is launched, and what is done is closed."""

import dataclasses
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
import time_machine
from dagster._core.events import EngineEventData

from cm_assets.lifecycle.worklog import ATTEMPT_TAG, PARTITION_TAG, RESUME_AT, VIDEO_TAG, WorkLog
from cm_assets.orchestration.home import MARKER
from cm_assets.orchestration.intake import CANCEL_GRACE, Intake
from cm_assets.orchestration.launching import Launcher, LaunchFailed
from cm_assets.orchestration.step_ends import broker_is_away, crashed
from cm_assets.orchestration.workers import WORKER_TAG, Worker
from cm_assets.policies import PRODUCE
from cm_assets_tests.lifecycle.test_projection import MADE, Place, open_place
from cm_assets_tests.storage.test_events import types

NOBODY = cast(Launcher, None)
"""Launches nothing: whoever tries it fails."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as one:
        yield one


def intake(place: Place, folder: Path) -> Intake:
    worklog, projection = WorkLog(place.instance), place.projection()
    return Intake(place.database, worklog, projection, NOBODY, home=folder, capacity=3, most_lost_runs=5)


def in_flight(place: Place) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name="publish_video", tags={PARTITION_TAG: "v"}, status=dg.DagsterRunStatus.STARTED)
    return place.instance.add_run(run)


def post(place: Place) -> None:
    event = dg.AssetMaterialization(["published_post", "outbox"], partition="v", metadata={"post": "/outbox/v"})
    place.instance.report_runless_asset_event(event)


def test_a_video_whose_posts_are_there_is_closed_though_its_run_was_stopped(place: Place, tmp_path: Path) -> None:
    place.ask()
    place.make()
    run, one = in_flight(place), intake(place, tmp_path)
    one.tick()
    post(place)
    place.instance.report_run_canceled(run, "The engine was stopped.")
    one.settle()
    one.settle()
    stored = place.database.get("v")
    assert stored is not None
    assert stored.outcome == "done"
    told = types(place.database)
    assert told == ["queued", "started", *MADE, "rendered", "stage_completed", "published"]


def test_a_video_that_is_not_done_goes_on_with_the_next_engine(place: Place, tmp_path: Path) -> None:
    place.ask()
    place.make()
    run, one = in_flight(place), intake(place, tmp_path)
    one.tick()
    place.instance.report_run_canceled(run, "The engine was stopped.")
    one.settle()
    stored = place.database.get("v")
    assert stored is not None
    assert stored.wanted
    assert types(place.database)[-1] == "rendered"


class Refusing:
    """A Dagster that takes no run."""

    def launch(self, *_: object) -> str:
        raise LaunchFailed("the run config is wrong")


def test_a_launch_that_is_refused_fails_the_video_and_leaves_no_claim(place: Place, tmp_path: Path) -> None:
    place.ask()
    worklog, projection = WorkLog(place.instance), place.projection()
    Intake(place.database, worklog, projection, Refusing(), home=tmp_path, capacity=3, most_lost_runs=5).tick()
    stored = place.database.get("v")
    assert stored is not None
    assert (stored.outcome, stored.reason, stored.claimed_until) == ("failed", "the run config is wrong", None)


@pytest.mark.parametrize("here", [True, False])
def test_a_cancel_kills_the_processes_of_its_own_host_alone(place: Place, tmp_path: Path, *, here: bool) -> None:
    """A number that a worker elsewhere has may be the daemon's here."""
    with subprocess.Popen(["sleep", "60"], env={MARKER: str(tmp_path), "PATH": "/usr/bin:/bin"}) as process:
        mine = Worker.current()
        worker = mine if here else dataclasses.replace(mine, host="elsewhere/1")
        place.ask()
        run = in_flight(place)
        place.instance.add_run_tags(run.run_id, {WORKER_TAG: str(worker)})
        said = EngineEventData({"pid": dg.MetadataValue.text(str(process.pid))})
        place.instance.report_engine_event("Started process for run.", run, said)
        place.database.close("v", "cancelled", "")
        one = intake(place, tmp_path)
        one.tick()
        if not here:
            time.sleep(CANCEL_GRACE + 0.1)
            one.tick()
        lives = process.poll() is None
        process.kill()
    assert lives is not here
    ended = place.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED


class Noting:
    """A Dagster that takes every run, and does nothing with it."""

    def __init__(self) -> None:
        self.launched: list[list[str]] = []

    def launch(self, _job: str, stages: Sequence[str], *_: object) -> str:
        self.launched.append(list(stages))
        return "r"


BEGUN, RETRIED = dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_UP_FOR_RETRY


@pytest.mark.parametrize(
    ("happened", "outcome", "lost"),
    [
        # At work when its run was ended: it is not repeated.
        ([(BEGUN, 20)], "failed", 0),
        # Begun longer ago than a render may take, so by a worker that has vanished.
        ([(BEGUN, 89)], "", 1),
        ([(BEGUN, 89), (RETRIED, 88), (BEGUN, 60)], "", 1),
        # It waited for its turn, before its first attempt or its second.
        ([], "", 0),
        ([(BEGUN, 20), (RETRIED, 18)], "", 0),
    ],
)
def test_a_run_over_its_maximum_ends_what_was_at_work_and_nothing_else(
    place: Place, tmp_path: Path, happened: list[tuple[dg.DagsterEventType, int]], outcome: str, lost: int
) -> None:
    """Minutes before the run's end."""
    now = datetime.now(UTC)
    with time_machine.travel(now - timedelta(minutes=95)):
        place.ask()
    tags = {PARTITION_TAG: "v", VIDEO_TAG: "v", ATTEMPT_TAG: "0"}
    asked_for = frozenset(map(dg.AssetKey, PRODUCE))
    run = dg.DagsterRun(
        job_name="produce_video", tags=tags, status=dg.DagsterRunStatus.STARTED, asset_selection=asked_for
    )
    with time_machine.travel(now - timedelta(minutes=90)):
        place.instance.add_run(run)
    for kind, minutes in happened:
        with time_machine.travel(now - timedelta(minutes=minutes)):
            event = dg.DagsterEvent(kind.value, run.job_name, step_key="render")
            place.instance.report_dagster_event(event, run.run_id)
    place.instance.report_run_canceling(run)
    place.instance.report_run_failed(run, "Exceeded maximum runtime.")
    dagster = Noting()
    worklog, projection = WorkLog(place.instance), place.projection()
    Intake(place.database, worklog, projection, dagster, home=tmp_path, capacity=3, most_lost_runs=5).tick()
    stored = place.database.get("v")
    assert stored is not None
    assert (stored.outcome or "", stored.lost_runs) == (outcome, lost)
    assert len(dagster.launched) == (0 if outcome else 1)
    if outcome:
        assert stored.reason == "render: its run took longer than 90 minutes"


def test_what_a_step_says_after_its_run_was_given_up_counts_for_nothing(place: Place) -> None:
    run, worklog = in_flight(place), WorkLog(place.instance)
    crashed(place.instance, run, "script", "its workers died")
    broker_is_away(place.instance, run, "published_post__outbox", "away", {RESUME_AT: 4.0})
    before = worklog.failures(run)
    place.instance.report_run_failed(run, "Its worker was lost.")
    broker_is_away(place.instance, run, "published_post__youtube", "too late", {RESUME_AT: 4.0})
    assert [one.reason for one in before] == ["away"]
    assert worklog.failures(run) == before
