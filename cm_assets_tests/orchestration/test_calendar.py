"""The calendar's looks: each date once, whatever breaks or dies in between."""

import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cm_assets.lifecycle.catalogue import catalogue
from cm_assets.lifecycle.documents import RequestError
from cm_assets.lifecycle.intake import Accepted
from cm_assets.orchestration import calendar as calendars
from cm_assets.orchestration.calendar import Calendar, backfill, read_calendar
from cm_assets.settings import Settings
from cm_assets.storage.database import Database

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HELLO: dict[str, Any] = {"scenes": [{"text": "Hello, it is {{ date.strftime('%A') }}."}], "music": "none"}


def entry(**fields: Any) -> dict[str, Any]:
    return {"name": "fact", "cron": "0 7 * * *", "request": HELLO} | fields


class Place:
    """A home with a calendar, and what has come of it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder)
        self.database = Database(self.settings.database)
        self.known = catalogue(self.settings)
        self.file = self.settings.calendar_file
        self.versions = 0
        self.calendar = self.another()

    def another(self) -> Calendar:
        return Calendar(self.file, self.file.parent / "engine" / "calendar.yaml", self.database, lambda: self.known)

    def write(self, *entries: dict[str, Any], text: str | None = None) -> None:
        self.file.write_text(json.dumps({"entries": list(entries)}) if text is None else text)
        self.versions += 1
        long_ago = time.time() - 3600 + self.versions
        os.utime(self.file, (long_ago, long_ago))

    def keys(self) -> list[str]:
        stored = self.database.newest(limit=5000)
        assert {one.source for one in stored} <= {"calendar"}
        return sorted(one.key for one in stored)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_without_a_calendar_nothing_happens(place: Place) -> None:
    assert place.calendar.tick(NOON) == 0
    assert place.keys() == []


def test_each_date_becomes_one_request(place: Place) -> None:
    place.write(entry(), entry(name="other", cron="0 8 * * *"))
    assert place.calendar.tick(NOON) == 0
    for hour in range(24):
        place.calendar.tick(NOON + timedelta(hours=hour))
    assert place.keys() == ["fact:2026-11-25T07:00:00Z", "other:2026-11-25T08:00:00Z"]
    stored = place.database.find("calendar", "fact:2026-11-25T07:00:00Z")
    assert stored is not None
    assert stored.document["scenes"][0]["text"] == "Hello, it is Wednesday."


def test_a_restart_and_a_second_process_repeat_nothing(place: Place) -> None:
    place.write(entry())
    place.calendar.tick(NOON)
    due = NOON.replace(hour=7) + DAY
    counts = [one.tick(due) for one in (place.calendar, place.another(), place.another())]
    assert counts == [1, 0, 0]
    assert len(place.keys()) == 1


def test_many_at_once_make_one(place: Place) -> None:
    place.write(entry())
    place.calendar.tick(NOON)
    start, counts = threading.Barrier(6), []

    def look() -> None:
        mine = Database(place.settings.database)
        kept = place.settings.home / "engine" / "calendar.yaml"
        one = Calendar(place.file, kept, mine, lambda: place.known)
        start.wait()
        counts.append(one.tick(NOON.replace(hour=7) + DAY))
        mine.dispose()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 0, 0, 0, 1]
    assert len(place.keys()) == 1


@pytest.mark.parametrize("where", ["plan", "due", "_request_date", "accept", "move_cursor", "next_look", "_keep"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_anywhere_neither_loses_nor_doubles(
    place: Place, monkeypatch: pytest.MonkeyPatch, where: str, when: str
) -> None:
    class Killed(BaseException):
        pass

    owner = {"move_cursor": Database, "_keep": Calendar}.get(where, calendars)
    real = getattr(owner, where)

    def dying(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        raise Killed

    place.write(entry(missed="catch_up", start="2026-11-22"))
    with monkeypatch.context() as patch:
        patch.setattr(owner, where, dying)
        with pytest.raises(Killed):
            place.calendar.tick(NOON)
    place.another().tick(NOON + timedelta(minutes=20))
    assert place.keys() == [f"fact:2026-11-{day}T07:00:00Z" for day in (22, 23, 24)]


def test_missed_dates_are_said_and_left_out_or_made(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.write(entry(), entry(name="all", missed="catch_up", catch_up_limit=2))
    place.calendar.tick(NOON)
    place.another().tick(NOON + 3 * DAY)
    assert place.keys() == ["all:2026-11-26T07:00:00Z", "all:2026-11-27T07:00:00Z"]
    assert "fact: 3 missed dates are left out, from 2026-11-25T07:00:00Z to 2026-11-27T07:00:00Z" in caplog.text
    assert "all: 1 missed dates are left out, from 2026-11-25T07:00:00Z" in caplog.text


def test_what_was_served_but_not_noted_is_not_called_missed(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.write(entry())
    place.calendar.tick(NOON)
    noted = place.database.cursor("calendar:fact")
    place.calendar.tick(NOON.replace(hour=7) + DAY)
    place.database.move_cursor("calendar:fact", noted)
    place.another().tick(NOON + DAY)
    assert len(place.keys()) == 1
    assert "missed" not in caplog.text


def test_times_that_an_entry_has_only_now_were_not_missed(place: Place) -> None:
    place.write(entry(missed="catch_up"))
    place.calendar.tick(NOON)
    place.calendar.tick(NOON + DAY)
    place.write(entry(missed="catch_up", cron="0 * * * *"))
    place.calendar.tick(NOON + DAY + timedelta(minutes=1))
    assert place.keys() == ["fact:2026-11-25T07:00:00Z"]


def test_a_broken_file_stops_nothing_not_even_after_a_restart(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.write(entry())
    place.calendar.tick(NOON)
    place.write(text="entries: [")
    place.calendar.tick(NOON)
    place.calendar.tick(NOON.replace(hour=7) + DAY)
    assert "not valid YAML" in caplog.text
    place.another().tick(NOON.replace(hour=7) + 2 * DAY)
    assert place.keys() == ["fact:2026-11-25T07:00:00Z", "fact:2026-11-26T07:00:00Z"]
    place.file.unlink()
    place.another().tick(NOON.replace(hour=7) + 3 * DAY)
    assert len(place.keys()) == 2


def test_a_wrong_entry_takes_only_itself_down_and_is_said_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.write(
        entry(),
        entry(name="bad", cron="0 7 30 2 *"),
        entry(name="worse", request={"scenes": [{"text": "{{ nobody }}"}]}),
    )
    place.calendar.tick(NOON)
    assert "bad.cron" in caplog.text
    assert "worse.request.scenes.0.text" in caplog.text
    caplog.clear()
    for minute in range(4):
        place.calendar.tick(NOON.replace(hour=7, minute=minute) + DAY)
    assert place.keys() == ["fact:2026-11-25T07:00:00Z"]
    assert len([one for one in caplog.records if "worse" in one.message]) == 1


def test_a_date_that_failed_is_made_when_its_entry_is_put_right(place: Place) -> None:
    place.write(entry(missed="catch_up", request=HELLO | {"voice": "nobody"}))
    place.calendar.tick(NOON)
    place.calendar.tick(NOON + 2 * DAY)
    assert place.keys() == []
    place.write(entry(missed="catch_up"))
    place.calendar.tick(NOON + 2 * DAY)
    assert place.keys() == ["fact:2026-11-25T07:00:00Z", "fact:2026-11-26T07:00:00Z"]


def test_one_date_that_fails_does_not_hold_up_the_next(place: Place) -> None:
    text = "{{ {4: 'Thursday', 5: 'Friday'}[date.isoweekday()] }}"
    place.write(entry(missed="catch_up", request={"scenes": [{"text": text}], "music": "none"}))
    place.calendar.tick(NOON)
    place.calendar.tick(NOON + 3 * DAY)
    assert place.keys() == ["fact:2026-11-26T07:00:00Z", "fact:2026-11-27T07:00:00Z"]


def test_the_same_id_for_two_dates_is_an_error_and_not_a_repeat(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    same = {"scenes": [{"text": "Hello."}], "music": "none", "id": "hello"}
    place.write(entry(missed="catch_up", request=same))
    place.calendar.tick(NOON)
    place.calendar.tick(NOON + 2 * DAY)
    assert place.keys() == ["fact:2026-11-25T07:00:00Z"]
    assert "fact.request.id: video hello is another date's" in caplog.text


def test_with_a_lead_the_request_comes_earlier_and_says_when_to_publish(place: Place) -> None:
    place.write(entry(lead="2h"))
    place.calendar.tick(NOON)
    due = NOON.replace(hour=5) + DAY
    assert place.calendar.tick(due - timedelta(seconds=1)) == 0
    assert place.calendar.tick(due) == 1
    (stored,) = place.database.newest(limit=9)
    assert stored.key == "fact:2026-11-25T07:00:00Z"
    assert stored.document["publish_at"] == "2026-11-25T07:00:00Z"


def test_between_two_dates_neither_file_nor_database_is_touched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(entry())
    place.calendar.tick(NOON)

    def touched(*_arguments: object, **_named: object) -> None:
        raise AssertionError("was touched")

    monkeypatch.setattr(Path, "read_bytes", touched)
    monkeypatch.setattr(Database, "_engine", property(touched))
    place.calendar.tick(NOON + timedelta(minutes=9))
    with pytest.raises(AssertionError):
        place.calendar.tick(NOON + timedelta(minutes=11))


def test_a_file_that_is_being_written_is_waited_for(place: Place) -> None:
    place.file.write_text("entries: []")
    version = place.calendar._version()
    assert version is None
    os.utime(place.file, (1, 1))
    assert place.calendar._version() is not None


def test_a_file_that_cannot_be_read_is_said_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.file.mkdir()
    os.utime(place.file, (1, 1))
    place.calendar.tick(NOON)
    place.calendar.tick(NOON)
    assert len(caplog.records) == 1


# Backfill


def filled(place: Place, first: str, last: str, now: datetime = NOON) -> list[Accepted]:
    plan = read_calendar(place.file)
    assert plan is not None
    days = (datetime.fromisoformat(first).date(), datetime.fromisoformat(last).date())
    return backfill(plan.entries[0], *days, place.database, place.known, now)


def test_a_backfill_asks_for_past_dates_each_once(place: Place) -> None:
    place.write(entry(topics=["a", "b", "c"], request=HELLO | {"post": {"title": "{{ topic }}"}}))
    first = filled(place, "2026-11-20", "2026-11-22")
    assert [one.repeated for one in first] == [False] * 3
    again = filled(place, "2026-11-19", "2026-11-22")
    assert [one.repeated for one in again] == [False, True, True, True]
    titles = [one.stored.document["post"]["title"] for one in again]
    assert len(set(titles[:3])) == 3
    assert titles[3] == titles[0]


def test_a_backfill_and_the_calendar_do_not_double(place: Place) -> None:
    place.write(entry())
    place.calendar.tick(NOON)
    place.calendar.tick(NOON.replace(hour=7) + DAY)
    (one,) = filled(place, "2026-11-25", "2026-11-25", NOON + DAY)
    assert one.repeated
    place.write(entry(request=HELLO | {"speed": 1.2}))
    (one,) = filled(place, "2026-11-25", "2026-11-25", NOON + DAY)
    assert one.repeated


def test_a_backfill_of_today_stops_now(place: Place) -> None:
    place.write(entry(cron="0 */6 * * *"))
    assert [one.stored.key[-9:] for one in filled(place, "2026-11-24", "2026-11-24")] == [
        "00:00:00Z",
        "06:00:00Z",
        "12:00:00Z",
    ]


@pytest.mark.parametrize(
    ("first", "last", "cron", "said"),
    [
        ("2026-11-22", "2026-11-20", "0 7 * * *", "--from: 2026-11-22 is after 2026-11-20"),
        ("2026-11-22", "2026-11-25", "0 7 * * *", "--to: 2026-11-25 is to come"),
        ("2026-11-01", "2026-11-20", "* * * * *", "more than 1000 dates"),
    ],
)
def test_what_is_no_range_of_past_days_is_refused(place: Place, first: str, last: str, cron: str, said: str) -> None:
    place.write(entry(cron=cron))
    with pytest.raises(ValueError, match=said):
        filled(place, first, last)
    assert place.keys() == []


def test_a_backfill_with_one_bad_date_stores_nothing(place: Place) -> None:
    text = "{{ {5: 'Friday'}[date.isoweekday()] }}"
    place.write(entry(request={"scenes": [{"text": text}], "music": "none"}))
    with pytest.raises(RequestError, match=r"fact\.request\.scenes\.0\.text"):
        filled(place, "2026-11-20", "2026-11-21")
    assert place.keys() == []
