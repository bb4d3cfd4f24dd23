"""What a calendar may say, which dates are due, what request they stand for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cm_assets.lifecycle.calendar import GRACE, Planned, due, next_look, plan
from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.lifecycle.documents import RequestError

HERE = Catalogue(voices=("af_heart",), music=("chill", "none"), clips=(), topics=None)
NOW = datetime(2026, 11, 24, 7, 0, 0, 300_000, tzinfo=UTC)
DAY = timedelta(days=1)


def entry(**fields: Any) -> dict[str, Any]:
    return {"name": "fact", "cron": "0 7 * * *", "request": {"topic": "tides"}} | fields


def planned(**fields: Any) -> Planned:
    found = plan(json.dumps({"entries": [entry(**fields)]}))
    assert not found.problems
    return found.entries[0]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"cron": "0 7 30 2 *"}, "fact.cron", "never|ever"),
        ({"cron": "0 7 31 4,6 *"}, "fact.cron", "ever"),
        ({"cron": "61 * * * *"}, "fact.cron", "minute"),
        ({"cron": "* * * *"}, "fact.cron", "five fields"),
        ({"cron": "0 0 7 * * *"}, "fact.cron", "five fields"),
        ({"cron": None}, "fact", "one of cron and dates"),
        ({"dates": ["2026-12-24T18:00"]}, "fact", "one of cron and dates"),
        ({"cron": None, "dates": ["2026-12-24"]}, "fact.dates", "needs a time"),
        ({"cron": None, "dates": ["2026-03-29T02:30"], "timezone": "Europe/Berlin"}, "fact", "does not exist"),
        ({"timezone": "Europe/Atlantis"}, "fact.timezone", "no time zone"),
        ({"timezone": "/etc/passwd"}, "fact.timezone", "no time zone"),
        ({"timezone": "Europe"}, "fact.timezone", "no time zone"),
        ({"lead": "2 hours"}, "fact.lead", "2h"),
        ({"lead": "90d"}, "fact.lead", "30 days"),
        ({"missed": "maybe"}, "fact.missed", "skip"),
        ({"start": "2026-12-01", "end": "2026-11-01"}, "fact", "end"),
        ({"topics": []}, "fact.topics", "at least 1"),
        ({"colour": "red"}, "fact.colour", "docs/calendar.md"),
        ({"request": None}, "fact.request", "valid"),
        ({"name": "No Slug"}, "No Slug.name", "pattern"),
    ],
)
def test_a_wrong_entry_is_named_with_its_field_and_takes_only_itself_down(
    fields: dict[str, Any], field: str, said: str
) -> None:
    found = plan(json.dumps({"entries": [entry(**fields), entry(name="other")]}))
    assert [one.name for one in found.entries] == ["other"]
    (problem,) = found.problems
    assert problem.field == field
    assert any(word in problem.message for word in said.split("|")), problem.message


@pytest.mark.parametrize(
    ("text", "field"), [("entries: [", "calendar"), ("[]", "calendar"), ("entries: 3", "entries"), ("plan: []", "plan")]
)
def test_what_is_no_calendar_is_refused_whole(text: str, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        plan(text)
    assert caught.value.problems[0].field == field


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "entries:\n", "entries: []\n"])
def test_an_empty_calendar_is_one(text: str) -> None:
    if text.startswith("#"):
        text += "entries: []\n"
    assert plan(text).entries == ()


def test_of_two_entries_of_one_name_the_first_counts() -> None:
    found = plan(json.dumps({"entries": [entry(), entry(cron="0 8 * * *")]}))
    assert [one.entry.cron for one in found.entries] == ["0 7 * * *"]
    assert found.problems[0].field == "entries.1.name"


def test_yaml_dates_and_macros() -> None:
    text = """
entries:
  - {name: a, cron: "@daily", start: 2026-11-01, end: 2026-11-03, lead: 1h30m, request: {topic: x}}
  - {name: b, dates: [2026-12-24T18:00, 2026-12-25T18:00:00], timezone: Europe/Berlin, request: {topic: x}}
"""
    a, b = plan(text).entries
    assert [one.day for one in a.timetable.after(at("2026-01-01"))] == [1, 2, 3]
    assert a.entry.lead == timedelta(minutes=90)
    assert [one.isoformat()[:16] for one in b.timetable.after(at("2026-01-01"))] == [
        "2026-12-24T18:00",
        "2026-12-25T18:00",
    ]


# What a date stands for


def test_every_string_of_the_request_is_a_template() -> None:
    one = planned(
        timezone="Europe/Berlin",
        start="2026-11-23",
        topics=["otters", "bees"],
        request={
            "scenes": [{"text": "{{ date.strftime('%A %H:%M') }}: {{ topic }}", "search_terms": ["{{ topic }}"]}],
            "post": {"title": "{{ name }} {{ n }}"},
            "priority": 3,
        },
    )
    first, second, third = (one.request(date, NOW) for date in _first(one, 3))
    assert first.scenes is not None
    assert (first.scenes[0].text, first.scenes[0].search_terms) == ("Monday 07:00: otters", ("otters",))
    assert (first.post.title, second.post.title, first.priority) == ("fact 1", "fact 2", 3)
    assert second.scenes is not None
    assert third.scenes is not None
    assert [second.scenes[0].search_terms, third.scenes[0].search_terms] == [("bees",), ("otters",)]


def _first(one: Planned, many: int) -> list[datetime]:
    dates = one.timetable.after(at("2026-01-01"))
    return [next(dates) for _ in range(many)]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"topic": "{{ topic }}"}, "fact.request.topic"),
        ({"topic": "{{ date.strftime( }}"}, "fact.request.topic"),
        ({"topic": "{{ 1 / 0 }}"}, "fact.request.topic"),
        ({"topic": "{{ 'a' + 1 }}"}, "fact.request.topic"),
        ({"topic": "{{ date.__class__.__mro__ }}"}, "fact.request.topic"),
        ({"topic": "{{ ''.__class__.__mro__[1].__subclasses__() }}"}, "fact.request.topic"),
        ({"topic": "{{ range(10 ** 9) | list }}"}, "fact.request.topic"),
        ({"topic": "{{ 9 ** 9 ** 9 }}"}, "fact.request.topic"),
        ({"topic": "{{ 'a' * 10000000000 }}"}, "fact.request.topic"),
        ({"topic": "x", "post": {"hashtags": ["a", "{{ nobody }}"]}}, "fact.request.post.hashtags.1"),
        ({"topic": "x", "speed": "{{ n * 100 }}"}, "fact.request.speed"),
        ({"topic": "x", "colour": "red"}, "fact.request.colour"),
        ({}, "fact.request"),
        ({"topic": "x", "voice": "nobody"}, "fact.request.voice"),
        ({"topic": "x", "id": "always-the-same"}, "fact.request.id"),
    ],
)
def test_what_is_wrong_with_coming_requests_is_found_before_they_are_due(request_: dict[str, Any], field: str) -> None:
    problems = planned(request=request_).check(HERE, NOW)
    assert {problem.field for problem in problems} == {field}


def test_a_good_entry_has_no_problems_and_one_without_dates_has() -> None:
    assert planned(request={"topic": "x", "id": "fact-{{ n }}"}).check(HERE, NOW) == []
    never = planned(cron="0 7 29 2 *", start="2026-01-01", end="2026-12-31")
    assert "no dates" in never.check(HERE, NOW)[0].message


def test_with_a_lead_the_video_is_published_at_the_date_or_at_once_if_that_is_past() -> None:
    one = planned(lead="2h")
    assert one.request(at("2026-11-24T08:00"), NOW).publish_at == at("2026-11-24T08:00")
    assert one.request(at("2026-11-24T07:00"), NOW).publish_at is None
    with pytest.raises(RequestError, match="publish_at: is said by lead"):
        planned(lead="2h", request={"topic": "x", "publishAt": "2026-12-01T00:00:00Z"}).request(NOW, NOW)


def test_the_key_is_the_same_in_every_zone() -> None:
    one = planned(timezone="Europe/Berlin", cron="0 7 * * *")
    assert one.key(_first(one, 1)[0]) == "fact:2026-01-01T06:00:00Z"


# Which dates are due


def test_an_entry_that_is_new_starts_now() -> None:
    owed = due(planned(missed="catch_up"), None, NOW + DAY / 2)
    assert (owed.dates, owed.missed) == ((), ())
    assert due(planned(missed="catch_up"), owed.served_to, NOW + DAY).dates == (at("2026-11-25T07:00"),)


def test_an_entry_that_is_new_and_catches_up_starts_at_its_start() -> None:
    owed = due(planned(missed="catch_up", start="2026-11-22", catch_up_limit=2), None, NOW)
    assert owed.dates == (at("2026-11-23T07:00"), at("2026-11-24T07:00"))
    assert owed.missed == (at("2026-11-22T07:00"),)
    assert due(planned(start="2026-11-22"), None, NOW + DAY / 2).dates == ()
    assert due(planned(missed="catch_up", start="2026-12-01"), None, NOW).dates == ()


def test_a_date_is_due_once() -> None:
    before = NOW - timedelta(seconds=1)
    assert due(planned(), at("2026-11-23T07:00"), before).dates == ()
    owed = due(planned(), at("2026-11-23T07:00"), NOW)
    assert owed.dates == (at("2026-11-24T07:00"),)
    assert due(planned(), owed.served_to, NOW).dates == ()
    assert next_look(planned(), NOW) == at("2026-11-25T07:00")


def test_what_was_missed_is_left_out_or_made_up_for() -> None:
    since = at("2026-11-20T07:00")
    later = NOW + DAY / 2
    skipped = due(planned(), since, later)
    assert (skipped.dates, len(skipped.missed), skipped.served_to) == ((), 4, later.replace(microsecond=0))
    made = due(planned(missed="catch_up", catch_up_limit=3), since, later)
    assert [one.day for one in made.dates] == [22, 23, 24]
    assert [one.day for one in made.missed] == [21]


def test_a_restart_skips_nothing() -> None:
    since, date = at("2026-11-23T07:00"), at("2026-11-24T07:00")
    assert due(planned(), since, date + GRACE - timedelta(seconds=1)).dates == (date,)
    assert due(planned(), since, date + GRACE).missed == (date,)


def test_with_a_lead_a_date_that_is_still_to_come_is_not_missed() -> None:
    one, since = planned(lead="1d"), at("2026-11-23T07:00")
    assert due(one, since, at("2026-11-24T06:00")).dates == (at("2026-11-24T07:00"),)
    assert next_look(one, at("2026-11-24T06:00")) == at("2026-11-24T07:00")
    assert due(one, None, at("2026-11-24T06:00")).dates == (at("2026-11-24T07:00"),)


def test_a_clock_that_was_wrong_silences_nothing() -> None:
    assert due(planned(), at("2036-01-01"), NOW).served_to == NOW.replace(microsecond=0)


def test_years_of_missed_minutes_are_not_all_counted() -> None:
    owed = due(planned(cron="* * * * *"), at("2020-01-01"), NOW)
    assert len(owed.missed) == 1000
    assert len(owed.dates) == 5
