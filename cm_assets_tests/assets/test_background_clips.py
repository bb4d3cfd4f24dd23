"""The asset, in a real Dagster instance with both sites around it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cm_assets import policies
from cm_assets.assets.stage import Stages
from cm_assets.definitions import build_defs
from cm_assets.lifecycle.worklog import WorkLog
from cm_assets.models.clips import BackgroundClips
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets_tests.conftest import Mp4
from cm_assets_tests.emulators.media_server import Answer
from cm_assets_tests.emulators.pexels_server import PexelsServer
from cm_assets_tests.emulators.pixabay_server import PixabayServer

SIZE = (1080, 1080)
REQUEST = {
    "scenes": [
        {"text": "Goats found coffee.", "search_terms": ["goat"]},
        {"text": "Trams run on it.", "search_terms": ["tram"]},
        {"text": "Nothing else does.", "search_terms": ["qqq"]},
    ],
    "orientation": "square",
    "music": "none",
}


class Studio:
    """A home with a Dagster instance, and the sites that it searches."""

    def __init__(self, folder: Path, pexels: PexelsServer, pixabay: PixabayServer, calls: int = 50) -> None:
        self.settings = Settings(
            home=folder / "home",
            pexels_url=pexels.search_url,
            pixabay_url=pixabay.search_url,
            allow_private_hosts=True,
            rates={"pexels": ((calls, 3600.0),)},
        )
        self.database = Database(self.settings.database)
        self.store = ArtifactStore(self.settings.artifacts, self.settings.cache)
        self.instance = dg.DagsterInstance.ephemeral()
        self.pexels = pexels
        self.pixabay = pixabay

    def make(self, video: str = "a-video") -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions(PARTITIONS, [video])
        stages = Stages(self.database, self.settings.home / "work")
        defs = build_defs(self.settings, overrides={"database": self.database, "stages": stages})
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            partition_key=video,
            instance=self.instance,
            asset_selection=[dg.AssetKey(stage) for stage in ("brief", "script", "background_clips")],
            run_config={
                "ops": {"brief": {"config": {"request": REQUEST}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )

    def clips(self, video: str = "a-video") -> BackgroundClips:
        made = WorkLog(self.instance).made(video, "background_clips")
        assert made is not None
        return BackgroundClips.model_validate_json(self.store.read(str(made.metadata["model"])))


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mp4: Mp4) -> Iterator[Studio]:
    quick = dataclasses.replace(policies.STAGES["background_clips"], first_delay=0.01)
    monkeypatch.setitem(policies.STAGES, "background_clips", quick)
    with PexelsServer() as pexels, PixabayServer() as pixabay:
        monkeypatch.setenv("PEXELS_API_KEY", pexels.key)
        monkeypatch.setenv("PIXABAY_API_KEY", pixabay.key)
        pexels.video("a goat on a hill", [(*SIZE, mp4(*SIZE, 1, "red"))])
        pixabay.video("tram, city", {"large": (*SIZE, mp4(*SIZE, 1, "blue"))}, seconds=1)
        one = Studio(tmp_path, pexels, pixabay)
        yield one
        one.instance.dispose()
        one.database.dispose()


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (made,) = [
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("background_clips")
    ]
    return dict(made.metadata)


def test_each_scene_has_its_clip_and_says_how_it_was_found(studio: Studio) -> None:
    result = studio.make()
    assert result.success
    found = [(clip.credit.source, clip.found_by, clip.terms) for clip in studio.clips().clips]
    assert found == [("pexels", "terms", ("goat",)), ("pixabay", "terms", ("tram",)), ("illustrated", "", ())]
    for clip in studio.clips().clips:
        assert all(studio.store.local(ref).stat().st_size == ref.size for ref in clip.files)
    rows = [record.data for record in metadata(result)["list"].records]
    assert [row["source"] for row in rows] == ["pexels", "pixabay", "illustrated"]
    assert [row["found by"] for row in rows] == ["terms", "terms", ""]
    assert rows[0]["author"] == "Ana Lima"
    assert rows[0]["link"].startswith("https://www.pexels.com/video/a-goat-on-a-hill-")
    assert "passed over" not in metadata(result)


def test_made_again_it_is_the_same_and_costs_no_call(studio: Studio) -> None:
    assert studio.make().success
    first = studio.clips()
    calls = len(studio.pexels.searched) + len(studio.pixabay.searched)
    loaded = len(studio.pexels.asked) + len(studio.pixabay.asked)
    assert studio.make().success
    assert studio.clips() == first
    assert len(studio.pexels.searched) + len(studio.pixabay.searched) == calls
    assert len(studio.pexels.asked) + len(studio.pixabay.asked) == loaded


def test_a_site_that_is_down_costs_tries_and_not_the_video(studio: Studio) -> None:
    studio.pexels.faults = [Answer(503, "text/plain", b"down")] * 99
    result = studio.make()
    assert result.success
    assert [clip.credit.source for clip in studio.clips().clips] == ["illustrated", "pixabay", "illustrated"]
    assert metadata(result)["passed over"].value == "pexels: pexels answers 503: down"
    assert len(studio.pexels.searched) == 1 + policies.STAGES["background_clips"].retries


def test_a_site_that_comes_back_was_only_tried_again(studio: Studio) -> None:
    studio.pexels.faults = [Answer(503, "text/plain", b"down")]
    assert studio.make().success
    assert [clip.credit.source for clip in studio.clips().clips] == ["pexels", "pixabay", "illustrated"]


def test_a_bad_key_is_said_at_once_and_the_key_is_nowhere(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIXABAY_API_KEY", "secret-and-wrong")
    result = studio.make()
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    shown = failure.step_failure_data.user_failure_data
    assert shown is not None
    assert shown.description == "pixabay refuses the key: set PIXABAY_API_KEY to a valid one"
    assert len(studio.pixabay.searched) == 1
    events = [str(entry) for entry in studio.instance.all_logs(result.run_id)]
    assert len(events) > 5
    assert not [event for event in events if "secret-and-wrong" in event or studio.pexels.key in event]
    told = capfd.readouterr()
    assert "secret-and-wrong" not in told.out + told.err
    files = [path for path in studio.settings.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"secret-and-wrong" in path.read_bytes() or "secret" in path.name]


def test_our_own_limit_of_calls_is_kept(studio: Studio, tmp_path: Path) -> None:
    limited = Studio(tmp_path / "limited", studio.pexels, studio.pixabay, calls=2)
    result = limited.make()
    (ended,) = WorkLog(limited.instance).failures(result.dagster_run)
    assert ended.resume_at is not None
    assert len(studio.pexels.searched) == 2
    limited.instance.dispose()
    limited.database.dispose()


def test_a_used_up_hour_ends_the_run_and_says_when_to_go_on(studio: Studio) -> None:
    studio.pexels.hourly = 0
    result = studio.make()
    assert not result.success
    (ended,) = WorkLog(studio.instance).failures(result.dagster_run)
    assert ended.stage == "background_clips"
    assert ended.resume_at is not None
    assert len(studio.pexels.searched) == 1
