"""The notifier: at least once, in order, whoever is slow or dead, however many of them work."""

import io
import itertools
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cm_assets.models.event import Event, EventType
from cm_assets.orchestration import notifications
from cm_assets.orchestration.notifications import Notifier, delay
from cm_assets.storage.database import Database
from cm_assets.storage.deliveries import Deliveries, Tally
from cm_assets_tests.conftest import until
from cm_assets_tests.emulators.webhook_server import CUT, GONE, NEVER, Fault, WebhookServer, busy

LONG = 60.0
"""Seconds that a tick may take on a busy machine; it ends when nothing is left to do."""


@dataclass
class World:
    """A database with its outbox, servers that are told, and a clock that is set by hand."""

    database: Database
    variables: dict[str, str] = field(default_factory=dict)
    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    passed: timedelta = timedelta()

    def now(self) -> datetime:
        # Never far from the real time, by which the servers judge signatures.
        return self.start + self.passed

    def notifier(self, *names: str, database: Database | None = None) -> Notifier:
        return Notifier(database or self.database, names, self.variables, now=self.now, jitter=lambda: 0.5)

    def happen(self, video: str, *kinds: EventType) -> None:
        events = [Event.of(video, kind, number, self.now(), {"title": "Salt"}) for number, kind in enumerate(kinds)]
        self.database.note(video, {}, events)

    def tally(self, endpoint: str) -> Tally:
        return Deliveries(self.database).tallies()[endpoint]

    def rows(self) -> list[tuple[str, int, datetime]]:
        from cm_assets.storage.events import utc
        from cm_assets.storage.tables import deliveries as table

        with self.database.reading() as connection:
            rows = connection.execute(table.select().order_by(table.c.seq)).all()
        return [(row.endpoint, row.attempts, utc(row.next_at)) for row in rows]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    yield World(database)
    database.dispose()


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as one:
        yield one


@pytest.fixture
def other() -> Iterator[WebhookServer]:
    with WebhookServer() as one:
        yield one


def test_what_happens_is_told_once_and_in_order(world: World, server: WebhookServer) -> None:
    world.variables = server.variables("team")
    world.happen("a", "video.started", "video.stage_completed", "video.rendered")
    world.happen("b", "video.started")
    notifier = world.notifier("team")
    assert not notifier.tick(LONG)
    assert not notifier.tick(LONG)
    assert server.types("a") == ["video.started", "video.rendered"]
    assert server.types("b") == ["video.started"]
    assert server.forged == 0
    assert world.tally("team").waiting == 0


def test_a_request_chooses_who_is_told(world: World, server: WebhookServer, other: WebhookServer) -> None:
    from dataclasses import replace

    from cm_assets_tests.storage.test_database import ROW

    world.variables = server.variables("team") | other.variables("client-x", EVENTS="queued,failed")
    world.database.add(replace(ROW, document={"topic": "tides", "notify": ["client-x"]}))
    world.database.add(replace(ROW, id="b", key="b"))
    world.happen("a", "video.started")
    world.notifier("team").tick(LONG)
    assert [(one.body["data"]["id"], one.body["type"]) for one in other.taken()] == [("a", "video.queued")]
    assert [(one.body["data"]["id"], one.body["type"]) for one in server.taken()] == [("b", "video.queued")]


def test_nobody_is_told_where_nobody_is_to_be_told(world: World) -> None:
    world.happen("a", "video.started")
    assert not world.notifier().tick(LONG)
    assert world.rows() == []


def test_what_failed_is_tried_again_and_keeps_its_id(world: World, server: WebhookServer) -> None:
    world.variables = server.variables("team")
    server.faults = [Fault(500), CUT]
    world.happen("a", "video.started", "video.rendered")
    notifier = world.notifier("team")
    for seconds in (5, 10):
        assert not notifier.tick(LONG)
        assert server.types() == []
        assert not notifier.tick(LONG)  # it is not its time
        world.passed += timedelta(seconds=seconds)
    assert not notifier.tick(LONG)
    assert server.types() == ["video.started", "video.rendered"]
    assert [one.body["type"] for one in server.requests] == ["video.started"] * 3 + ["video.rendered"]
    assert len({one.id for one in server.requests[:3]}) == 1


def test_who_asks_to_be_left_alone_is_left_alone(world: World, server: WebhookServer) -> None:
    world.variables = server.variables("team")
    server.faults = [busy("120")]
    world.happen("a", "video.started")
    notifier = world.notifier("team")
    notifier.tick(LONG)
    world.happen("b", "video.started")
    world.passed = timedelta(seconds=100)
    assert not notifier.tick(LONG)
    assert len(server.requests) == 1
    world.passed = timedelta(seconds=121)
    assert not notifier.tick(LONG)
    assert [one.body["data"]["id"] for one in server.taken()] == ["a", "b"]


def test_one_that_is_gone_is_given_up_and_said(
    world: World, server: WebhookServer, caplog: pytest.LogCaptureFixture
) -> None:
    world.variables = server.variables("team")
    server.faults = [GONE]
    world.happen("a", "video.started")
    assert not world.notifier("team").tick(LONG)
    tally = world.tally("team")
    assert (tally.waiting, tally.given_up, tally.last_error) == (0, 1, "answered 410: it is gone")
    assert "video.started of a is given up after 1 attempts" in caplog.text


def test_an_event_that_alone_is_refused_holds_up_nothing(world: World, server: WebhookServer) -> None:
    world.variables = server.variables("team")
    server.faults = [Fault(422)]
    world.happen("a", "video.started", "video.rendered")
    assert not world.notifier("team").tick(LONG)
    assert server.types() == ["video.rendered"]
    assert world.tally("team").waiting == 1


def test_a_server_that_never_answers_holds_up_no_other(
    world: World, server: WebhookServer, other: WebhookServer
) -> None:
    server.faults = [NEVER] * 9
    world.variables = server.variables("slow") | other.variables("quick")
    notifier = world.notifier("slow", "quick")
    world.happen("a", "video.started")
    assert notifier.tick()
    assert until(lambda: server.requests, LONG, 0.02)
    world.happen("b", "video.started")
    assert notifier.tick()  # a look does not wait for anybody
    assert until(lambda: notifier.tick() and len(other.taken()) == 2, LONG, 0.02)
    assert len(server.requests) == 1
    server.closing.set()
    assert until(lambda: not notifier.tick(), LONG, 0.02)


def test_a_dead_endpoint_is_not_asked_for_each_event_anew(world: World) -> None:
    world.variables = {
        "CM_NOTIFY_DEAD_URL": "http://127.0.0.1:1/",
        "CM_NOTIFY_DEAD_SECRET": "whsec_" + "A" * 44,
        "CM_NOTIFY_DEAD_PRIVATE": "1",
    }
    for number in range(20):
        world.happen(f"v{number}", "video.started")
    notifier = world.notifier("dead")
    assert not notifier.tick(LONG)
    assert sum(attempts for _, attempts, _ in world.rows()) == 1
    assert world.tally("dead").waiting == 20


def test_an_endpoint_without_its_variables_waits_for_them_and_harms_nobody(world: World, server: WebhookServer) -> None:
    world.variables = server.variables("team")
    world.happen("a", "video.started")
    assert not world.notifier("ops", "team").tick(LONG)
    assert server.types() == ["video.started"]
    assert world.tally("ops").last_error.startswith("CM_NOTIFY_OPS_URL is not set")
    world.variables |= server.variables("ops")
    world.passed = timedelta(seconds=10)
    assert not world.notifier("ops", "team").tick(LONG)
    assert world.tally("ops").waiting == 0
    assert len(server.taken()) == 2


def test_tries_come_later_each_time_and_end_after_a_day(world: World) -> None:
    world.variables = {
        "CM_NOTIFY_DEAD_URL": "http://127.0.0.1:1/",
        "CM_NOTIFY_DEAD_SECRET": "whsec_" + "A" * 44,
        "CM_NOTIFY_DEAD_PRIVATE": "1",
    }
    start = datetime(2026, 11, 24, tzinfo=UTC)
    moment = start
    notifier = Notifier(world.database, ["dead"], world.variables, now=lambda: moment, jitter=lambda: 0.5)
    world.happen("a", "video.started")
    tries = []
    for _ in range(100):
        assert not notifier.tick(LONG)
        tries.append(moment)
        if world.tally("dead").given_up:
            break
        ((_, attempts, moment),) = world.rows()
        assert attempts == len(tries)
    waits = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(tries)]
    assert waits[:5] == [5, 10, 20, 40, 80]
    assert all(one <= 3600 for one in waits)
    assert tries[-1] == start + timedelta(hours=24)
    assert 20 < len(tries) < 50


def test_a_delay_has_jitter_and_bounds() -> None:
    assert (delay(1, 0), delay(1, 1)) == (3.75, 6.25)
    assert delay(10_000, 1) == 4500
    assert all(delay(n, 0.5) <= delay(n + 1, 0.5) for n in range(1, 50))


def test_two_notifiers_tell_everything_once(world: World, server: WebhookServer) -> None:
    world.variables = server.variables("team")
    for number in range(15):
        world.happen(f"v{number}", "video.started", "video.rendered", "video.approved")
    start = threading.Barrier(3)
    left: list[bool] = []

    def work() -> None:
        own = Database(world.database.url)
        notifier = world.notifier("team", database=own)
        start.wait()
        left.append(notifier.tick(LONG))
        own.dispose()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left == [False] * 3
    ids = [one.id for one in server.requests]
    assert len(ids) == len(set(ids)) == 45
    for number in range(15):
        assert server.types(f"v{number}") == ["video.started", "video.rendered", "video.approved"]


def test_what_a_killed_notifier_had_claimed_is_told_by_the_next(world: World, server: WebhookServer) -> None:
    world.variables = server.variables("team")
    world.happen("a", "video.started")
    deliveries = Deliveries(world.database)
    deliveries.spread(lambda _kind, _named: ["team"], world.now())
    assert deliveries.claim("team", world.now(), world.now() + notifications.CLAIM)  # and is killed
    notifier = world.notifier("team")
    assert not notifier.tick(LONG)
    assert server.types() == []
    world.passed = notifications.CLAIM + timedelta(seconds=1)
    assert not notifier.tick(LONG)
    assert server.types() == ["video.started"]


def test_what_goes_wrong_is_tried_again_and_does_not_end_the_thread(
    world: World, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.variables = server.variables("team")
    monkeypatch.setattr(notifications, "INTERVAL", 0.01)
    notifier, stopped = world.notifier("team"), threading.Event()
    real, calls = Deliveries.spread, []

    def failing(*arguments: object) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("database is locked")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Deliveries, "spread", failing)
    thread = threading.Thread(target=notifier.run, args=(stopped,))
    thread.start()
    world.happen("a", "video.started")
    assert until(lambda: server.types() == ["video.started"], LONG, 0.02)
    stopped.set()
    thread.join()
    assert not notifier.tick(LONG)


def test_secrets_are_nowhere(world: World, server: WebhookServer, tmp_path: Path) -> None:
    out = io.StringIO()
    handler, root = logging.StreamHandler(out), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    plain = {"CM_NOTIFY_PLAIN_URL": f"json://127.0.0.1:{server.port}/plain/{server.token}"}
    world.variables = server.variables("team") | plain
    server.faults = [Fault(500), CUT, Fault(422), GONE]
    try:
        for number in range(6):
            world.happen(f"v{number}", "video.started")
            world.passed = timedelta(seconds=40 * number)
            assert not world.notifier("team", "plain").tick(LONG)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert len(server.taken()) > 2
    assert server.forged == 0
    world.database.dispose()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"answered 410" in stored
    for secret in (server.token, server.secret, server.secret.removeprefix("whsec_")):
        assert secret.encode() not in stored
        assert secret not in out.getvalue()
