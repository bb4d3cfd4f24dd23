"""What expires goes, whole and once, whoever is killed meanwhile; what must stay, stays; a tombstone is respected."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cm_assets.client import Client, NotToBeReviewed
from cm_assets.definitions import build_defs
from cm_assets.lifecycle.documents import RequestError
from cm_assets.lifecycle.projection import Projection
from cm_assets.lifecycle.retirement import NotToBeRetired
from cm_assets.lifecycle.worklog import PARTITION_TAG, WorkLog
from cm_assets.orchestration import forgetting, retention
from cm_assets.orchestration.retention import Retention, Retirement
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets_tests.conftest import SHORT

VARIABLES = ("DAGSTER_HOME", "CM_HOME", "DAGSTER_DISABLE_TELEMETRY")


class Place:
    """A home with its records, without an engine."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(home=folder, **settings)
        self.client = Client(self.settings)
        self.database = self.client.database
        self.instance = dg.DagsterInstance.from_config(str(folder))
        self.worklog = WorkLog(self.instance)
        self.store = ArtifactStore(self.settings.artifacts, self.settings.cache)
        self.retirement = Retirement(self.database, self.worklog, self.store)
        self.projection = Projection(self.database, self.worklog, self.store)

    def execute(self, job: str, video: str, *stages: str, fails: bool = False) -> list[str]:
        """Run a job in this process; what its failures say."""
        self.instance.add_dynamic_partitions(PARTITIONS, [video])
        done = (
            build_defs(self.settings)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=video,
                asset_selection=[dg.AssetKey(stage.split("/")) for stage in stages] or None,
                raise_on_error=False,
            )
        )
        assert done.success is not fails
        failures = [event.step_failure_data.user_failure_data for event in done.all_events if event.is_step_failure]
        return [str(failure.description) for failure in failures if failure is not None]

    def make(self, video: str) -> None:
        """Make and post a video that asks for a review."""
        self.client.submit(SHORT | {"id": video, "review": "required"}, source="test", key=video)
        self.execute("produce_video", video)
        self.approve(video)
        self.execute("publish_video", video)
        self.projection.note(video)

    def approve(self, video: str) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization("review", partition=video))

    def rows(self, query: str, *values: str, base: str = "runs/index.db") -> int:
        with sqlite3.connect(self.settings.home / "dagster" / "history" / base) as connection:
            return int(connection.execute(f"select count(*) from {query}", values).fetchone()[0])

    def traces(self, video: str, runs: list[str]) -> dict[str, int]:
        """What is left of a video, wherever something could be."""
        names = {path.stem for path in (self.settings.home / "dagster" / "history" / "runs").iterdir()}
        holes = ", ".join("?" for _ in runs)
        return {
            "files": len(list((self.settings.home / "artifacts" / video).rglob("*"))),
            "runs": len(self.instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: video}))),
            "run tags": self.rows(f"run_tags where run_id in ({holes})", *runs, base="runs.db"),
            "run logs": len(names & set(runs)),
            "events of runs": self.rows(f"event_logs where run_id in ({holes})", *runs),
            "events": self.rows("event_logs where partition = ?", video),
            "event tags": self.rows("asset_event_tags where event_id not in (select id from event_logs)"),
            "checks": self.rows(f"asset_check_executions where run_id in ({holes})", *runs),
            "keys": int(self.instance.has_dynamic_partition(PARTITIONS, video)),
            "facts": len(self.database.noted([video])),
        }

    def runs(self, video: str) -> list[str]:
        return [run.run_id for run in self.instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: video}))]

    def schedule(self, **days: float | None) -> Retention:
        all_days: dict[str, Any] = {"keep_intermediates_days": None, "keep_days": None} | days
        return Retention(self.database, self.retirement, **all_days)

    def age(self, video: str, days: float) -> None:
        """Have it been closed so long ago."""
        moment = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)
        with sqlite3.connect(self.settings.home / "cm.sqlite") as connection:
            connection.execute("update requests set closed_at = ? where id = ?", (str(moment), video))

    def files(self, video: str) -> set[str]:
        root = self.settings.home / "artifacts" / video
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a video that is posted, and a neighbour of which something is made later."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    place = Place(tmp_path_factory.mktemp("made") / "home")
    place.make("robot")
    place.client.submit(SHORT | {"id": "neighbour", "seed": 2}, source="test", key="neighbour")
    place.execute("produce_video", "neighbour", "brief")
    place.projection.note("neighbour")
    place.instance.dispose()
    place.database.dispose()
    yield place.settings.home
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def place(home: Path) -> Iterator[Place]:
    one = Place(home)
    yield one
    one.instance.dispose()
    one.database.dispose()


def is_gone(place: Place, runs: list[str]) -> None:
    left = place.traces("robot", runs)
    assert left == dict.fromkeys(left, 0)
    status = place.client.status("robot")
    assert status.state == "retired"
    assert status.ended
    assert status.title == "Hello from a small robot"
    assert set(status.links) == {"outbox"}
    assert status.links["outbox"].endswith("#robot")
    assert len(list((place.settings.home / "outbox" / "robot").glob("*.mp4"))) == 1
    # Nobody else lost anything.
    assert place.files("neighbour")
    assert place.runs("neighbour")
    assert place.worklog.made("neighbour", "brief") is not None
    assert place.client.status("neighbour").state == "queued"


def test_only_a_tombstone_and_the_post_stay(place: Place) -> None:
    place.database.close("robot", "done")
    runs = place.runs("robot")
    there = place.traces("robot", runs)
    assert len(runs) == 2
    assert all(count for name, count in there.items() if name != "event tags"), there
    assert place.client.retire("robot")
    is_gone(place, runs)
    stored = place.database.get("robot")
    assert stored is not None
    assert set(stored.document) == {"id", "title", "links"}
    assert stored.content_sha256
    assert [status.id for status in place.client.videos(states=["retired"])] == ["robot"]
    # Again is as good as once, and nothing that is found anew says otherwise.
    assert place.client.retire("robot")
    assert place.client.reindex(lambda _: None) == 2
    is_gone(place, runs)


def _killing(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, when: str) -> None:
    real = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        raise Killed

    monkeypatch.setattr(owner, name, dying)


class Killed(BaseException):
    pass


STEPS: list[tuple[object, str]] = [
    (Database, "retire"),
    (ArtifactStore, "remove"),
    (retention, "forget_run"),
    (forgetting, "_forget_events"),
    (Path, "unlink"),
    (retention, "forget_reports"),
    (dg.DagsterInstance, "delete_dynamic_partition"),
    (Database, "note_kept"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_retirement_that_was_killed_anywhere_is_finished_by_the_schedule(
    home: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, when: str
) -> None:
    place = Place(home)
    place.database.close("robot", "done")
    runs = place.runs("robot")
    with monkeypatch.context() as patch:
        _killing(patch, owner, name, when)
        with pytest.raises(Killed):
            place.client.retire("robot")
    begun = place.client.status("robot").state == "retired"
    assert begun is ((name, when) != ("retire", "before"))
    # Another process goes on: the next engine, or the next call where nothing had begun.
    place = Place(home)
    place.schedule().tick()
    if not begun:
        assert len(place.files("robot")) > 10
        place.client.retire("robot")
    is_gone(place, runs)


def test_what_is_half_removed_is_removed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.database.close("robot", "done")
    runs = place.runs("robot")
    count = 0
    real = os.unlink

    def dying(*arguments: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        if count > 5:
            raise Killed
        real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", dying)
        with pytest.raises(Killed):
            place.client.retire("robot")
    assert place.files("robot")
    assert place.client.retire("robot")
    is_gone(place, runs)


def test_an_open_video_stays(place: Place) -> None:
    for video in ("robot", "neighbour"):
        with pytest.raises(NotToBeRetired, match=f"cm cancel {video}"):
            place.client.retire(video)
    place.age("robot", 99)
    assert not place.schedule(keep_days=1).tick()
    assert len(place.runs("robot")) == 2


def test_a_video_with_a_run_in_flight_stays(place: Place) -> None:
    place.database.close("robot", "done")
    place.age("robot", 99)
    run = place.instance.create_run_for_job(
        build_defs(place.settings).resolve_job_def("produce_video"), tags={PARTITION_TAG: "robot"}
    )
    with pytest.raises(NotToBeRetired, match="in flight"):
        place.client.retire("robot")
    assert not place.schedule(keep_days=1, keep_intermediates_days=1).tick()
    assert any(name.endswith(".flac") for name in place.files("robot"))
    place.instance.report_run_failed(run)
    assert place.schedule(keep_days=1).tick()
    assert place.client.status("robot").state == "retired"


def test_a_run_that_begins_just_then_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.database.close("robot", "done")
    job = build_defs(place.settings).resolve_job_def("produce_video")
    real, begun = Database.retire, []

    def retire(*arguments: Any) -> bool:
        begun.append(place.instance.create_run_for_job(job, tags={PARTITION_TAG: "robot"}))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "retire", retire)
        assert not place.client.retire("robot")
    assert place.client.status("robot").state == "retired"
    assert len(place.files("robot")) > 10
    assert not place.schedule().tick()
    place.instance.report_run_failed(begun[0])
    place.execute("produce_video", "neighbour", "brief")  # the newest event of all stays
    runs = place.runs("robot")
    assert place.schedule().tick()
    is_gone(place, runs)


def test_what_is_approved_and_not_posted_stays(place: Place) -> None:
    place.execute("produce_video", "robot", "render")
    place.approve("robot")
    place.database.close("robot", "failed", "the outbox was away")
    place.age("robot", 99)
    with pytest.raises(NotToBeRetired, match="cm retry robot posts it"):
        place.client.retire("robot")
    assert not place.schedule(keep_days=1).tick()
    place.execute("publish_video", "robot")
    assert place.client.retire("robot")


def test_a_tombstone_is_respected_by_every_way_in(place: Place) -> None:
    place.database.close("robot", "cancelled")
    assert place.client.retire("robot")
    request = SHORT | {"id": "robot", "review": "required"}
    with pytest.raises(RequestError, match=r"id: video robot is retired.*choose another id"):
        place.client.submit(request, source="test", key="robot")
    with pytest.raises(RequestError, match="choose another id"):
        place.client.submit(request, source="test", new=True)
    with pytest.raises(RequestError, match=r"request: video robot.*--new makes another"):
        place.client.submit(SHORT | {"review": "required"}, source="test", key="robot")
    assert not place.client.retry("robot")
    assert not place.client.cancel("robot")
    assert not place.database.want("robot")
    with pytest.raises(NotToBeReviewed, match="robot is retired"):
        place.client.approve("robot")
    assert place.client.status("robot").state == "retired"


def test_a_key_that_is_added_again_can_neither_be_made_nor_posted(place: Place) -> None:
    place.database.close("robot", "done")
    place.client.retire("robot")
    shutil.rmtree(place.settings.home / "outbox" / "robot")
    assert place.execute("produce_video", "robot", fails=True) == [
        "robot is retired, and its id is never used again: choose another id"
    ]
    place.approve("robot")
    assert place.execute("publish_video", "robot", fails=True)
    assert not (place.settings.home / "outbox" / "robot").exists()
    assert place.files("robot") == set()
    assert place.client.status("robot").state == "retired"


@pytest.mark.parametrize(
    ("job", "stage"),
    [("publish_video", "published_post/outbox")]
    + [("produce_video", stage) for stage in ("brief", "script", "audio", "background_clips", "render")],
)
def test_no_stage_works_on_a_video_whose_retirement_has_begun(
    place: Place, monkeypatch: pytest.MonkeyPatch, job: str, stage: str
) -> None:
    place.database.close("robot", "done")
    with monkeypatch.context() as patch:
        _killing(patch, ArtifactStore, "remove", "before")
        with pytest.raises(Killed):
            place.client.retire("robot")
    (said,) = place.execute(job, "robot", stage, fails=True)
    assert said.startswith("robot is retired")


def test_intermediates_go_and_nothing_is_made_again(place: Place) -> None:
    place.projection.note("robot")
    place.database.close("robot", "done")
    before, status = place.files("robot"), place.client.status("robot")
    schedule = place.schedule(keep_intermediates_days=7)
    assert not schedule.tick()
    place.age("robot", 8)
    assert not schedule.tick()  # it has just looked
    assert place.schedule(keep_intermediates_days=7).tick()
    gone = before - place.files("robot")
    assert gone
    assert {Path(name).parts[0] for name in gone} == {"audio", "background_clips"}
    assert not any(name.endswith(".json") for name in gone)
    assert {Path(name).suffix for name in place.files("robot")} == {".json", ".mp4", ".jpg", ".srt", ".vtt"}
    assert not place.schedule(keep_intermediates_days=7).tick()

    place.projection.note("robot")
    assert place.client.status("robot") == status
    assert place.client.submit(SHORT | {"id": "robot", "review": "required"}, source="test", key="robot").repeated
    assert place.client.status("robot") == status
    # The post can be made again: the models that it is made from are there.
    shutil.rmtree(place.settings.home / "outbox" / "robot")
    place.execute("publish_video", "robot")
    assert len(list((place.settings.home / "outbox" / "robot").glob("*.mp4"))) == 1
    (said,) = place.execute("produce_video", "robot", "render", fails=True)
    assert "materialize its asset again" in said


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name"), [(ArtifactStore, "remove_media"), (Database, "note_size"), (Database, "note_kept")]
)
def test_intermediates_go_although_somebody_is_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, when: str
) -> None:
    place.database.close("robot", "done")
    with monkeypatch.context() as patch:
        _killing(patch, owner, name, when)
        with pytest.raises(Killed):
            place.schedule(keep_intermediates_days=0).tick()
    place.schedule(keep_intermediates_days=0).tick()
    stored = place.database.get("robot")
    assert stored is not None
    assert stored.kept == "results"
    assert not any(name.endswith(".flac") for name in place.files("robot"))


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "rejected"])
def test_intermediates_of_what_is_not_published_stay_for_a_retry(place: Place, outcome: str) -> None:
    place.database.close("robot", outcome)
    before = place.files("robot")
    assert not place.schedule(keep_intermediates_days=0).tick()
    assert place.files("robot") == before


def test_unset_keeps_for_ever(place: Place) -> None:
    place.database.close("robot", "done")
    place.age("robot", 36000)
    before = place.files("robot")
    schedule = place.schedule()
    assert not schedule.tick()
    assert place.files("robot") == before
    assert place.client.status("robot").state == "published"


def test_one_that_cannot_go_holds_up_no_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.database.close("robot", "done")
    place.database.close("neighbour", "failed", "no")
    place.age("robot", 9)
    place.age("neighbour", 8)
    real = ArtifactStore.remove

    def remove(store: ArtifactStore, video: str) -> None:
        if video == "robot":
            raise PermissionError("not yours")
        real(store, video)

    schedule = place.schedule(keep_days=7)
    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "remove", remove)
        assert not schedule.tick()
        assert schedule.tick()
    assert place.client.status("neighbour").state == "retired"
    assert place.files("robot")
    assert place.schedule().tick()
    assert place.files("robot") == set()


def test_ids_of_events_are_not_given_again(place: Place) -> None:
    """A reader with a cursor, such as the projection, must not miss what comes after a retirement."""
    place.database.close("neighbour", "cancelled")
    place.projection.advance({})
    place.client.retire("neighbour")  # it has the newest events of all
    before = place.worklog.newest_event()
    place.database.close("robot", "done")
    place.execute("publish_video", "robot")
    place.database.note("robot", {})
    place.projection.advance({})
    assert place.worklog.newest_event() > before
    assert place.database.noted(["robot"])["robot"]["made"]
    # Whoever deletes runs in Dagster's UI takes no such care.
    for run in place.runs("robot"):
        place.instance.delete_run(run)
    place.projection.advance({})
    place.approve("robot")
    place.database.note("robot", {"title": "old"})
    place.projection.advance({})
    assert place.database.noted(["robot"])["robot"]["title"] == ""


def test_a_render_that_somebody_removed_does_not_stop_the_others(place: Place) -> None:
    shutil.rmtree(place.settings.home / "artifacts" / "robot")
    place.projection.note("robot")
    assert "video" not in place.client.status("robot").links
    place.database.close("robot", "done")
    assert place.client.retire("robot")
