"""The watch over the disk: it measures in slices, and caches give way."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cm_assets.orchestration import disk as watches
from cm_assets.orchestration.disk import DiskWatch
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk
from cm_assets.storage.file_cache import FileCache
from cm_assets.storage.work import new_folder

KB = 1000


class Place:
    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(home=home, **{"min_free": 0} | settings)
        self.database = Database(self.settings.database)
        self.store = ArtifactStore(self.settings.artifacts, self.settings.cache)
        self.disk = Disk(self.settings, self.database)
        self.watch = DiskWatch(self.settings, self.database, self.store, self.disk)

    def look(self) -> int:
        """Measure once, to the end; in how many looks."""
        for rounds in (self.watch._home, self.watch._videos):
            rounds._rests_until = 0.0
        looks = 0
        while not (self.watch._home._rests_until and self.watch._videos._rests_until):
            self.watch.tick()
            looks += 1
        return looks

    def cache(self, name: str, count: int, age: float = 0.0) -> Path:
        path = self.settings.cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * count)
        os.utime(path, (time.time() - age, time.time() - age))
        return path

    def others(self) -> int:
        """Bytes of the home without its cache."""
        self.look()
        use = self.disk.use()
        return use.used - use.parts["cache"]


def test_what_voices_spoke_gives_way_after_the_shots(tmp_path: Path) -> None:
    taken = Place(tmp_path).others()
    place = Place(tmp_path, max_disk=taken + 500 * KB)
    shot = place.cache("segments/a.mp4", 300 * KB)
    old, new = place.cache("speech/old.speech", 300 * KB, 100), place.cache("speech/new.speech", 300 * KB)
    place.look()
    assert [path.exists() for path in (shot, old, new)] == [False, False, True]


def test_what_is_there_is_measured_and_then_it_rests(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.cache("segments/a.mp4", 7)
    place.look()
    assert place.disk.use().parts["cache"] == 7
    place.cache("segments/b.mp4", 7)
    place.watch.tick()
    assert place.disk.use().parts["cache"] == 7
    place.look()
    assert place.disk.use().parts["cache"] == 14


def test_a_large_home_is_measured_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path)
    for number in range(30):
        place.cache(f"{number}/x", 10)
    monkeypatch.setattr(watches, "SLICE", 0.0)
    assert place.look() > 30
    assert place.disk.use().parts["cache"] == 300


def test_what_a_killed_step_left_goes_before_it_is_measured(tmp_path: Path) -> None:
    taken = Place(tmp_path).others()
    code = (
        "import sys, pathlib; from cm_assets.storage.work import new_folder;"
        "print(new_folder(pathlib.Path(sys.argv[1]), 'v'))"
    )
    step = subprocess.run([sys.executable, "-c", code, tmp_path / "work"], capture_output=True, text=True, check=True)
    dead, living = Path(step.stdout.strip()), new_folder(tmp_path / "work", "v")
    for folder in (dead, living):
        (folder / "segment.mp4").write_bytes(b"x" * 300 * KB)
    assert Place(tmp_path).others() - taken < 310 * KB
    assert [dead.exists(), living.exists()] == [False, True]


def test_videos_are_measured_whoever_made_or_removed_them(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for number in range(50):
        video = f"v{number}"
        place.store.put_bytes(video, "script", b"12345", ".json", "application/json")
        place.database.note(video, {})
    place.look()
    assert place.disk.use().parts["artifacts"] == 250
    shutil.rmtree(tmp_path / "artifacts" / "v7")  # by hand
    place.look()
    assert place.disk.use().parts["artifacts"] == 245


def test_caches_give_way_the_least_used_first(tmp_path: Path) -> None:
    others = Place(tmp_path).others()
    room = 500 * KB
    place = Place(tmp_path, max_disk=others + room)
    old, new = place.cache("segments/old.mp4", 300 * KB, 100), place.cache("segments/new.mp4", 300 * KB)
    place.look()
    assert not old.exists()
    assert new.exists()
    assert place.disk.use().parts["cache"] == 300 * KB
    assert place.disk.full() == ""


def test_downloaded_clips_give_way_after_encoded_shots(tmp_path: Path) -> None:
    others = Place(tmp_path).others()
    place = Place(tmp_path, max_disk=others + 350 * KB)
    shot = place.cache("segments/a.mp4", 300 * KB)
    old, new = place.cache("footage/old.mp4", 300 * KB, 100), place.cache("footage/new.mp4", 300 * KB)
    place.look()
    assert not shot.exists()
    assert not old.exists()
    assert new.exists()
    assert place.disk.use().parts["cache"] <= 301 * KB


def test_copies_of_remote_artifacts_give_way_unless_somebody_has_them_in_use(tmp_path: Path) -> None:
    others = Place(tmp_path).others()
    place = Place(tmp_path, max_disk=others + 350 * KB)
    used, old, new = (place.cache(f"artifacts/{n}.mp4", 300 * KB, 300 - 100 * n) for n in range(3))
    cache = FileCache(tmp_path / "cache" / "artifacts", 10**9, suffix="")
    with cache.lend("0.mp4", lambda _: None, sound=lambda _: True):
        os.utime(used, (0, 0))
        place.look()
        assert [path.exists() for path in (used, old, new)] == [True, False, False]
        assert place.disk.use().parts["cache"] == 300 * KB


def test_caches_stay_where_there_is_room_and_go_where_the_disk_is_full(tmp_path: Path) -> None:
    segment = Place(tmp_path).cache("segments/a.mp4", 300 * KB)
    Place(tmp_path, max_disk="1GB").look()
    assert segment.exists()
    place = Place(tmp_path, min_free=shutil.disk_usage(tmp_path).total + 10**9)
    place.look()
    assert not segment.exists()
    assert "CM_MIN_FREE" in place.disk.full()
