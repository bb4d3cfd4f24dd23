"""Limits hold over processes and restarts, and say how long to wait."""

import multiprocessing
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from cm_assets.models.base import AskedToWait
from cm_assets.settings import RATES, Settings
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
    assert take(url, [(2, 0.5)], 3) == 2
    with pytest.raises(AskedToWait) as told:
        Rates(url, {"openai": [(2, 0.5)]}).take("openai")
    time.sleep(told.value.seconds + 0.01)
    assert take(url, [(2, 0.5)], 1) == 1


def test_every_limit_counts(url: str) -> None:
    assert take(url, [(5, 86400), (3, 0.3)], 4) == 3
    time.sleep(0.4)
    assert take(url, [(5, 86400), (3, 0.3)], 4) == 2
    with pytest.raises(AskedToWait) as told:
        Rates(url, {"openai": [(5, 86400), (3, 0.3)]}).take("openai")
    assert told.value.seconds > 80000


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
    "wrong", ["openai=ten/minute", "openai=10/fortnight", "openai=0/day", "nobody=1/day", "openai"]
)
def test_a_limit_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("CM_RATES", wrong)
    with pytest.raises(ValidationError, match="rates"):
        Settings()
