"""When entries are due: clocks that change, leap days, numbers of dates."""

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.lifecycle.timetable import Timetable
from cm_assets.models.calendar import CalendarEntry

BERLIN = "Europe/Berlin"


def table(**fields: Any) -> Timetable:
    return Timetable(CalendarEntry.model_validate({"name": "one", "request": {}} | fields))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def said(timetable: Timetable, since: str, many: int) -> list[str]:
    return [one.isoformat() for one in islice(timetable.after(utc(since)), many)]


def test_half_past_two_comes_once_on_the_days_on_which_the_clocks_change() -> None:
    daily = table(cron="30 2 * * *", timezone=BERLIN)
    assert said(daily, "2026-03-28T12:00", 2) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert said(daily, "2026-10-24T12:00", 2) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


@pytest.mark.parametrize("minutes", range(0, 150, 10))
def test_asked_from_within_the_hour_that_comes_twice(minutes: int) -> None:
    daily = table(cron="30 2 * * *", timezone=BERLIN)
    due, now = utc("2026-10-25T00:30"), utc("2026-10-25T00:00") + timedelta(minutes=minutes)
    newest, following = next(daily.until(now)).astimezone(UTC), next(daily.after(now)).astimezone(UTC)
    assert newest == (due if now >= due else due - timedelta(days=1))
    assert following == (due if now < due else due + timedelta(days=1, hours=1))


def test_every_half_hour_goes_on_through_the_hour_that_comes_twice() -> None:
    often = table(cron="*/30 * * * *", timezone=BERLIN)
    dates = [datetime.fromisoformat(one).astimezone(UTC) for one in said(often, "2026-10-24T23:59", 6)]
    assert dates == [utc("2026-10-25T00:00") + timedelta(minutes=30) * number for number in range(6)]


def test_the_29th_of_february() -> None:
    assert [one[:10] for one in said(table(cron="0 9 29 2 *"), "2026-01-01", 3)] == [
        "2028-02-29",
        "2032-02-29",
        "2036-02-29",
    ]


def test_start_and_end_are_within_and_a_day_is_a_whole_day() -> None:
    daily = table(cron="0 7 * * *", timezone=BERLIN, start="2026-11-02", end="2026-11-04")
    assert said(daily, "2026-01-01", 9) == [f"2026-11-0{day}T07:00:00+01:00" for day in (2, 3, 4)]
    assert [one.day for one in daily.until(utc("2027-01-01"))] == [4, 3, 2]


def test_given_dates_come_in_order_and_each_once() -> None:
    given_dates = table(
        dates=["2026-12-24T18:00", "2026-12-01T18:00", "2026-12-24T17:00:00Z"], timezone=BERLIN, end="2026-12-30"
    )
    assert said(given_dates, "2026-01-01", 9) == ["2026-12-01T18:00:00+01:00", "2026-12-24T18:00:00+01:00"]
    assert [given_dates.ordinal(one) for one in given_dates.after(utc("2026-01-01"))] == [1, 2]


def test_dates_are_numbered_from_the_start_in_whatever_order_one_asks() -> None:
    daily = table(cron="0 7 * * *", start="2026-11-01")
    dates = list(islice(daily.after(utc("2026-01-01")), 40))
    assert [daily.ordinal(dates[number]) for number in (39, 0, 20, 19, 21)] == [40, 1, 21, 20, 22]


def test_without_a_start_dates_are_numbered_from_2026_both_ways() -> None:
    daily = table(cron="0 7 * * *", timezone="America/New_York")
    first = next(daily.after(utc("2026-01-01T06:00")))
    assert [daily.ordinal(first + timedelta(days=days)) for days in (-2, -1, 0, 1)] == [-1, 0, 1, 2]


@settings(deadline=None, max_examples=80)
@given(
    cron=st.sampled_from(
        [
            "30 2 * * *",
            "0 2,3 * * *",
            "*/20 * * * *",
            "15 1-3 * * *",
            "0 * * * *",
            "5 2 1 * *",
            "0 0 * * 0",
            "0 0 L * *",
        ]
    ),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
    begin=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    hours=st.integers(1, 100),
)
def test_forwards_and_backwards_are_the_same_dates_each_once_and_in_order(
    cron: str, zone: str, begin: datetime, hours: int
) -> None:
    timetable = table(cron=cron, timezone=zone)
    since = begin.replace(tzinfo=UTC)
    to = since + timedelta(hours=hours)
    forwards = list(takewhile(lambda one: one <= to, timetable.after(since)))
    backwards = list(takewhile(lambda one: one > since, timetable.until(to)))
    moments = [one.astimezone(UTC) for one in forwards]
    assert moments == sorted(set(moments))
    assert moments == [one.astimezone(UTC) for one in reversed(backwards)]
