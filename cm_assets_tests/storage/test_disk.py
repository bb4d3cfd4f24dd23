"""What is taken and whether there is room, without looking at every file."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cm_assets.models.disk import DiskFull, DiskUse, size
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk, check, measure


def a_file(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * count)
    return path


def measured(settings: Settings) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for part, count in measure(settings):
        sizes[part] += count
    return dict(sizes)


def disk(home: Path, **settings: Any) -> tuple[Disk, Database]:
    home.mkdir(exist_ok=True)
    found = Settings(home=home, **settings)
    database = Database(found.database)
    return Disk(found, database), database


def test_parts_are_told_apart_and_links_to_artifacts_take_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    video = a_file(tmp_path / "artifacts" / "v" / "render" / "v.mp4", 1000)
    a_file(tmp_path / "cache" / "segments" / "a.mp4", 20)
    a_file(tmp_path / "dagster" / "history" / "runs" / "r.db", 300)
    a_file(tmp_path / "outbox" / "v" / "post.json", 4)
    (tmp_path / "outbox" / "v" / "v.mp4").hardlink_to(video)
    a_file(tmp_path / "cm.sqlite", 50)
    assert measured(settings) == {"cache": 20, "dagster": 300, "outbox": 4, "other": 50}
    video.unlink()
    assert measured(settings)["outbox"] == 1004
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "outside").symlink_to("/usr")
    assert measured(settings)["other"] < 1000


def test_a_copy_that_is_a_post_as_well_is_no_room_that_a_cache_can_make(tmp_path: Path) -> None:
    elsewhere = Settings(home=tmp_path, artifacts_url="s3://videos/cm", max_disk=1000)
    copy = a_file(tmp_path / "cache" / "artifacts" / "v.mp4", 900)
    a_file(tmp_path / "cache" / "artifacts" / "w.mp4", 90)
    (tmp_path / "outbox" / "v").mkdir(parents=True)
    (tmp_path / "outbox" / "v" / "v.mp4").hardlink_to(copy)
    a_file(tmp_path / "outbox" / "v" / "post.json", 100)
    assert measured(elsewhere) == {"cache": 90, "outbox": 1000, "dagster": 0, "other": 0}
    database = Database(elsewhere.database)
    found = Disk(elsewhere, database)
    found.note({"cache": 90, "outbox": 1000})
    assert found.full().startswith("1.1 kB of CM_MAX_DISK=1.0 kB are taken")


def test_a_walk_outlives_what_goes_meanwhile(tmp_path: Path) -> None:
    for number in range(5):
        a_file(tmp_path / "work" / str(number) / "x", 10)
    walk = measure(Settings(home=tmp_path))
    for _ in range(5):
        next(walk)
    shutil.rmtree(tmp_path / "work")
    assert sum(count for _, count in walk) == 0


def test_used_is_what_was_noted(tmp_path: Path) -> None:
    one, database = disk(tmp_path)
    for number, count in enumerate((100, 200)):
        database.note(f"v{number}", {}, size=count)
    database.note("unknown", {})
    database.note_disk({"cache": 5, "other": 7})
    use = one.use()
    assert use.parts == {"cache": 5, "other": 7, "artifacts": 300, "uploads": 0}
    assert use.used == 312
    assert use.free > 0
    assert database.sizes("", 9) == [("unknown", None), ("v0", 100), ("v1", 200)]
    assert database.sizes("unknown", 1) == [("v0", 100)]
    database.note_size("unknown", 1)
    assert one.use().used == 313


def test_all_artifacts_are_measured_anew(tmp_path: Path) -> None:
    one, database = disk(tmp_path)
    for number in range(450):
        database.note(f"v{number}", {}, size=number % 3)
    database.note("v7", {})
    assert len(list(check(database, lambda video: 2 if video == "v7" else 1))) == 450
    assert one.use().parts["artifacts"] == 451


def test_artifacts_elsewhere_take_nothing_here(tmp_path: Path) -> None:
    one, database = disk(tmp_path, artifacts_url="s3://bucket/videos")
    database.note("v", {}, size=0)
    assert "artifacts" not in one.use().parts
    assert one.full() == ""


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("", "home/artifacts"),
        ("{0}/a b", "a b"),
        ("file://{0}/a%20b", "a%20b"),
        ("s3://bucket/c", None),
        ("memory://x", None),
    ],
)
def test_an_artifact_folder_is_known_as_the_store_knows_it(tmp_path: Path, url: str, folder: str | None) -> None:
    settings = Settings(home=tmp_path / "home", artifacts_url=url.format(tmp_path))
    assert settings.artifacts_folder == (tmp_path / folder if folder else None)
    if "s3" not in url:  # which needs a package that is not installed
        store = ArtifactStore(settings.artifacts, settings.cache)
        ref = store.put_bytes("v", "script", b"{}", ".json", "application/json")
        assert (settings.artifacts_folder is not None) == Path(store.address(ref)).is_file()
        if settings.artifacts_folder is not None:
            assert Path(store.address(ref)).is_relative_to(settings.artifacts_folder)


def test_the_bound_refuses_and_says_what_to_do(tmp_path: Path) -> None:
    one, database = disk(tmp_path, max_disk="1kB", min_free=0)
    database.note("v", {}, size=999)
    one.require_room()
    database.note("w", {}, size=1)
    one, _ = disk(tmp_path, max_disk="1kB", min_free=0)
    with pytest.raises(DiskFull, match=r"CM_MAX_DISK=1\.0 kB are taken: retire videos") as refused:
        one.require_room()
    assert "raise CM_MAX_DISK" in str(refused.value)


def test_a_full_disk_refuses_without_a_bound(tmp_path: Path) -> None:
    everything = shutil.disk_usage(tmp_path).total
    one, _ = disk(tmp_path, min_free=str(everything + 1))
    with pytest.raises(DiskFull, match=r"CM_MIN_FREE.*free some space"):
        one.require_room()


def test_an_answer_without_a_bound_needs_no_database(tmp_path: Path) -> None:
    one, database = disk(tmp_path, min_free=0)
    assert one.full() == ""
    assert not Path(database.url.removeprefix("sqlite:///")).exists()


GB = 10**9


@pytest.mark.parametrize(
    ("parts", "limit", "free", "least", "full"),
    [
        ({"artifacts": 9 * GB}, 10 * GB, GB, 0, False),
        ({"artifacts": 10 * GB}, 10 * GB, GB, 0, True),
        ({"artifacts": 9 * GB, "cache": 2 * GB}, 10 * GB, GB, 0, False),
        ({"artifacts": 9 * GB, "cache": 2 * GB, "outbox": GB}, 10 * GB, GB, 0, True),
        ({"artifacts": 99 * GB}, None, GB, GB, False),
        ({"artifacts": 99 * GB}, None, GB - 1, GB, True),
        ({"cache": 1}, None, GB - 1, GB, False),
        ({}, 10 * GB, GB - 1, GB, True),
    ],
)
def test_caches_give_way_before_anything_is_refused(
    parts: dict[str, int], limit: int | None, free: int, least: int, full: bool
) -> None:
    use = DiskUse(parts=parts, limit=limit, free=free, least_free=least)
    assert bool(use.full) is full
    assert (use.excess > parts.get("cache", 0)) is full


@pytest.mark.parametrize(
    ("text", "count"), [("50GB", 50 * GB), ("50 GiB", 50 * 2**30), ("1000", 1000), ("1.5 mb", 1_500_000)]
)
def test_bytes_may_have_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    monkeypatch.setenv("CM_MAX_DISK", text)
    assert Settings().max_disk == count


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_DISK", "much"), ("MAX_DISK", "0"), ("MIN_FREE", "-1"), ("KEEP_DAYS", "0"), ("KEEP_DAYS", "soon")],
)
def test_bounds_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"CM_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_unset_is_for_ever_and_without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CM_")]:
        monkeypatch.delenv(name)
    settings = Settings()
    assert (settings.keep_days, settings.keep_intermediates_days, settings.max_disk) == (None, None, None)
    assert settings.min_free == 500_000_000


def test_sizes_are_said_for_people() -> None:
    assert [size(count) for count in (0, 999, 1500, 2_500_000, 50 * GB)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "2.5 MB",
        "50.0 GB",
    ]
