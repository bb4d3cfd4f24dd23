"""Who is told what: spread once, claimed by one, in order, kept as long as it is needed."""

import threading
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cm_assets.models.event import Event, EventType
from cm_assets.storage.database import Database
from cm_assets.storage.deliveries import Deliveries, Delivery
from cm_assets_tests.storage.test_database import NOW, ROW

LATER = NOW + timedelta(seconds=60)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    yield one
    one.dispose()


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    return Deliveries(database)


def happen(database: Database, *kinds: EventType, video: str = "a") -> None:
    events = [Event.of(video, kind, number, NOW, {"title": "Salt"}) for number, kind in enumerate(kinds)]
    database.note(video, {}, events)


def spread(deliveries: Deliveries, *names: str) -> int:
    return deliveries.spread(lambda _kind, _named: names, NOW)


def take(deliveries: Deliveries, endpoint: str = "team", seconds: float = 0) -> Delivery | None:
    now = NOW + timedelta(seconds=seconds)
    return deliveries.claim(endpoint, now, now + timedelta(seconds=60))


def taken(deliveries: Deliveries, endpoint: str = "team", seconds: float = 0) -> Delivery:
    delivery = take(deliveries, endpoint, seconds)
    assert delivery is not None
    return delivery


def test_events_are_spread_once_by_their_type_and_the_names_of_their_requests(
    database: Database, deliveries: Deliveries
) -> None:
    database.add(replace(ROW, document={"topic": "tides", "notify": ["ops"]}))
    happen(database, "video.rendered")
    happen(database, "video.failed", video="unknown")
    asked: list[tuple[str, list[str]]] = []

    def choose(kind: str, named: Collection[str]) -> Collection[str]:
        asked.append((kind, list(named)))
        return ["team"] if kind == "video.failed" else named

    assert deliveries.spread(choose, NOW) == 3
    assert deliveries.spread(choose, NOW) == 0
    assert asked == [("video.queued", ["ops"]), ("video.rendered", ["ops"]), ("video.failed", [])]
    assert deliveries.due(NOW) == ["ops", "team"]
    assert {name: tally.waiting for name, tally in deliveries.tallies().items()} == {"ops": 2, "team": 1}


def test_events_of_a_video_go_one_after_the_other_and_those_of_others_beside_them(
    database: Database, deliveries: Deliveries
) -> None:
    happen(database, "video.started", "video.rendered")
    happen(database, "video.started", video="b")
    spread(deliveries, "team")
    first, other = taken(deliveries), taken(deliveries)
    assert [(one.event.video_id, one.event.type) for one in (first, other)] == [
        ("a", "video.started"),
        ("b", "video.started"),
    ]
    assert take(deliveries) is None
    deliveries.delivered(first, NOW)
    assert taken(deliveries).event.type == "video.rendered"


def test_what_failed_holds_up_what_comes_after_unless_it_alone_was_refused(
    database: Database, deliveries: Deliveries
) -> None:
    happen(database, "video.started", "video.rendered")
    spread(deliveries, "team", "ops")
    deliveries.again(taken(deliveries), "answered 500", LATER, refused=False)
    assert take(deliveries) is None
    deliveries.again(taken(deliveries, "ops"), "answered 422", LATER, refused=True)
    assert taken(deliveries, "ops").event.type == "video.rendered"
    assert taken(deliveries, seconds=60).event.type == "video.started"


def test_what_was_given_up_holds_up_nothing(database: Database, deliveries: Deliveries) -> None:
    happen(database, "video.started", "video.rendered")
    spread(deliveries, "team")
    deliveries.give_up(taken(deliveries), "answered 410: it is gone", NOW)
    assert taken(deliveries).event.type == "video.rendered"
    tally = deliveries.tallies()["team"]
    assert (tally.waiting, tally.given_up, tally.last_error) == (1, 1, "answered 410: it is gone")
    assert tally.is_lost


def test_a_claim_of_one_that_went_silent_runs_out_and_its_word_counts_for_less(
    database: Database, deliveries: Deliveries
) -> None:
    happen(database, "video.started")
    spread(deliveries, "team")
    silent = taken(deliveries)
    assert take(deliveries, seconds=59) is None
    second = taken(deliveries, seconds=60)
    assert (silent.attempts, second.attempts) == (1, 2)
    deliveries.give_up(silent, "answered 410: it is gone", NOW)
    assert deliveries.tallies()["team"].waiting == 1
    deliveries.delivered(silent, NOW)
    assert deliveries.tallies()["team"].waiting == 0
    deliveries.again(second, "answered 500", LATER, refused=False)
    assert deliveries.tallies()["team"].waiting == 0


def test_an_endpoint_that_rests_is_sent_nothing_and_others_are(database: Database, deliveries: Deliveries) -> None:
    happen(database, "video.started")
    spread(deliveries, "team", "ops")
    deliveries.rest("team", LATER)
    deliveries.rest("team", NOW + timedelta(seconds=5))
    assert deliveries.due(NOW + timedelta(seconds=59)) == ["ops"]
    assert take(deliveries, seconds=59) is None
    assert deliveries.due(LATER) == ["ops", "team"]
    assert take(deliveries, seconds=60) is not None


def test_many_that_claim_at_once_get_each_delivery_once(database: Database, deliveries: Deliveries) -> None:
    for number in range(40):
        happen(database, "video.started", video=f"v{number}")
    spread(deliveries, "team")
    found: list[str] = []
    start = threading.Barrier(4)

    def work() -> None:
        own = Deliveries(Database(database.url))
        start.wait()
        while (delivery := take(own)) is not None:
            found.append(delivery.event.video_id)
        own._database.dispose()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 40


def test_only_what_is_old_and_told_and_of_no_open_request_is_forgotten(
    database: Database, deliveries: Deliveries
) -> None:
    for name in ("told", "recent", "untold", "wanted"):
        database.add(replace(ROW, id=name, key=name))
        happen(database, "video.rendered", video=name)
        if name != "wanted":
            database.close(name, "done")
    assert deliveries.prune(NOW + timedelta(days=99999)) == 0  # nobody was asked yet who is to be told
    deliveries.spread(lambda kind, _named: ["team"] if kind == "video.rendered" else [], NOW)
    for _ in range(4):
        delivery = taken(deliveries)
        if delivery.event.video_id != "untold":
            deliveries.delivered(delivery, NOW)
    with database.writing() as connection:
        connection.exec_driver_sql("update events set at = '2025-01-01' where video_id != 'recent'")
    assert deliveries.prune(ROW.received_at) == 5
    with database.reading() as connection:
        left = connection.exec_driver_sql("select distinct video_id from events order by 1").scalars().all()
        assert left == ["recent", "untold", "wanted"]
        gone = connection.exec_driver_sql("select count(*) from deliveries where video_id = 'told'").scalar_one()
        assert gone == 0
