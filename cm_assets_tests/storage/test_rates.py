"""Limits hold over processes and restarts, and say how long to wait."""

import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from cm_assets.models.base import AskedToWait
from cm_assets.models.days import PACIFIC, began, over
from cm_assets.settings import RATES, Settings
from cm_assets.storage import rates as rating
from cm_assets.storage.rates import Rates


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rates.sqlite'}"
    from cm_assets_tests.postgres import new_database

    return new_database(request.getfixturevalue("postgres"))


def take(url: str, limits: list[tuple[int, float]], times: int) -> int:
    """How many of so many calls are let through."""
    rates, count = Rates(url, {"openai": limits}), 0
    for _ in range(times):
        try:
            rates.take("openai")
        except AskedToWait:
            continue
        count += 1
    return count


def _child(url: str, results: "multiprocessing.Queue[int]") -> None:
    results.put(take(url, [(10, 3600)], 8))


def test_so_many_go_through_and_the_next_is_told_to_wait(url: str) -> None:
    assert take(url, [(3, 60)], 5) == 3
    with pytest.raises(AskedToWait, match="openai may be called 3 in a minute") as told:
        Rates(url, {"openai": [(3, 60)]}).take("openai")
    assert 50 < told.value.seconds <= 60


def test_the_window_moves_on(url: str) -> None:
    assert take(url, [(2, 2.0)], 3) == 2
    with pytest.raises(AskedToWait) as told:
        Rates(url, {"openai": [(2, 2.0)]}).take("openai")
    time.sleep(told.value.seconds + 0.01)
    assert take(url, [(2, 2.0)], 1) == 1


def test_every_limit_counts(url: str) -> None:
    assert take(url, [(5, 86400), (3, 2.0)], 4) == 3
    time.sleep(2.1)
    assert take(url, [(5, 86400), (3, 2.0)], 4) == 2
    with pytest.raises(AskedToWait) as told:
        Rates(url, {"openai": [(5, 86400), (3, 2.0)]}).take("openai")
    assert told.value.seconds > 80000


def seconds_left(url: str, limits: list[tuple[int, float]]) -> float:
    with pytest.raises(AskedToWait) as told:
        Rates(url, {"youtube": limits}).take("youtube")
    return told.value.seconds


def note(url: str, *times: datetime) -> None:
    """Calls that were made earlier."""
    from pyrate_limiter import RateItem

    with Rates(url, {})._bucket("youtube", [(1000, 1e6)], None) as bucket:
        for moment in times:
            assert bucket.put(RateItem("youtube", round(moment.timestamp() * 1000)))


def test_youtube_s_day_is_that_of_california(url: str) -> None:
    rates, today = Rates(url, {"youtube": [(3, 86400.0)]}), began(datetime.now(UTC), PACIFIC)
    note(url, *[today - timedelta(milliseconds=1)] * 5, today)
    rates.take("youtube")
    rates.take("youtube")
    with pytest.raises(AskedToWait, match=r"youtube may be called 3 in a day: no call is left until .* UTC") as told:
        rates.take("youtube")
    until = datetime.now(UTC) + timedelta(seconds=told.value.seconds)
    assert abs(until - over(datetime.now(UTC), PACIFIC)) < timedelta(seconds=30)


def test_other_windows_of_youtube_s_move_on(url: str) -> None:
    limits = [(2, 3600.0), (40, 86400.0)]
    now = datetime.now(UTC)
    note(url, now - timedelta(minutes=59), now - timedelta(minutes=10))
    assert 0 < seconds_left(url, limits) <= 60


@pytest.mark.parametrize(
    ("now", "hours"),
    [(datetime(2026, 11, 1, 7, tzinfo=UTC), 25), (datetime(2026, 3, 8, 8, tzinfo=UTC), 23)],
)
def test_a_full_day_lasts_as_long_as_it_does(now: datetime, hours: int) -> None:
    from pyrate_limiter import Rate

    milliseconds = round(now.timestamp() * 1000)
    windows, day = rating._windows()(PACIFIC), Rate(1, 86_400_000)
    assert windows.window_start(day, milliseconds) == milliseconds
    assert windows.retry_after(day, milliseconds, None) == hours * 3_600_000 + 60_000
    end = milliseconds + hours * 3_600_000
    assert windows.window_start(day, end - 1) == milliseconds
    assert windows.window_start(day, end) == end


def test_every_pair_of_limits_that_is_taken_can_be_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CM_RATES", "youtube=50/day,1/second,3/minute,10/hour; openai=1/minute,60/hour")
    limited = Rates(f"sqlite:///{tmp_path / 'rates.sqlite'}", Settings(home=tmp_path).rates)
    for service in ("youtube", "openai"):
        limited.take(service)
        with pytest.raises(AskedToWait):
            list(map(limited.take, [service] * 3))  # a second may pass between two of them


def test_the_day_s_number_is_the_user_s_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CM_RATES", "youtube=2/day")
    chosen = Rates(f"sqlite:///{tmp_path / 'rates.sqlite'}", Settings(home=tmp_path).rates)
    chosen.take("youtube")
    chosen.take("youtube")
    with pytest.raises(AskedToWait, match="2 in a day"):
        chosen.take("youtube")


def test_a_service_without_limits_is_never_held_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rates.sqlite'}"
    Rates(url, {}).take("openai")
    assert list(tmp_path.iterdir()) == []


def test_processes_share_one_count(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_child, args=(url, results)) for _ in range(3)]
    for process in processes:
        process.start()
    total = sum(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    results.close()
    assert total == 10


def test_settings_say_limits_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_RATES", "openai=10/minute, 500/day")
    assert Settings().rates == {**RATES, "openai": ((10, 60.0), (500, 86400.0))}


@pytest.mark.parametrize(
    "wrong",
    [
        *("openai=ten/minute", "openai=10/fortnight", "openai=0/day", "nobody=1/day", "openai"),
        *("youtube=2/hour,50/day", "youtube=50/hour,50/day", "youtube=60/day,50/hour,50/hour"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("CM_RATES", wrong)
    with pytest.raises(ValidationError, match="rates"):
        Settings()
