"""What people are told of the language model's price: by status and by the doctor; and what is refused at receipt."""

import json
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cm_assets.models.spending import Price, Reply, Usage
from cm_assets.storage.database import Database
from cm_assets.storage.spending import Budget, Spending
from cm_assets_tests.conftest import Home, until
from cm_assets_tests.emulators.openai_server import OpenAIServer, counted
from cm_assets_tests.test_make import slots_taken, unfinished

PRICE = Price(prompt=Decimal("0.25"), completion=Decimal(2), cached=Decimal("0.025"))


@pytest.fixture
def writing(home: Home) -> Home:
    """A home with a language model that nobody asks."""
    home.variables |= {"OPENAI_API_KEY": "sk-none", "CM_BUDGET_PER_DAY": "1.50"}
    return home


def topic(home: Home, **wishes: object) -> str:
    request = home.folder / "topic.json"
    request.write_text(json.dumps({"topic": "why the sea is salty"} | wishes))
    done = home.run("submit", request)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def spend(home: Home, video: str, price: Price | None) -> None:
    database = Database(f"sqlite:///{home.path / 'cm.sqlite'}")
    spending = Spending(database, video, -1, model="gpt-5-mini", price=price, budget=Budget())
    usage = Usage(prompt=1_000, completion=6_005)
    spending.settle(spending.reserve("x", usage), Reply(content="{}", usage=usage))
    database.dispose()


def test_status_and_the_doctor_say_what_was_spent(writing: Home) -> None:
    video = topic(writing)
    assert writing.told(video)["cost"] == 0
    assert "writing cost" not in writing.run("status", video).stdout
    spend(writing, video, PRICE)
    assert writing.told(video)["cost"] == 0.01226
    shown = writing.run("status", video).stdout
    assert "writing cost" in shown
    assert "$0.0123" in shown
    doctor = " ".join(writing.run("doctor").stdout.split())
    assert "$0.25/$2.00 a million tokens; $0.0123 spent today; budget: $1.50 a day" in doctor
    spend(writing, video, None)
    assert writing.told(video)["cost"] is None
    assert "unknown: set CM_PRICES" in writing.run("status", video).stdout


def test_a_budget_without_a_price_is_refused_and_the_doctor_says_so(writing: Home) -> None:
    writing.variables["CM_OPENAI_MODEL"] = "qwen3:8b"
    done = writing.run("submit", "why the sea is salty", "--json")
    assert done.returncode == 2
    (error,) = json.loads(done.stdout)["errors"]
    assert error["field"] == "topic"
    assert 'CM_PRICES="qwen3:8b=0.25/2.00"' in error["message"]
    doctor = writing.run("doctor")
    assert doctor.returncode == 1
    assert "CM_PRICES" in doctor.stdout
    writing.variables["CM_PRICES"] = "qwen3:8b=0/0"
    topic(writing, budget=0.05)


def test_a_price_that_makes_no_sense_is_named(writing: Home) -> None:
    writing.variables["CM_PRICES"] = "gpt-5-mini=cheap"
    done = writing.run("doctor")
    assert done.returncode == 2
    assert "CM_PRICES" in done.stderr
    assert "gpt-5-mini=0.25/2.00" in done.stderr


@pytest.mark.live
def test_when_the_days_budget_is_used_up_topics_wait_until_tomorrow_and_nothing_else_does(home: Home) -> None:
    home.variables |= {"CM_OPENAI_MODEL": "m", "CM_PRICES": "m=1/10", "CM_BUDGET_PER_DAY": "0.07"}
    with OpenAIServer([counted(3_000, 4_000)] * 2) as server:
        home.variables["OPENAI_BASE_URL"] = server.base_url
        process = home.start("up", "--port", "0")
        videos = [topic(home, target_seconds=14, seed=number, music="none") for number in range(2)]

        def waiting() -> list[str]:
            told = {video: home.told(video) for video in videos}
            return [video for video, status in told.items() if "is used up: $0.043" in status["waiting_for"]]

        assert until(lambda: len(waiting()) == 1, 120, 0.5), home.run("list").stdout
        (held,) = waiting()
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        assert f"{tomorrow}T00:00:0" in home.told(held)["waiting_for"]
        (lucky,) = set(videos) - {held}
        assert home.run("watch", lucky).returncode == 0
        assert home.told(lucky)["cost"] == 0.043
        assert home.made(home.request())["state"] == "published"
        assert home.told(held)["state"] == "queued"
        assert (unfinished(home), slots_taken(home), len(server.requests)) == (0, 0, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
