"""Facts and events of runs of a real instance: each told once, though whoever tells it is killed and comes again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cm_assets.assets.stage import Results
from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.projection import Projection
from cm_assets.lifecycle.worklog import WorkLog
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.render import Loudness, Render
from cm_assets.policies import PRODUCE
from cm_assets.storage import bucket, events
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database, StoredRequest
from cm_assets_tests.storage.test_events import types

FILE = ArtifactRef(key="v/render/0.mp4", sha256="a" * 64, size=7, media_type="video/mp4")
RENDER = Render(
    video=FILE,
    cover=FILE,
    srt=FILE,
    vtt=FILE,
    width=1080,
    height=1920,
    frames=90,
    loudness=Loudness(integrated=-14, true_peak=-1),
    caption_style="bold",
    encoder="none",
)
MADE = ["stage_completed"] * 5


@dg.job
def nothing() -> None:
    """A job whose runs are never executed."""


@dataclass
class Place:
    """A home's records, in which videos are made of nothing."""

    database: Database
    instance: dg.DagsterInstance
    store: ArtifactStore

    def projection(self) -> Projection:
        return Projection(self.database, WorkLog(self.instance), self.store)

    def ask(self, **request: Any) -> None:
        now = datetime.now(UTC)
        document = parse({"topic": "tides"} | request).canonical()
        self.database.add(StoredRequest("v", "file", "k", document, "0" * 64, 10, now, True, now, "", "", 0))

    def make(self, *, passes: bool = True) -> None:
        model = self.store.put_bytes("v", "render", RENDER.to_bytes(), ".json", "application/json").key
        videos = dg.DynamicPartitionsDefinition(name="videos")
        self.instance.add_dynamic_partitions("videos", ["v"])

        def stage(name: str) -> dg.AssetsDefinition:
            checks = [dg.AssetCheckSpec("looks", asset=name, blocking=True)] if name == "render" else []

            @dg.asset(name=name, partitions_def=videos, check_specs=checks, deps=list(PRODUCE[: PRODUCE.index(name)]))
            def made() -> Results:
                found = [dg.AssetCheckResult(passed=passes, check_name="looks")] if checks else []
                yield dg.MaterializeResult(metadata={"model": model, "sha256": "a" * 64}, check_results=found)

            return made

        assets = [stage(name) for name in PRODUCE]
        dg.materialize(assets, instance=self.instance, partition_key="v", raise_on_error=False)

    def decide(self, *, approved: bool) -> None:
        kind = dg.AssetMaterialization if approved else dg.AssetObservation
        metadata = {"render_sha256": "a" * 64, "by": "Ada", "feedback": "" if approved else "shorter"}
        self.instance.report_runless_asset_event(kind(asset_key="review", partition="v", metadata=metadata))


@contextmanager
def open_place(folder: Path) -> Iterator[Place]:
    database = Database(f"sqlite:///{folder / 'cm.sqlite'}")
    (folder / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        yield Place(database, instance, ArtifactStore(str(folder / "artifacts"), folder / "cache"))
    database.dispose()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as one:
        yield one


def test_a_video_is_told_from_its_start_to_its_approval(place: Place) -> None:
    place.ask(review="required")
    projection = place.projection()
    place.make()
    projection.advance({})
    assert types(place.database) == ["queued", "started", *MADE, "rendered", "awaiting_review"]
    place.decide(approved=True)
    projection.advance({})
    projection.advance({})
    projection.note("v")
    assert types(place.database)[-2:] == ["awaiting_review", "approved"]
    assert len(types(place.database)) == 10


def test_a_render_that_failed_its_check_is_not_said_to_be_one(place: Place) -> None:
    place.ask(review="required")
    projection = place.projection()
    place.make(passes=False)
    projection.advance({})
    assert types(place.database) == ["queued", "started", *MADE]
    place.make()
    projection.advance({})
    assert types(place.database)[-2:] == ["rendered", "awaiting_review"]


def test_a_rejection_that_is_answered_is_told_and_the_next_render_too(place: Place) -> None:
    place.ask(review="required")
    projection = place.projection()
    place.make()
    place.decide(approved=False)
    projection.advance({})
    assert types(place.database) == ["queued", "started", *MADE, "rendered", "rejected"]
    place.make()
    projection.advance({})
    # The same bytes again: the rejection counts for them, and nobody need look at them.
    assert types(place.database)[9:] == [*MADE, "rendered"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("where", "name"), [(events, "record"), (Database, "note"), (Database, "move_cursor")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_in_the_middle_and_comes_again_tells_everything_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, when: str
) -> None:
    place.ask(review="required")
    place.make()
    real = getattr(where, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(where, name, dying)
        with pytest.raises(Killed):
            place.projection().advance({})
    place.projection().advance({})
    assert types(place.database) == ["queued", "started", *MADE, "rendered", "awaiting_review"]


def test_reindexing_tells_nobody_what_is_history(place: Place) -> None:
    place.ask(review="required")
    place.make()
    place.projection().advance({})
    with place.database.writing() as connection:
        connection.exec_driver_sql("delete from facts")
        connection.exec_driver_sql("delete from events where type not in ('video.queued', 'video.started')")
    assert place.projection().rebuild(lambda _count: None) == 1
    assert types(place.database) == ["queued", "started"]
    # What has come since is new, whoever reads it first.
    place.decide(approved=True)
    place.projection().rebuild(lambda _count: None)
    place.projection().advance({})
    assert types(place.database) == ["queued", "started", "approved"]
    assert place.database.noted(["v"])["v"]["rendered"] > 0


def test_a_run_in_flight_is_followed_by_its_events_and_read_anew_when_it_is_over(place: Place) -> None:
    place.ask(review="required")
    projection = place.projection()

    def made() -> dict[str, int]:
        found: dict[str, int] = place.database.noted(["v"])["v"]["made"]
        return found

    def say(stage: str, **metadata: str) -> None:
        place.instance.report_runless_asset_event(dg.AssetMaterialization(stage, partition="v", metadata=metadata))

    say("brief")
    first, second = (place.instance.create_run_for_job(nothing, tags={"dagster/partition": "v"}) for _ in range(2))
    projection.advance({"v": first})
    assert list(made()) == ["brief"]
    for title in ("Tides", "Moons"):
        say("script", title=title)
        projection.advance({"v": first})
        assert list(made()) == ["brief", "script"]
        assert made() == {stage: one.storage_id for stage, one in WorkLog(place.instance).all_made("v").items()}
        assert place.database.noted(["v"])["v"]["title"] == title
    # No event is read that says so, and the next run begins with what is there.
    place.instance.wipe_assets([dg.AssetKey("script")])
    projection.advance({"v": second})
    assert list(made()) == ["brief"]
    say("script")
    projection.advance({"v": second})
    place.instance.wipe_assets([dg.AssetKey("script")])
    projection.advance({})
    assert list(made()) == ["brief"]
    assert list(projection.made("v")) == ["brief"]


def test_a_video_that_nobody_asked_for_here_is_told_to_nobody(place: Place) -> None:
    place.make()
    place.projection().advance({})
    assert types(place.database) == []
    assert place.database.noted(["v"])["v"]["runs"] == 1


def test_what_cannot_be_read_while_the_store_is_away_is_read_by_whoever_comes_next(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    place.ask(review="required")
    place.make()
    there, place.store = place.store, ArtifactStore("s3://bucket/x", tmp_path / "other")
    place.projection().advance({})
    assert "rendered" not in types(place.database)
    place.store = there
    place.projection().advance({})
    assert types(place.database) == ["queued", "started", *MADE, "rendered", "awaiting_review"]
