import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from upath import UPath

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import PermanentFailure
from cm_assets.storage.artifacts import ArtifactStore


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    url = str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}-{time.time_ns()}"
    return ArtifactStore(url, tmp_path / "cache")


def a_file(tmp_path: Path, content: bytes, name: str = "a.mp4") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_a_file_comes_back_as_it_was(store: ArtifactStore, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    ref = store.put_file("v1", "render", a_file(tmp_path, content), "video/mp4")
    assert ref.key == f"v1/render/{hashlib.sha256(content).hexdigest()[:16]}.mp4"
    assert (ref.size, ref.suffix) == (len(content), ".mp4")
    assert store.local(ref).read_bytes() == content
    assert store.local(ref) == store.local(ref)


def test_storing_the_same_content_again_changes_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    path = a_file(tmp_path, b"once")
    first = store.put_file("v1", "render", path, "video/mp4")
    before = store.local(first).stat().st_mtime_ns
    assert store.put_file("v1", "render", path, "video/mp4") == first
    assert store.local(first).stat().st_mtime_ns == before


def test_a_model_reads_back_by_its_key(store: ArtifactStore) -> None:
    ref = store.put_bytes("v1", "script", b"{}", ".json", "application/json")
    assert store.read(ref.key) == b"{}"
    with pytest.raises(PermanentFailure, match="materialize"):
        store.read("v1/script/none.json")


def test_what_is_missing_says_what_to_do(store: ArtifactStore, tmp_path: Path) -> None:
    ref = store.put_file("v1", "render", a_file(tmp_path, b"x"), "video/mp4")
    with pytest.raises(PermanentFailure, match="materialize its asset again"):
        store.local(ref.model_copy(update={"key": "v1/render/gone.mp4", "sha256": "0" * 64}))


def test_a_remote_file_that_changed_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(f"memory://changed-{time.time_ns()}", tmp_path / "cache")
    ref = store.put_file("v1", "render", a_file(tmp_path, b"right"), "video/mp4")
    (UPath(store.url) / ref.key).write_bytes(b"wrong")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(PermanentFailure, match="damaged"):
        store.local(ref)


def test_racing_writers_of_the_same_content_agree(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"), tmp_path / "cache")
    path = a_file(tmp_path, os.urandom(2_000_000))
    refs = []
    threads = [
        threading.Thread(target=lambda: refs.append(store.put_file("v", "a", path, "video/mp4"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refs) == 6
    assert len(set(refs)) == 1
    assert [entry.name for entry in (tmp_path / "store" / "v" / "a").iterdir()] == [Path(refs[0].key).name]


def test_a_writer_that_is_killed_leaves_no_half_artifact(tmp_path: Path) -> None:
    source = a_file(tmp_path, os.urandom(1 << 20) * 200)
    code = (
        "import sys, pathlib; from cm_assets.storage.artifacts import ArtifactStore;"
        "s = ArtifactStore(sys.argv[1], pathlib.Path(sys.argv[2])); print('go', flush=True);"
        "s.put_file('v', 'a', pathlib.Path(sys.argv[3]), 'video/mp4')"
    )
    for delay in (0.0, 0.1, 0.2, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "store"), str(tmp_path / "cache"), str(source)],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for path in (tmp_path / "store").rglob("*.mp4"):
            assert path.name.startswith(".") or path.stat().st_size == source.stat().st_size


def _filled(store: ArtifactStore, tmp_path: Path, video: str) -> dict[str, ArtifactRef]:
    audio = store.put_file(video, "audio", a_file(tmp_path, b"sound", "a.flac"), "audio/flac")
    model = store.put_bytes(video, "audio", b"{}", ".json", "application/json")
    render = store.put_file(video, "render", a_file(tmp_path, b"picture"), "video/mp4")
    store.write_convenience_copy(video, "audio", b"{}")
    return {"audio": audio, "model": model, "render": render}


def _there(store: ArtifactStore, ref: ArtifactRef) -> bool:
    return bool((UPath(store.url) / ref.key).exists())


def test_a_video_is_removed_and_no_other(store: ArtifactStore, tmp_path: Path) -> None:
    gone, stays = _filled(store, tmp_path, "v1"), _filled(store, tmp_path, "v11")
    for _ in range(2):
        store.remove("v1")
        assert not any(_there(store, ref) for ref in gone.values())
        assert not (UPath(store.url) / "v1" / "audio.json").exists()
        assert all(_there(store, ref) for ref in stays.values())
    store.remove("never-there")


def test_media_go_but_models_and_the_named_assets_stay(store: ArtifactStore, tmp_path: Path) -> None:
    refs, others = _filled(store, tmp_path, "v1"), _filled(store, tmp_path, "v11")
    for _ in range(2):
        store.remove_media("v1", but=["render"])
        assert {name: _there(store, ref) for name, ref in refs.items()} == {
            "audio": False,
            "model": True,
            "render": True,
        }
        assert all(_there(store, ref) for ref in others.values())
    store.remove_media("never-there", but=["render"])


def test_bytes_are_those_on_our_disks(tmp_path: Path) -> None:
    here = ArtifactStore(str(tmp_path / "store"), tmp_path / "cache")
    _filled(here, tmp_path, "v1")
    assert here.local_bytes("v1") == len(b"sound") + len(b"picture") + 4
    assert here.local_bytes("v2") == 0
    away = ArtifactStore(f"memory://away-{time.time_ns()}", tmp_path / "cache")
    _filled(away, tmp_path, "v1")
    assert away.local_bytes("v1") == 0
