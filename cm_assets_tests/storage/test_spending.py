"""No budget is overspent, whoever calls, dies or races; and nothing is paid twice."""

import multiprocessing
import multiprocessing.synchronize
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.models.base import AskedToWait, PermanentFailure
from cm_assets.models.spending import Bill, Price, Reply, Usage, dollars
from cm_assets.storage.database import Database
from cm_assets.storage.spending import IN_FLIGHT, SOON, Budget, Spending, bills, spent_on
from cm_assets_tests.storage.test_database import ROW

PRICE = Price(prompt=Decimal(1), completion=Decimal(2), cached=Decimal("0.1"))
CENT = Usage(prompt=4_000, completion=3_000)
"""Tokens that cost a cent."""
NOW = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cm.sqlite'}"
    from cm_assets_tests.postgres import new_database

    return new_database(request.getfixturevalue("postgres")).replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    one = Database(url)
    yield one
    one.dispose()


def paying(
    database: Database,
    video: str = "a",
    since: int = -1,
    *,
    price: Price | None = PRICE,
    now: datetime = NOW,
    per_video: str = "",
    per_day: str = "",
) -> Spending:
    budget = Budget(Decimal(per_video) if per_video else None, Decimal(per_day) if per_day else None)
    return Spending(database, video, since, model="m", price=price, budget=budget, clock=lambda: now)


def reply(content: str = "{}", usage: Usage | None = CENT) -> Reply:
    return Reply(content=content, usage=usage, seconds=1.5)


def test_what_is_read_again_costs_less_and_parts_of_a_billionth_count_whole() -> None:
    assert PRICE.cost(CENT) == Decimal("0.01")
    assert PRICE.cost(CENT.model_copy(update={"cached": 3_000})) == Decimal("0.0073")
    assert PRICE.cost(Usage(prompt=1, completion=0, cached=99)) == Decimal("0.0000001")
    cheap = Price(prompt=Decimal("0.0001"), completion=Decimal(0), cached=Decimal(0))
    assert cheap.cost(Usage(prompt=1, completion=0)) == Decimal("0.000000001")


@pytest.mark.parametrize(
    ("amount", "said"),
    [("0", "$0.00"), ("1.5", "$1.50"), ("20", "$20.00"), ("0.0123", "$0.0123"), ("0.0000005", "$0.0000005")],
)
def test_amounts_are_shown_with_the_digits_that_they_need(amount: str, said: str) -> None:
    assert dollars(Decimal(amount)) == said


def test_a_call_costs_what_it_took_and_not_what_it_could_have_taken(database: Database) -> None:
    spending = paying(database)
    assert spending.bill() == Bill()
    one = spending.reserve("x", Usage(prompt=4_000, completion=30_000))
    assert spending.bill() == Bill(lost=1, cost=Decimal("0.064"))
    spending.settle(one, reply(usage=CENT.model_copy(update={"cached": 1_000})))
    spending.release(spending.reserve("y", CENT))
    assert spending.bill() == Bill(
        calls=1, prompt=4_000, completion=3_000, cached=1_000, seconds=1.5, cost=Decimal("0.0091")
    )
    assert bills(database, ["a", "b"]) == {"a": spending.bill()}
    assert spent_on(database, NOW) == Decimal("0.0091")
    assert spent_on(database, NOW + timedelta(days=1)) == 0


def test_a_server_that_does_not_count_costs_the_most(database: Database) -> None:
    spending = paying(database)
    spending.settle(spending.reserve("x", CENT), reply(usage=None))
    assert spending.bill() == Bill(calls=1, seconds=1.5, cost=Decimal("0.01"))


def test_what_has_no_known_price_has_no_known_cost(database: Database) -> None:
    spending = paying(database, price=None)
    spending.settle(spending.reserve("x", CENT), reply())
    assert spending.bill().cost is None
    assert spending.bill().completion == 3_000
    for bounded in (paying(database, price=None, per_video="1"), paying(database, price=None, per_day="1")):
        with pytest.raises(PermanentFailure, match=r'CM_PRICES="m=0\.25/2\.00"'):
            bounded.reserve("x", CENT)


def test_a_server_of_ones_own_costs_nothing_and_no_budget_is_in_its_way(database: Database) -> None:
    free = Price(prompt=Decimal(0), completion=Decimal(0), cached=Decimal(0))
    spending = paying(database, price=free, per_video="0.000001")
    spending.settle(spending.reserve("x", CENT), reply())
    assert spending.bill().cost == 0


def test_a_video_does_not_cost_more_than_its_budget_retries_and_lost_calls_included(database: Database) -> None:
    spending = paying(database, per_video="0.03")
    spending.settle(spending.reserve("x", CENT), reply())
    spending.reserve("y", CENT)  # whoever made this call has died
    later = paying(database, since=7, per_video="0.03")
    later.settle(later.reserve("z", CENT), reply())
    with pytest.raises(PermanentFailure, match=r"\$0\.03, does not allow .*\$0\.03 are spent.*CM_BUDGET_PER_VIDEO"):
        later.reserve("z2", CENT)
    paying(database, "b", per_video="0.03").reserve("x", CENT)


def test_when_the_day_is_used_up_it_is_tomorrow_in_utc(database: Database) -> None:
    spending = paying(database, per_day="0.02")
    spending.settle(spending.reserve("x", CENT), reply())
    other = paying(database, "b", per_day="0.02")
    other.settle(other.reserve("x", CENT), reply())
    with pytest.raises(AskedToWait, match=r"\$0\.02 \(CM_BUDGET_PER_DAY\), is used up") as told:
        paying(database, "c", per_day="0.02").reserve("x", CENT)
    assert told.value.seconds == 5400
    paying(database, "c", per_day="0.02", now=NOW + timedelta(seconds=5400)).reserve("x", CENT)


def test_the_day_is_that_of_utc_wherever_the_clock_is(database: Database) -> None:
    tokyo = timedelta(hours=9)
    there = datetime.fromisoformat((NOW.replace(tzinfo=None) + tokyo).isoformat() + "+09:00")
    paying(database, now=there).reserve("x", CENT)
    assert spent_on(database, NOW) == Decimal("0.01")


def test_what_is_only_reserved_is_waited_for_shortly(database: Database) -> None:
    first = paying(database, per_day="0.015")
    one = first.reserve("x", CENT)
    with pytest.raises(AskedToWait, match="on their way") as told:
        paying(database, "b", per_day="0.015").reserve("x", CENT)
    assert told.value.seconds == SOON
    # Nobody has seen an end of it: it counts for good.
    late = NOW + IN_FLIGHT
    with pytest.raises(AskedToWait, match="used up"):
        paying(database, "b", per_day="0.015", now=late).reserve("x", CENT)
    first.settle(one, reply(usage=Usage(prompt=10, completion=10)))
    paying(database, "b", per_day="0.015", now=late).reserve("x", CENT)


def test_a_call_that_no_day_allows_is_not_waited_for(database: Database) -> None:
    with pytest.raises(PermanentFailure, match="CM_BUDGET_PER_DAY"):
        paying(database, per_day="0.009").reserve("x", CENT)
    assert spent_on(database, NOW) == 0


def test_an_answer_is_kept_until_the_script_is_made(database: Database) -> None:
    spending = paying(database)
    assert spending.kept("x") is None
    spending.settle(spending.reserve("x", CENT), reply("first"))
    spending.settle(spending.reserve("y", CENT), reply("second"))
    assert paying(database).kept("x") == reply("first")
    assert paying(database, "b").kept("x") is None
    # With another script than the newest one, another is wanted.
    assert paying(database, since=12).kept("x") is None
    paying(database, since=12).reserve("x", CENT)
    assert paying(database).kept("x") is None


def test_answers_that_led_nowhere_are_forgotten_and_stay_paid(database: Database) -> None:
    spending = paying(database)
    spending.settle(spending.reserve("x", CENT), reply("no JSON"))
    spending.forget()
    assert spending.kept("x") is None
    assert spending.bill().cost == Decimal("0.01")


def test_of_a_retired_video_the_cost_stays_and_the_answers_go(database: Database) -> None:
    database.add(replace(ROW, id="a"))
    spending = paying(database)
    spending.settle(spending.reserve("x", CENT), reply("text"))
    database.close("a", "done")
    database.note_kept("a", "nothing")
    assert spending.kept("x") is None
    assert bills(database, ["a"])["a"].cost == Decimal("0.01")


def _race(
    url: str, video: str, start: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[int]"
) -> None:
    database, got = Database(url), 0
    spending = paying(database, video, per_day="0.07")
    assert spent_on(database, NOW) >= 0  # open before the start
    start.wait()
    for number in range(5):
        with suppress(AskedToWait):
            spending.reserve(str(number), CENT)
            got += 1
    database.dispose()
    results.put(got)


def test_processes_that_race_for_the_last_of_the_day_do_not_overspend(url: str, database: Database) -> None:
    assert spent_on(database, NOW) == 0
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    start = context.Barrier(3)
    racers = [context.Process(target=_race, args=(url, f"v{number}", start, results)) for number in range(3)]
    for process in racers:
        process.start()
    total = sum(results.get(timeout=60) for _ in racers)
    for process in racers:
        process.join()
    results.close()
    assert total == 7
    assert spent_on(database, NOW) == Decimal("0.07")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 9_000), st.sampled_from(["settle", "free", "lose", "die"])),
        max_size=12,
    )
)
def test_whatever_happens_no_budget_is_overspent(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, int, str]]
) -> None:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('spending') / 'cm.sqlite'}")
    billed = dict.fromkeys("abc", Decimal(0))
    for number, (video, tokens, end) in enumerate(calls):
        spending = paying(database, video, per_video="0.04", per_day="0.06")
        most = Usage(prompt=tokens, completion=tokens)
        try:
            one = spending.reserve(str(number), most)
        except (AskedToWait, PermanentFailure):
            continue
        took = Usage(prompt=tokens, completion=tokens // 2)
        if end == "settle":
            spending.settle(one, reply(usage=took))
        elif end == "free":
            spending.release(one)
        # Of a call that nobody saw the end of, the service bills what it wants, up to the most.
        billed[video] += {"settle": PRICE.cost(took), "free": Decimal(0)}.get(end, PRICE.cost(most))
    database.dispose()
    assert max(billed.values()) <= Decimal("0.04")
    assert sum(billed.values()) <= Decimal("0.06")
