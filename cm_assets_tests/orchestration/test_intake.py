"""What the intake does when the engine ends: nothing is launched, and what is done is closed."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from cm_assets.lifecycle.worklog import PARTITION_TAG, WorkLog
from cm_assets.orchestration.intake import Intake
from cm_assets.orchestration.launching import Launcher, LaunchFailed
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
