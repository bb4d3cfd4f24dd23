"""Uploads: kept once, whole or not at all, as long as somebody needs them, for every host."""

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from upath import UPath

from cm_assets.models.base import PermanentFailure
from cm_assets.models.upload import Upload
from cm_assets.partitions import is_video_id
from cm_assets.storage import uploads
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database, StoredRequest, UploadGone
from cm_assets.storage.uploads import FOLDER, UnknownUpload, UploadInUse, Uploads, count_uploads

NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=2)


class Kept:
    """A home's uploads on one host."""

    def __init__(self, url: str, store: str, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.database = Database(url)
        self.store = ArtifactStore(store, folder / "cache")
        self.uploads = Uploads(self.database, self.store)

    def keep(self, content: bytes, name: str = "a.mp4") -> tuple[Upload, bool]:
        path = self.folder / f"{threading.get_ident()}.mp4"
        path.write_bytes(content)
        return self.uploads.keep(
            path,
            hashlib.sha256(content).hexdigest(),
            kind="clip",
            name=name,
            media_type="video/mp4",
            seconds=1.5,
            width=64,
            height=64,
        )

    def ask(self, video: str, *named: Upload, wanted: bool = True) -> None:
        scenes = [{"text": "x", "clip": one.named} for one in named]
        row = {"id": video, "source": "test", "key": video, "document": {"scenes": scenes}, "content_sha256": "0" * 64}
        times = {"received_at": NOW, "wanted_at": NOW, "wanted": wanted}
        self.database.add(StoredRequest(**row, **times, priority=10, outcome="", reason="", lost_runs=0))  # type: ignore[arg-type]

    def places(self) -> set[str]:
        """Folders of the store in which a file lies."""
        root = UPath(self.store.url) / FOLDER
        root.fs.invalidate_cache()
        return {name.split(f"{FOLDER}/")[1].split("/")[0] for name in root.fs.find(root.path)}

    def rows(self) -> set[str]:
        with self.database.reading() as connection:
            return {row.place for row in connection.execute(sa.text("select place from uploads"))}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cm.sqlite'}"
    from cm_assets_tests.postgres import new_database

    return new_database(request.getfixturevalue("postgres")).replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["folder", "url"])
def host(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Callable[[str], Kept]]:
    """Hosts of one home, by name."""
    store = str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}-{time.time_ns()}"
    made: list[Kept] = []

    def make(name: str) -> Kept:
        made.append(Kept(url, store, tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.database.dispose()


@pytest.fixture
def kept(host: Callable[[str], Kept]) -> Kept:
    return host("one")


def test_what_one_host_keeps_another_reads(host: Callable[[str], Kept]) -> None:
    one, other = host("one"), host("other")
    content = b"clip" * 1000
    upload, is_new = one.keep(content, "my clip.mp4")
    assert is_new
    assert upload.id == hashlib.sha256(content).hexdigest()[:32]
    found = other.uploads.named(upload.named, "clip")
    assert found == upload
    assert other.uploads.local(found).read_bytes() == content
    assert not is_video_id(FOLDER), "no video's files can lie there"


def test_the_same_content_is_kept_once_also_when_it_comes_twice_at_once(host: Callable[[str], Kept]) -> None:
    hosts = [host(f"host{number}") for number in range(4)]
    found: list[tuple[Upload, bool]] = []
    threads = [threading.Thread(target=lambda one=one: found.append(one.keep(b"same"))) for one in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({upload.id for upload, _ in found}) == 1
    assert sorted(is_new for _, is_new in found) == [False, False, False, True]
    assert len(hosts[0].places()) == 1 == len(hosts[0].rows())
    assert hosts[0].uploads.local(found[0][0]).read_bytes() == b"same"


def test_what_an_open_request_names_stays(kept: Kept) -> None:
    upload, _ = kept.keep(b"intro")
    kept.ask("v1", upload)
    with pytest.raises(UploadInUse, match="v1 names it"):
        kept.uploads.remove(upload.id)
    assert kept.uploads.local(kept.uploads.get(upload.id)).read_bytes() == b"intro"
    kept.database.close("v1", "done", "")
    kept.uploads.remove(upload.id)
    assert kept.places() == kept.rows() == set()
    with pytest.raises(UnknownUpload):
        kept.uploads.remove(upload.id)
    with pytest.raises(PermanentFailure, match="is not there any more"):
        kept.uploads.named(upload.named, "clip")


def test_a_request_cannot_name_what_has_just_gone(kept: Kept) -> None:
    upload, _ = kept.keep(b"gone")
    kept.uploads.remove(upload.id)
    with pytest.raises(UploadGone):
        kept.ask("v1", upload)
    assert kept.database.get("v1") is None, "nothing was stored"


def test_naming_and_removing_at_once_never_leaves_a_request_without_its_upload(host: Callable[[str], Kept]) -> None:
    one, other = host("one"), host("other")
    for number in range(25):
        upload, _ = one.keep(f"clip {number}".encode())
        outcomes: dict[str, str] = {}

        def ask(upload: Upload = upload, number: int = number, outcomes: dict[str, str] = outcomes) -> None:
            try:
                one.ask(f"v{number}", upload)
                outcomes["asked"] = "yes"
            except UploadGone:
                outcomes["asked"] = "no"

        def remove(upload: Upload = upload, outcomes: dict[str, str] = outcomes) -> None:
            try:
                other.uploads.remove(upload.id)
                outcomes["removed"] = "yes"
            except UploadInUse:
                outcomes["removed"] = "no"

        threads = [threading.Thread(target=target) for target in (ask, remove)]
        for thread in threads[:: 1 if number % 2 else -1]:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes.values()) == ["no", "yes"], outcomes


def test_what_is_used_does_not_expire(kept: Kept) -> None:
    old, named, again = (kept.keep(content)[0] for content in (b"old", b"named", b"again"))
    kept.ask("v1", named)
    with kept.database.writing() as connection:
        connection.execute(sa.text("update uploads set used_at = :at"), {"at": NOW - timedelta(days=9)})
    assert kept.uploads.known(hashlib.sha256(b"again").hexdigest()) == again
    assert [one.id for one in kept.uploads.expired(NOW - timedelta(days=8))] == [old.id]
    assert {one.id for one in kept.uploads.all(9)} == {named.id, again.id}


def test_pages_go_on_where_the_last_one_ended(kept: Kept) -> None:
    made = [kept.keep(f"{number}".encode())[0].id for number in range(5)]
    first = kept.uploads.all(2)
    assert [one.id for one in [*first, *kept.uploads.all(9, after=first[-1].id)]] == made[::-1]
    with pytest.raises(UnknownUpload):
        kept.uploads.all(2, after="0" * 32)


def test_all_that_lies_there_is_counted(kept: Kept) -> None:
    kept.keep(b"x" * 100)
    kept.keep(b"y" * 20)
    assert count_uploads(kept.database) == (2, 120)


class Killed(BaseException):
    """In the place of a kill: nothing of ours catches it."""


def killed_at(line: int, act: Callable[[], Any]) -> bool:
    """Do something that dies at its nth line of the module; whether it came so far. What the store does is its own."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename != uploads.__file__:
            return None
        if event == "line":
            count += 1
            if count == line:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except Killed:
        return True
    finally:
        sys.settrace(before)
    return False


def test_whoever_is_killed_while_he_keeps_or_removes_leaves_nothing_half(kept: Kept) -> None:
    line = 0
    while True:
        line += 1
        content, fresh = b"content of %d" % line, b"fresh %d" % line
        upload, _ = kept.keep(content)
        went_on = killed_at(line, partial(kept.uploads.remove, upload.id))
        went_on = killed_at(line, partial(kept.keep, fresh)) or went_on
        for upload in kept.uploads.all(1000):
            assert kept.uploads.local(upload).stat().st_size == upload.file.size
        # Who comes again is served, whatever is left of the first time.
        again = kept.uploads.known(hashlib.sha256(fresh).hexdigest()) or kept.keep(fresh)[0]
        assert kept.uploads.local(again).read_bytes() == fresh
        kept.uploads.sweep(NOW)
        kept.uploads.sweep(LATER)
        ready = {upload.file.key.split("/")[1] for upload in kept.uploads.all(1000)}
        assert kept.places() == kept.rows() == ready
        if not went_on:
            break
        for upload in kept.uploads.all(1000):
            kept.uploads.remove(upload.id)
    assert line > 20, "it died at many places"


def test_nobody_sweeps_what_is_still_coming(kept: Kept) -> None:
    line = next(line for line in range(1, 99) if killed_at(line, lambda: kept.keep(b"coming")) and kept.rows())
    rows = kept.rows()
    assert line > 1
    assert kept.uploads.all(9) == []
    assert kept.uploads.sweep(datetime.now(UTC)) == 0
    assert kept.rows() == rows


def test_a_damaged_file_is_noticed_and_named(host: Callable[[str], Kept]) -> None:
    upload, _ = host("one").keep(b"whole")
    kept = host("other")  # who stored it may have a copy that is whole
    (UPath(kept.store.url) / upload.file.key).write_bytes(b"torn")
    with pytest.raises(PermanentFailure, match=f"{upload.named} is missing or damaged"):
        kept.uploads.local(upload)
