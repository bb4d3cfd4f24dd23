"""Files that are dropped: taken in once, refused with a reason, waited for while somebody writes."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cm_assets.lifecycle.catalogue import catalogue
from cm_assets.models.disk import DiskFull
from cm_assets.orchestration import inbox as inboxes
from cm_assets.orchestration.inbox import Inbox
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets_tests.conftest import SHORT


class Place:
    """An inbox and what has come of it."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(home=folder)
        self.database = Database(settings.database)
        known = catalogue(settings)
        self.folder = settings.inbox
        self.full = False
        self.inbox = Inbox(self.folder, self.database, lambda: known, self.room)

    def room(self) -> None:
        if self.full:
            raise DiskFull("there is no room")

    def drop(self, name: str, content: str | bytes | None = None, **changes: Any) -> Path:
        path = self.folder / name
        text = json.dumps(SHORT | changes) if content is None else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        long_ago = time.time() - 60
        os.utime(path, (long_ago, long_ago))
        return path

    def look(self) -> int:
        self.inbox._looked = 0.0
        return self.inbox.tick()

    def requests(self) -> list[str]:
        return [stored.id for stored in self.database.newest(limit=5000)]

    def names(self, place: str) -> set[str]:
        return {path.name for path in (self.folder / place).iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_good_file_becomes_a_request(place: Place) -> None:
    place.drop("robot.json", id="robot")
    assert place.look() == 1
    assert place.requests() == ["robot"]
    assert place.names("accepted") == {"robot.json"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("speed.yaml", "scenes: [{text: Hi}]\nspeed: 9\n", "speed: "),
        ("odd.yaml", "scenes: [", "request: is not valid YAML"),
        ("empty.json", "", "request: "),
        ("bytes.json", b"\xff\xfe\x00", "request: "),
        ("topic.yaml", "topic: tides\n", "topic: a topic needs a language model"),
    ],
)
def test_a_bad_file_is_sent_back_with_its_reason(place: Place, name: str, content: str | bytes, said: str) -> None:
    place.drop(name, content)
    place.look()
    assert place.requests() == []
    assert place.names("rejected") == {name, f"{name}.error.txt"}
    assert said in (place.folder / "rejected" / f"{name}.error.txt").read_text()


def test_a_file_that_is_being_written_is_waited_for(place: Place) -> None:
    path = place.folder / "slow.json"
    path.write_text('{"scenes": [')
    assert place.look() == 0
    assert path.exists()
    place.drop("slow.json")
    assert place.look() == 1


LEASES = pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="leases are Linux's")


def young(path: Path, *, moved: bool) -> None:
    """Make a file look as if it was written a moment ago, and moved since or not."""
    while True:
        now = time.time()
        if moved:
            os.utime(path, (now - 0.2, now - 0.2))
        else:
            os.utime(path, (now + 60, now + 60))  # no status is newer than its content
        if moved == (path.stat().st_ctime_ns > path.stat().st_mtime_ns):
            return


@LEASES
def test_a_file_that_was_moved_here_whole_is_taken_at_once(place: Place, tmp_path: Path) -> None:
    part = tmp_path / "robot.json"
    part.write_text(json.dumps(SHORT))
    young(part, moved=True)
    part.replace(place.folder / part.name)
    assert place.look() == 1
    assert place.names("accepted") == {"robot.json"}


@LEASES
def test_a_file_that_somebody_has_open_is_waited_for_whatever_was_done_to_it(place: Place) -> None:
    path = place.folder / "slow.yaml"
    with path.open("w") as writer:
        writer.write("scenes:\n  - {text: Hello, search_terms: [robot]}\n")
        writer.flush()
        young(path, moved=True)
        assert place.look() == 0
    assert place.look() == 1


@pytest.mark.parametrize("moved", [True, False])
def test_a_young_file_that_is_empty_or_was_written_in_place_is_waited_for(place: Place, moved: bool) -> None:
    path = place.drop("young.json", "" if moved else None)
    young(path, moved=moved)
    assert place.look() == 0
    assert path.exists()


def test_what_is_no_request_file_is_left_alone(place: Place) -> None:
    for name in (".hidden.yaml", "notes.txt", "robot.yaml.part"):
        place.drop(name, "anything")
    (place.folder / "folder.yaml").mkdir()
    assert place.look() == 0


def test_links_and_pipes_are_refused_unread(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("scenes: [{text: secret}]\n")
    (place.folder / "link.yaml").symlink_to(secret)
    os.mkfifo(place.folder / "pipe.yaml")
    for name in ("link.yaml", "pipe.yaml"):
        os.utime(place.folder / name, (1, 1), follow_symlinks=False)
    assert place.look() == 2
    assert place.requests() == []
    assert {"link.yaml", "pipe.yaml"} <= place.names("rejected")
    assert secret.read_text() == "scenes: [{text: secret}]\n"


def test_the_same_file_again_is_the_same_video_and_an_earlier_one_is_not_overwritten(place: Place) -> None:
    place.drop("robot.json")
    place.look()
    place.drop("robot.json")
    place.look()
    assert len(place.requests()) == 1
    assert place.names("accepted") == {"robot.json", "robot-2.json"}
    place.drop("robot.json", seed=4)
    place.look()
    assert len(place.requests()) == 2


@pytest.mark.parametrize("where", ["_content", "accept", "_move"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_anywhere_neither_loses_nor_doubles(
    place: Place, monkeypatch: pytest.MonkeyPatch, where: str, when: str
) -> None:
    class Killed(BaseException):
        pass

    real = getattr(inboxes, where)

    def dying(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        raise Killed

    place.drop("robot.json")
    place.drop("bad.json", speed=9)
    with monkeypatch.context() as patch:
        patch.setattr(inboxes, where, dying)
        with pytest.raises(Killed):
            place.look()
    place.look()
    assert len(place.requests()) == 1
    assert "robot.json" in place.names("accepted")
    assert {"bad.json", "bad.json.error.txt"} <= place.names("rejected")
    assert not [path for path in place.folder.iterdir() if path.is_file()]


def test_a_burst_is_taken_in_and_waits_in_order_of_priority_then_age(place: Place) -> None:
    for number in range(1000):
        place.drop(f"{number:04}.json", id=f"v{number:04}", priority=1 + number % 10)
    looks = 0
    while place.look():
        looks += 1
    assert looks <= 10
    from datetime import UTC, datetime

    ids = [stored.id for stored in place.database.backlog(datetime.now(UTC), 2000)]
    assert len(ids) == 1000
    assert ids == sorted(ids, key=lambda one: (int(one[1:]) % 10, one))


def test_files_wait_while_the_disk_is_full(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.drop("robot.json")
    place.full = True
    for _ in range(3):
        assert place.look() == 0
    assert (place.folder / "robot.json").exists()
    assert place.requests() == []
    assert [record.message for record in caplog.records] == ["robot.json waits: there is no room"]
    place.full = False
    assert place.look() == 1
    assert len(place.requests()) == 1
