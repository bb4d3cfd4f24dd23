"""Two who go the rounds at once, one of whom dies or is held up at any line: each request is launched exactly once."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import dagster as dg
import pytest

import cm_assets
from cm_assets.lifecycle.worklog import ATTEMPT_TAG, VIDEO_TAG
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.backstop import Collected
from cm_assets.orchestration.daemon import answers
from cm_assets.orchestration.intake import CLAIM
from cm_assets.orchestration.launching import Launcher
from cm_assets.orchestration.processes import start, stop
from cm_assets.orchestration.rounds import Rounds
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets_tests.conftest import SHORT, until

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("house"), pytest.mark.timeout(900)]

WATCHED = {
    str(Path(cm_assets.__file__).parent / name)
    for name in ("orchestration/intake.py", "orchestration/inbox.py", "orchestration/rounds.py", "lifecycle/intake.py")
}


class Killed(BaseException):
    """What happens to a process, as near as one test process can come to it."""


class House:
    """A home with a code server and no daemon: what is launched stays in the queue."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, launcher: Launcher) -> None:
        self.settings = settings
        self.instance = instance
        self.launcher = launcher
        self.database = Database(settings.database)
        self.collected = Collected()
        self.count = 0
        self.engine = self._rounds(launcher)
        self.sensor = self._rounds(self.collected)

    def _rounds(self, launcher: Launcher | Collected) -> Rounds:
        return Rounds(self.settings, self.database, self.instance, launcher, home=None)

    def drop(self) -> str:
        self.count += 1
        video = f"v{self.count:04}"
        path = self.settings.inbox / f"{video}.json"
        path.write_text(json.dumps(SHORT | {"id": video}))
        bad = self.settings.inbox / f"{video}-bad.json"
        bad.write_text("{}")
        for one in (path, bad):
            os.utime(one, (1, 1))
        return video

    def look(self, rounds: Rounds, later: timedelta = timedelta()) -> None:
        rounds._inbox._looked = rounds._noted = 0.0  # each look goes all the way
        rounds.go(datetime.now(UTC) + later)

    def sensor_looks(self, later: timedelta = timedelta()) -> None:
        """The sensor's look, and what the daemon does after it."""
        self.look(self.sensor, later)
        for request in self.collected.taken():
            assert request.job_name is not None
            assert request.partition_key is not None
            stages = [key.to_user_string() for key in request.asset_selection or ()]
            tags = {name: value for name, value in request.tags.items() if name != VIDEO_TAG}
            self.launcher.launch(request.job_name, stages, request.partition_key, tags, request.run_config)

    def runs(self, video: str) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs(dg.RunsFilter(tags={VIDEO_TAG: video})))

    def may_work(self, video: str) -> list[dg.DagsterRun]:
        """The runs whose stages would do their work."""
        stored = self.database.get(video)
        assert stored is not None
        return [run for run in self.runs(video) if run.tags[ATTEMPT_TAG] == str(stored.attempt)]

    def clear(self, video: str) -> None:
        assert not list(self.settings.inbox.glob("*.json"))
        assert (self.settings.inbox / "accepted" / f"{video}.json").exists()
        rejected = {path.name for path in (self.settings.inbox / "rejected").iterdir()}
        assert rejected == {f"{video}-bad.json", f"{video}-bad.json.error.txt"}
        for name in rejected:
            (self.settings.inbox / "rejected" / name).unlink()
        self.database.close(video, "cancelled")
        for run in self.runs(video):
            self.instance.delete_run(run.run_id)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DAGSTER_HOME", "CM_HOME", "DAGSTER_DISABLE_TELEMETRY"):
            patch.setenv(name, "")
        patch.setenv("CM_HOME", str(folder))
        settings = Settings(home=folder)
        homes.prepare(settings)
        socket = folder / "s"
        # The instance first: two who make a new home's tables at once are in each other's way.
        with homes.open_instance(settings) as instance:
            server = start(
                ["-m", "dagster", "api", "grpc", "-m", "cm_assets.definitions", "-s", str(socket)],
                folder,
                folder / "log",
            )
            try:
                assert until(lambda: answers(socket), 60), (folder / "log").read_text()
                with Launcher(instance, socket) as launcher:
                    yield House(settings, instance, launcher)
            finally:
                stop(server, 5)


def interrupted(work: Callable[[], None], line: tuple[str, int], happens: Callable[[], None]) -> None:
    """Do some work, to which something happens just before a line is executed for the first time."""
    done = False

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal done
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line" and not done and (frame.f_code.co_filename, frame.f_lineno) == line:
            done = True
            happens()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    assert done, line


def lines_of(work: Callable[[], None]) -> list[tuple[str, int]]:
    """The lines of the watched files that some work executes, each once."""
    seen: dict[tuple[str, int], None] = {}

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            seen[frame.f_code.co_filename, frame.f_lineno] = None
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return list(seen)


@pytest.fixture(scope="module")
def lines(house: House) -> list[tuple[str, int]]:
    video = house.drop()
    found = lines_of(lambda: house.look(house.engine))
    assert len(house.runs(video)) == 1
    house.clear(video)
    assert len({name for name, _ in found}) == len(WATCHED)
    return found


def test_whoever_dies_at_any_line_leaves_one_launch_to_the_other(house: House, lines: list[tuple[str, int]]) -> None:
    def die() -> None:
        raise Killed

    for line in lines:
        video = house.drop()
        with pytest.raises(Killed):
            interrupted(lambda: house.look(house.engine), line, die)
        house.sensor_looks(CLAIM)
        assert len(house.runs(video)) == 1, line
        assert len(house.may_work(video)) == 1, line
        house.sensor_looks(2 * CLAIM)
        house.look(house.engine, 2 * CLAIM)
        assert len(house.runs(video)) == 1, line
        house.clear(video)


def test_two_at_once_launch_once_wherever_the_one_is_when_the_other_looks(
    house: House, lines: list[tuple[str, int]]
) -> None:
    for line in lines:
        video = house.drop()
        interrupted(lambda: house.look(house.engine), line, house.sensor_looks)
        assert len(house.runs(video)) == 1, line
        house.clear(video)


def test_who_was_taken_for_dead_and_comes_back_does_no_work(house: House, lines: list[tuple[str, int]]) -> None:
    for line in lines:
        video = house.drop()
        interrupted(lambda: house.look(house.engine), line, lambda: house.sensor_looks(CLAIM))
        house.sensor_looks(2 * CLAIM)
        assert 1 <= len(house.runs(video)) <= 2, line
        assert len(house.may_work(video)) == 1, line
        house.clear(video)


def test_a_run_that_never_came_into_the_queue_is_launched_again(house: House) -> None:
    video = house.drop()
    house.look(house.engine)
    (first,) = house.runs(video)
    house.instance.delete_run(first.run_id)
    # As whoever dies between creating a run and queueing it leaves it.
    house.instance.run_storage.add_run(first.with_status(dg.DagsterRunStatus.NOT_STARTED))
    house.look(house.engine)
    assert len(house.runs(video)) == 1
    house.look(house.engine, timedelta(seconds=61))
    house.look(house.engine, timedelta(seconds=61))
    assert sorted(run.status.value for run in house.runs(video)) == ["FAILURE", "QUEUED"]
    house.clear(video)
