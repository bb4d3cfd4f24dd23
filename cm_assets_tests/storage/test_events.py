"""Events of opening and closing a request: each is there if and only if what it tells is, and once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cm_assets.models.event import Event
from cm_assets.storage import events
from cm_assets.storage.database import Database, Taken
from cm_assets_tests.storage.test_database import NOW, ROW


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cm.sqlite"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    one = Database(f"sqlite:///{file}")
    yield one
    one.dispose()


def told(database: Database) -> list[Event]:
    from cm_assets.storage.tables import events as table

    with database.reading() as connection:
        rows = connection.execute(table.select().order_by(table.c.seq)).all()
    return [Event(id=r.id, video_id=r.video_id, type=r.type, at=events.utc(r.at), data=r.data) for r in rows]


def types(database: Database) -> list[str]:
    return [one.type.removeprefix("video.") for one in told(database)]


def test_a_request_is_told_when_it_is_stored_and_when_it_is_asked_for_again(database: Database) -> None:
    database.add(ROW)
    (queued,) = told(database)
    assert queued.data == {"id": "a", "title": "tides", "state": "queued"}
    with pytest.raises(Taken):
        database.add(ROW)
    assert not database.want("a")
    database.close("a", "cancelled", "on request")
    assert database.want("a")
    assert not database.want("a")
    assert types(database) == ["queued", "cancelled", "queued"]
    assert len({one.id for one in told(database)}) == 3


def test_an_end_is_told_once_with_what_belongs_to_it(database: Database) -> None:
    database.add(ROW)
    database.note("a", {"title": "The tides", "links": {"video": "/v.mp4", "outbox": "/o/a"}})
    assert database.close("a", "done")
    assert not database.close("a", "failed", "too late")
    assert told(database)[-1].data == {
        "id": "a",
        "title": "The tides",
        "state": "published",
        "links": {"video": "/v.mp4", "outbox": "/o/a"},
    }
    for name, outcome, more in (("b", "failed", {"stage": "render"}), ("c", "cancelled", {}), ("d", "rejected", {})):
        database.add(replace(ROW, id=name, key=name))
        database.close(name, outcome, "the sea was rough", **more)
    failed, cancelled, rejected = (
        one.data for one in told(database) if one.data["state"] not in {"queued", "published"}
    )
    assert (failed["state"], failed["stage"], failed["reason"]) == ("failed", "render", "the sea was rough")
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "the sea was rough")
    assert (rejected["state"], rejected["feedback"], rejected["final"]) == ("rejected", "the sea was rough", True)


def test_each_asking_has_its_own_end(database: Database) -> None:
    database.add(ROW)
    for _ in range(3):
        database.close("a", "failed", "no")
        database.want("a")
    assert types(database) == ["queued", "failed"] * 3 + ["queued"]
    assert len({one.id for one in told(database)}) == 7


class Killed(BaseException):
    pass


@pytest.mark.parametrize("act", ["add", "want", "close", "note"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_in_the_middle_has_done_neither(
    database: Database, monkeypatch: pytest.MonkeyPatch, act: str, when: str
) -> None:
    rendered = Event.of("a", "video.rendered", 7, NOW, {})
    if act != "add":
        database.add(ROW)
    if act == "want":
        database.close("a", "failed", "no")
    before = told(database), database.get("a"), database.noted(["a"])
    real = events.record

    def dying(*arguments: Any) -> None:
        if when == "after":
            real(*arguments)
        raise Killed

    def do() -> None:
        if act == "add":
            database.add(ROW)
        elif act == "note":
            database.note("a", {"runs": 1}, [rendered])
        elif act == "want":
            database.want("a")
        else:
            database.close("a", "failed", "no")

    with monkeypatch.context() as patch:
        patch.setattr(events, "record", dying)
        with pytest.raises(Killed):
            do()
    assert (told(database), database.get("a"), database.noted(["a"])) == before
    do()
    assert len(told(database)) == len(before[0]) + 1


def test_the_same_event_again_is_no_other_one(database: Database) -> None:
    one = Event.of("a", "video.rendered", 7, NOW, {"title": "Salt"})
    later = Event.of("a", "video.rendered", 7, NOW + timedelta(days=1), {"title": "Salz"})
    database.note("a", {"runs": 1}, [one])
    database.note("a", {"runs": 2}, [later, Event.of("a", "video.approved", 8, NOW, {})])
    assert types(database) == ["rendered", "approved"]
    assert told(database)[0] == one


def test_numbers_are_not_used_again(database: Database, file: Path) -> None:
    database.note("a", {}, [Event.of("a", "video.rendered", n, NOW, {}) for n in range(3)])
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("delete from events")
    database.note("a", {}, [Event.of("a", "video.rendered", 9, NOW, {})])
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("select seq from events").fetchall() == [(4,)]
