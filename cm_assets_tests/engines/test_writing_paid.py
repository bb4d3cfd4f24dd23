"""What a script costs: counted as the endpoint counts, kept within budgets, never paid twice."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from cm_assets.engines.writing.chat import limit_for
from cm_assets.engines.writing.openai import OpenAIWriter
from cm_assets.engines.writing.prices import price_of
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, TransientFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Scene, Script
from cm_assets.models.spending import Bill, Price
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.spending import Budget, Spending
from cm_assets_tests.emulators.openai_server import (
    BAD_KEY,
    BUSY,
    FILTERED,
    HTML_PAGE,
    INVALID_JSON,
    NO_SCHEMAS,
    OVERLOADED,
    RATE_LIMITED,
    REFUSAL,
    RESET,
    SERVER_ERROR,
    UNCOUNTED,
    Fault,
    OpenAIServer,
    counted,
    slow,
    truncated,
)

TOPIC = VideoRequest(topic="Night trains in Europe", target_seconds=40)
PRICE = Price(prompt=Decimal(1), completion=Decimal(10), cached=Decimal("0.1"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    yield one
    one.dispose()


def spending(database: Database, per_video: str = "", per_day: str = "", since: int = -1) -> Spending:
    budget = Budget(Decimal(per_video) if per_video else None, Decimal(per_day) if per_day else None)
    return Spending(database, "a-video", since, model="test-model", price=PRICE, budget=budget)


def writer(server: OpenAIServer, purse: Spending, timeout: float = 5.0) -> OpenAIWriter:
    return OpenAIWriter(model="test-model", base_url=server.base_url, api_key=None, purse=purse, timeout=timeout)


def test_tokens_and_cost_are_those_that_the_endpoint_counts(database: Database) -> None:
    purse = spending(database)
    with OpenAIServer([counted(1_000, 400, cached=600)]) as server:
        writer(server, purse).write(TOPIC)
    bill = purse.bill()
    assert (bill.calls, bill.prompt, bill.completion, bill.cached) == (1, 1_000, 400, 600)
    assert bill.cost == Decimal("0.00446")
    assert bill.seconds > 0


def test_a_call_never_costs_more_than_was_reserved_for_it(database: Database) -> None:
    purse = spending(database)
    with OpenAIServer([UNCOUNTED]) as server:
        writer(server, purse).write(TOPIC)
        sent = server.requests[0].body
    letters = sum(len(message["content"]) for message in sent["messages"])
    worst = purse.bill().cost
    assert worst is not None
    assert worst >= (letters + 10 * sent["max_tokens"]) / Decimal(1_000_000)


@pytest.mark.parametrize("fault", [BUSY, RATE_LIMITED, SERVER_ERROR, OVERLOADED, BAD_KEY, HTML_PAGE, Fault(400, "odd")])
def test_what_is_not_answered_is_not_paid(database: Database, fault: Fault) -> None:
    purse = spending(database)
    with OpenAIServer([fault]) as server, pytest.raises(Failure):
        writer(server, purse).write(TOPIC)
    assert purse.bill() == Bill()


def test_an_endpoint_that_cannot_be_reached_is_not_paid(database: Database) -> None:
    purse = spending(database)
    server = OpenAIServer()
    with server:
        pass
    with pytest.raises(TransientFailure, match="OPENAI_BASE_URL"):
        writer(server, purse).write(TOPIC)
    assert purse.bill() == Bill()


@pytest.mark.parametrize("fault", [RESET, slow(20), Fault(502), Fault(504), Fault(524)])
def test_a_call_that_broke_off_may_be_billed_and_counts(database: Database, fault: Fault) -> None:
    purse = spending(database)
    with OpenAIServer([fault]) as server, pytest.raises(TransientFailure):
        writer(server, purse, timeout=0.5).write(TOPIC)
    assert purse.bill().lost == 1
    assert purse.bill().cost != 0


def test_a_limit_of_calls_costs_nothing(database: Database) -> None:
    def no_room() -> None:
        raise AskedToWait("10 a minute", 6)

    purse = spending(database)
    with OpenAIServer() as server:
        limited = OpenAIWriter(
            model="m", base_url=server.base_url, api_key=None, purse=purse, before_call=no_room, timeout=5
        )
        with pytest.raises(AskedToWait, match="10 a minute"):
            limited.write(TOPIC)
        assert server.requests == []
    assert purse.bill() == Bill()


def test_an_answer_that_was_paid_is_found_again(database: Database) -> None:
    with OpenAIServer() as server:
        first = writer(server, spending(database)).write(TOPIC)
        assert writer(server, spending(database)).write(TOPIC) == first
        assert len(server.requests) == 1
        # Another wish is another question, and a script that was made is done with.
        writer(server, spending(database)).write(TOPIC.model_copy(update={"tone": "dry"}))
        writer(server, spending(database, since=5)).write(TOPIC)
        assert len(server.requests) == 3


def test_after_a_death_before_the_repair_only_the_repair_is_paid(database: Database) -> None:
    with OpenAIServer([INVALID_JSON, SERVER_ERROR]) as server:
        with pytest.raises(TransientFailure, match="500"):
            writer(server, spending(database)).write(TOPIC)
        writer(server, spending(database)).write(TOPIC)
        roles = [[message["role"] for message in sent.body["messages"]] for sent in server.requests]
    assert [len(one) for one in roles] == [2, 4, 4]
    assert spending(database).bill().calls == 2


def test_a_cut_answer_that_was_paid_is_mended_and_not_bought_again(database: Database) -> None:
    with OpenAIServer([truncated(), SERVER_ERROR]) as server:
        with pytest.raises(TransientFailure, match="500"):
            writer(server, spending(database)).write(TOPIC)
        writer(server, spending(database)).write(TOPIC)
        assert "cut off" in server.requests[2].body["messages"][3]["content"]


def test_two_unusable_answers_are_paid_and_not_found_by_the_retry(database: Database) -> None:
    with OpenAIServer([INVALID_JSON, INVALID_JSON]) as server:
        with pytest.raises(TransientFailure, match="twice"):
            writer(server, spending(database)).write(TOPIC)
        writer(server, spending(database)).write(TOPIC)
        assert len(server.requests) == 3
    assert spending(database).bill().calls == 3


@pytest.mark.parametrize("fault", [REFUSAL, FILTERED])
def test_a_refusal_is_paid_and_asked_anew(database: Database, fault: Fault) -> None:
    with OpenAIServer([fault]) as server:
        with pytest.raises(PermanentFailure, match="refuses"):
            writer(server, spending(database)).write(TOPIC)
        assert spending(database).bill().calls == 1
        writer(server, spending(database)).write(TOPIC)


def test_the_same_feedback_on_the_same_script_is_paid_once(database: Database) -> None:
    old = Script(title="Old", scenes=(Scene(text="An old scene.", search_terms=("old",)),), writer="openai")
    with OpenAIServer() as server:
        first = writer(server, spending(database, since=3)).revise(TOPIC, old, "Be brief.")
        assert writer(server, spending(database, since=3)).revise(TOPIC, old, "Be brief.") == first
        assert len(server.requests) == 1
        writer(server, spending(database, since=3)).revise(TOPIC, old, "Be long.")
        assert len(server.requests) == 2


def test_an_empty_purse_is_noticed_before_the_call(database: Database) -> None:
    with OpenAIServer() as server:
        with pytest.raises(PermanentFailure, match="budget of this video"):
            writer(server, spending(database, per_video="0.01")).write(TOPIC)
        assert server.requests == []


def test_a_repair_counts_too(database: Database) -> None:
    with OpenAIServer([INVALID_JSON]) as server:
        with pytest.raises(PermanentFailure, match="budget of this video"):
            writer(server, spending(database, per_video="0.06")).write(TOPIC)
        assert len(server.requests) == 1
    assert 0 < (spending(database).bill().cost or 0) < Decimal("0.06")


def test_options_that_a_server_refuses_are_one_call(database: Database) -> None:
    with OpenAIServer([NO_SCHEMAS]) as server:
        writer(server, spending(database)).write(TOPIC)
        assert len(server.requests) == 2
    assert spending(database).bill().calls == 1


def test_a_short_context_gets_a_shorter_limit(database: Database) -> None:
    with OpenAIServer(context=3000) as server:
        assert writer(server, spending(database)).write(TOPIC).scenes
    asked = [sent.body["max_tokens"] for sent in server.requests]
    assert all(later == earlier // 2 for earlier, later in itertools.pairwise(asked))
    assert len(asked) > 1


def test_a_context_that_holds_no_script_is_named_with_the_ways_on(database: Database) -> None:
    too_short = pytest.raises(PermanentFailure, match=r"OLLAMA_CONTEXT_LENGTH.*target_seconds.*context length is 900")
    with OpenAIServer(context=900) as server, too_short:
        writer(server, spending(database)).write(TOPIC)
    assert spending(database).bill() == Bill()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (None, "max_completion_tokens"),
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
    ],
)
def test_the_limit_is_called_as_each_server_calls_it(address: str | None, name: str) -> None:
    assert limit_for(address) == name


def test_prices_come_from_the_settings_first() -> None:
    listed = price_of("gpt-5-mini", {})
    assert listed == Price(prompt=Decimal("0.25"), completion=Decimal(2), cached=Decimal("0.025"))
    assert price_of("gpt-5-mini-2025-08-07", {}) == listed
    assert price_of("qwen3:8b", {}) is None
    own = {"gpt-5-mini": (Decimal(1), Decimal(2)), "qwen3:8b": (Decimal(0), Decimal(0), Decimal(0))}
    assert price_of("gpt-5-mini", own) == Price(prompt=Decimal(1), completion=Decimal(2), cached=Decimal(1))
    assert price_of("qwen3:8b", own) == Price(prompt=Decimal(0), completion=Decimal(0), cached=Decimal(0))


def test_settings_say_prices_and_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_PRICES", "gpt-5-mini=0.25/2.00; org/qwen3:8b=0/0 ;a=b=1/2/0.5;")
    monkeypatch.setenv("CM_BUDGET_PER_VIDEO", "0.05")
    settings = Settings()
    assert settings.prices == {
        "gpt-5-mini": (Decimal("0.25"), Decimal(2)),
        "org/qwen3:8b": (Decimal(0), Decimal(0)),
        "a=b": (Decimal(1), Decimal(2), Decimal("0.5")),
    }
    assert (settings.budget_per_video, settings.budget_per_day) == (Decimal("0.05"), None)


@pytest.mark.parametrize("wrong", ["m", "m=1", "m=1/x", "m=1/-2", "m=1/nan", "m=1/2/3/4", "=1/2", "m=1/inf"])
def test_a_price_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("CM_PRICES", wrong)
    with pytest.raises(ValidationError, match="prices"):
        Settings()


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "much"])
def test_a_budget_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("CM_BUDGET_PER_DAY", wrong)
    with pytest.raises(ValidationError, match="budget_per_day"):
        Settings()
