"""The sensor where no engine runs: what it launches, and when it keeps out of the way."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from cm_assets.lifecycle.projection import CURSOR
from cm_assets.lifecycle.worklog import ATTEMPT_TAG, VIDEO_TAG
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.backstop import Backstop
from cm_assets.policies import STAGES
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets_tests.conftest import until
from cm_assets_tests.storage.test_database import ROW


class Watched:
    """A home with a request in it, and the sensor that looks at it."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.settings = Settings(home=folder / "home")
        self.database = Database(self.settings.database)
        self.database.add(ROW)
        self.instance = instance
        self.sensor = Backstop(self.settings)

    def look(self) -> dg.SensorResult | dg.SkipReason:
        return self.sensor.look(dg.build_sensor_context(self.instance))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield Watched(tmp_path, instance)


def test_what_is_wanted_is_launched_once(watched: Watched) -> None:
    found = watched.look()
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or ()
    assert (request.job_name, request.partition_key, request.run_key) == ("produce_video", "a", "a:1")
    assert (request.tags[VIDEO_TAG], request.tags[ATTEMPT_TAG]) == ("a", "1")
    assert homes.somebody_works(watched.settings, watched.database)
    assert isinstance(watched.look(), dg.SkipReason)


def test_it_does_nothing_where_an_engine_does(watched: Watched) -> None:
    lock = homes.engine_lock(watched.settings)
    assert lock.take()
    assert isinstance(watched.look(), dg.SkipReason)
    lock.release()
    assert isinstance(watched.look(), dg.SensorResult)


def test_it_leaves_the_videos_of_another_dagster_alone(watched: Watched) -> None:
    watched.database.move_cursor(f"{CURSOR}another", 7)
    found = watched.look()
    assert isinstance(found, dg.SkipReason)
    assert "another Dagster instance" in (found.skip_message or "")
    stored = watched.database.get("a")
    assert stored is not None
    assert stored.attempt == 0


def test_pools_get_the_limits_of_the_table_and_keep_those_that_people_set(watched: Watched) -> None:
    storage = watched.instance.event_log_storage
    storage.set_concurrency_slots("render", 3)
    watched.look()
    found = {limit.name: limit.limit for limit in storage.get_pool_limits()}
    assert found == {policy.pool: policy.pool_limit for policy in STAGES.values() if policy.pool} | {"render": 3}


def test_what_is_cancelled_is_told_to_end_between_two_looks(watched: Watched) -> None:
    started = dg.DagsterRun("produce_video", status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "a"})
    run = watched.instance.add_run(started)
    watched.look()
    watched.database.close("a", "cancelled", "on request")

    def told() -> bool:
        now = watched.instance.get_run_by_id(run.run_id)
        return now is not None and now.status == dg.DagsterRunStatus.CANCELING

    assert until(told, 60)
