"""Telling endpoints, over real connections to a server that is as bad as servers are."""

import base64
import io
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cm_assets.engines.notifying import message
from cm_assets.engines.notifying.endpoint import Endpoint, Refused, known_endpoints
from cm_assets.engines.notifying.webhook import post
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.event import EVENT_TYPES, Event
from cm_assets_tests.emulators.webhook_server import (
    CUT,
    DRIP,
    ENDLESS,
    GONE,
    NEVER,
    Fault,
    WebhookServer,
    busy,
    redirect,
)

EVENT = Event.of("a", "video.rendered", 7, datetime(2026, 11, 24, tzinfo=UTC), {"title": "Salt — 塩"})


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as one:
        yield one


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """All that anybody logs, however little it matters."""
    out = io.StringIO()
    handler, root = logging.StreamHandler(out), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield out
    root.removeHandler(handler)
    root.setLevel(before)


def test_a_webhook_is_signed_as_the_standard_says(server: WebhookServer) -> None:
    post(server.url, server.secret, EVENT, now(), private=True)
    (got,) = server.taken()
    assert server.forged == 0
    assert got.id == EVENT.id
    assert got.headers["content-type"] == "application/json"
    assert got.body == EVENT.body()


def test_two_secrets_sign_side_by_side_so_that_one_can_be_renewed(server: WebhookServer) -> None:
    old = "whsec_" + base64.b64encode(b"o" * 32).decode()
    for secret in (f"{old},{server.secret}", f"{server.secret}, {old}"):
        post(server.url, secret, EVENT, now(), private=True)
    assert server.forged == 0
    assert Endpoint("ops", server.variables("ops", SECRET=f"{old}, {server.secret}")).wrong() == []
    (problem,) = Endpoint("ops", server.variables("ops", SECRET=f"{old},short")).wrong()
    assert "CM_NOTIFY_OPS_SECRET is no webhook secret" in problem


def test_the_server_is_no_judge_that_takes_everything(server: WebhookServer) -> None:
    with pytest.raises(TransientFailure, match="401"):
        post(server.url, "whsec_" + "A" * 44, EVENT, now(), private=True)
    with pytest.raises(TransientFailure, match="401"):
        post(server.url, server.secret, EVENT, now() - timedelta(hours=1), private=True)
    assert server.forged == 2
    assert server.taken() == []


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(500), TransientFailure, "answered 500"),
        (Fault(401), TransientFailure, "answered 401"),
        (Fault(404), TransientFailure, "answered 404"),
        (Fault(429), TransientFailure, "answered 429"),
        (Fault(422), Refused, "does not take this event"),
        (busy("7"), AskedToWait, "come back in 7 s"),
        (busy("7", 503), AskedToWait, "come back in 7 s"),
        (busy("soon"), TransientFailure, "answered 429"),
        (GONE, PermanentFailure, "it is gone"),
        (CUT, TransientFailure, "broke the connection off"),
        (NEVER, TransientFailure, "gave no answer within 0.5 s"),
        (DRIP, TransientFailure, "gave no answer within 0.5 s"),
    ],
)
def test_an_answer_is_what_it_means(server: WebhookServer, fault: Fault, kind: type[Exception], words: str) -> None:
    server.faults = [fault]
    # A quick server still has ten seconds on a busy machine.
    with pytest.raises(kind, match=words) as caught:
        post(server.url, server.secret, EVENT, now(), private=True, limit=0.5 if "0.5 s" in words else 10)
    assert type(caught.value) is kind
    assert server.token not in str(caught.value)


def test_a_date_to_come_back_at_is_understood(server: WebhookServer) -> None:
    server.faults = [busy(format_datetime(now() + timedelta(hours=1), usegmt=True))]
    with pytest.raises(AskedToWait) as caught:
        post(server.url, server.secret, EVENT, now(), private=True)
    assert 3500 < caught.value.seconds <= 3600


def test_a_redirect_is_not_followed(server: WebhookServer) -> None:
    with WebhookServer() as other:
        server.faults = [redirect(other.url)]
        with pytest.raises(TransientFailure, match="redirects are not followed"):
            post(server.url, server.secret, EVENT, now(), private=True)
        assert other.requests == []
        assert other.forged == 0


def test_an_answer_without_end_is_taken_by_its_head(server: WebhookServer) -> None:
    server.faults = [ENDLESS]
    post(server.url, server.secret, EVENT, now(), private=True)
    assert len(server.taken()) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/SECRET", "http://", "http://[SECRET", "http://a:SECRET/", "https://"]
)
def test_an_address_where_nobody_is_is_a_failure_that_does_not_say_it(url: str) -> None:
    with pytest.raises(TransientFailure) as caught:
        post(url, "whsec_" + "A" * 44, EVENT, now(), private=True)
    assert "SECRET" not in str(caught.value)


def test_nothing_that_is_logged_holds_the_address(server: WebhookServer, said: io.StringIO) -> None:
    endpoint = Endpoint("team", server.variables("team"))
    endpoint.send(EVENT, now())
    server.faults = [Fault(500), CUT]
    for _ in range(2):
        with pytest.raises(TransientFailure):
            endpoint.send(EVENT, now())
    plain = Endpoint("plain", {"CM_NOTIFY_PLAIN_URL": f"json://127.0.0.1:{server.port}/plain/{server.token}"})
    plain.send(EVENT, now())
    server.faults = [Fault(500)]
    with pytest.raises(TransientFailure):
        plain.send(EVENT, now())
    assert server.token not in said.getvalue()
    assert server.secret not in said.getvalue()
    assert server.token not in repr(endpoint)


def test_people_get_a_short_message(server: WebhookServer) -> None:
    endpoint = Endpoint("chat", {"CM_NOTIFY_CHAT_URL": f"json://127.0.0.1:{server.port}/plain"})
    assert endpoint.way == "json message"
    data = {"title": "Salt", "reason": "render: the disk is full", "stage": "render"}
    endpoint.send(Event.of("a", "video.failed", 1, now(), data), now())
    (got,) = server.taken()
    assert got.body["title"] == "Failed: Salt"
    assert got.body["message"] == "render\nrender: the disk is full\na"
    assert got.body["type"] == "failure"
    server.faults = [Fault(500)]
    with pytest.raises(TransientFailure, match="did not take"):
        endpoint.send(EVENT, now())


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_there_are_words_for_every_event(kind: Any) -> None:
    event = Event.of("a", kind, 1, now(), {"title": "Salt", "links": {"video": "/v.mp4", "srt": "/v.srt"}})
    assert message.title(event).endswith(": Salt")
    assert "video: /v.mp4" in message.text(event)
    assert "srt" not in message.text(event)
    assert ("cm approve a" in message.text(event)) == (kind == "video.awaiting_review")


def test_a_webhook_is_sent_to_public_hosts_alone_unless_it_says_otherwise(server: WebhookServer) -> None:
    for url in (server.url, "http://169.254.169.254/latest", "http://[::1]:1/", "http://localhost:1/"):
        endpoint = Endpoint("team", server.variables("team", URL=url, PRIVATE=""))
        with pytest.raises(TransientFailure, match="set CM_NOTIFY_TEAM_PRIVATE=true"):
            endpoint.send(EVENT, now())
    assert server.requests == []


GOOD = {"CM_NOTIFY_TEAM_URL": "https://example.com/hook", "CM_NOTIFY_TEAM_SECRET": "whsec_" + "A" * 44}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"CM_NOTIFY_TEAM_URL": ""}, "CM_NOTIFY_TEAM_URL is not set"),
        ({"CM_NOTIFY_TEAM_URL": "HIDDEN"}, "CM_NOTIFY_TEAM_URL is no address"),
        ({"CM_NOTIFY_TEAM_SECRET": ""}, "CM_NOTIFY_TEAM_SECRET is not set"),
        ({"CM_NOTIFY_TEAM_SECRET": "HIDDEN"}, "CM_NOTIFY_TEAM_SECRET is no webhook secret"),
        ({"CM_NOTIFY_TEAM_SECRET": "whsec_HIDDEN"}, "24 to 64 bytes"),
        ({"CM_NOTIFY_TEAM_SECRET": "whsec_" + "!" * 44}, "24 to 64 bytes"),
        ({"CM_NOTIFY_TEAM_EVENTS": "failed, eaten"}, "CM_NOTIFY_TEAM_EVENTS names eaten"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_named(change: dict[str, str], words: str) -> None:
    (problem,) = Endpoint("team", GOOD | change).wrong()
    assert words in problem
    assert "HIDDEN" not in problem


def test_what_cannot_work_is_not_tried_and_says_why() -> None:
    with pytest.raises(TransientFailure, match="CM_NOTIFY_TEAM_SECRET is not set"):
        Endpoint("team", GOOD | {"CM_NOTIFY_TEAM_SECRET": ""}).send(EVENT, now())
    with pytest.raises(TransientFailure, match="none that apprise knows") as caught:
        Endpoint("team", {"CM_NOTIFY_TEAM_URL": "nowhere://HIDDEN"}).send(EVENT, now())
    assert "HIDDEN" not in str(caught.value)


def test_an_endpoint_gets_the_events_that_it_wants() -> None:
    assert Endpoint("team", GOOD).wrong() == []
    assert set(EVENT_TYPES) - set(Endpoint("team", GOOD).wants()) == {"video.stage_completed"}
    some = Endpoint("team", GOOD | {"CM_NOTIFY_TEAM_EVENTS": "failed, video.stage_completed"})
    assert set(some.wants()) == {"video.failed", "video.stage_completed"}


def test_an_endpoint_is_known_by_the_settings_or_by_its_address() -> None:
    variables = {"CM_NOTIFY_CLIENT_X_URL": "https://example.com", "CM_NOTIFY_OPS_URL": "", "CM_NOTIFY": "team"}
    assert list(known_endpoints(["team"], variables)) == ["client-x", "team"]
    assert Endpoint("client-x").variable("URL") == "CM_NOTIFY_CLIENT_X_URL"
