"""Who is told what, live: a video from its request to its post, and what the doctor says of those who are told."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cm_assets.models.event import EVENT_TYPES
from cm_assets.orchestration.notifications import Notifier
from cm_assets.policies import PRODUCE
from cm_assets.storage.database import Database
from cm_assets_tests.conftest import Home, until
from cm_assets_tests.emulators.webhook_server import WebhookServer


@pytest.mark.live
def test_a_video_is_told_from_its_request_to_its_post_each_thing_once_and_in_order(home: Home) -> None:
    with WebhookServer() as server:
        everything = ",".join(kind.removeprefix("video.") for kind in EVENT_TYPES)
        plain = f"json://127.0.0.1:{server.port}/plain/{server.token}"
        home.variables |= {"CM_NOTIFY": "team,chat"} | server.variables("team", EVENTS=everything)
        home.variables |= {"CM_NOTIFY_CHAT_URL": plain, "CM_NOTIFY_CHAT_EVENTS": "published"}
        status = home.made(home.request())
        assert status["state"] == "published"
        assert "video.started" in server.types()
        assert until(lambda: not home.processes(), 20)
        # What an engine that nobody needs any more has no time to tell, as on a busy machine, the next notifier does.
        database = Database(f"sqlite:///{home.path / 'cm.sqlite'}")
        notifier = Notifier(database, ["team", "chat"], home.variables)
        assert until(lambda: _told_everything(server, notifier), 90), server.requests
        database.dispose()
    hooks = [one for one in server.taken() if one.path.startswith("/hook")]
    assert server.forged == 0
    kinds = [one.body["type"].removeprefix("video.") for one in hooks]
    stages = [one.body["data"]["stage"] for one in hooks if one.body["type"] == "video.stage_completed"]
    assert kinds[:2] == ["queued", "started"]
    assert kinds[-1] == "published"
    assert sorted(stages) == sorted([*PRODUCE, "published_post/outbox"])
    assert [kind for kind in kinds if kind != "stage_completed"] == ["queued", "started", "rendered", "published"]
    assert len({one.id for one in hooks}) == len(hooks)
    rendered = next(one.body["data"] for one in hooks if one.body["type"] == "video.rendered")
    assert rendered["links"]["video"] == status["links"]["video"]
    assert rendered["sha256"] == status["render_sha256"]
    assert hooks[-1].body["data"]["links"]["outbox"] == status["links"]["outbox"]
    messages = [one.body["title"] for one in server.taken() if one.path.startswith("/plain")]
    assert messages.count(f"Published: {status['title']}") == 1
    # What must not be known is known nowhere in the home.
    kept = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file() and not path.is_symlink())
    for secret in (server.token, server.secret):
        assert secret.encode() not in kept


def _told_everything(server: WebhookServer, notifier: Notifier) -> bool:
    notifier.tick(1)
    bodies = [one.body for one in server.taken()]
    hook = any(body["type"] == "video.published" for body in bodies)
    return hook and any(body.get("title", "").startswith("Published: ") for body in bodies)


def doctor(home: Home) -> dict[str, object]:
    findings = json.loads(home.run("doctor", "--json").stdout)["findings"]
    return next(finding for finding in findings if finding["name"] == "notifications")


def test_the_doctor_says_who_is_told_and_what_is_missing(home: Home) -> None:
    assert doctor(home)["fine"]
    with WebhookServer() as server:
        home.variables |= {"CM_NOTIFY": "team"} | server.variables("team") | server.variables("client-x")
        found = doctor(home)
        assert found["fine"], found
        assert found["said"] == "client-x: webhook; only for requests that name it\nteam: webhook"
        home.variables |= {"CM_NOTIFY": "team,ops", "CM_NOTIFY_TEAM_SECRET": server.token}
        found = doctor(home)
    assert not found["fine"]
    assert "ops: CM_NOTIFY_OPS_URL is not set" in str(found["said"])
    assert "team: CM_NOTIFY_TEAM_SECRET is no webhook secret" in str(found["said"])
    assert server.token not in str(found["said"])


def test_the_doctor_says_what_was_not_told(home: Home) -> None:
    home.variables |= {"CM_NOTIFY": "team", "CM_NOTIFY_TEAM_URL": "nowhere:", "CM_NOTIFY_TEAM_EVENTS": "queued"}
    for seed in (1, 2):
        assert home.run("submit", home.request(seed=seed)).returncode == 0
    database = Database(f"sqlite:///{home.path / 'cm.sqlite'}")
    Notifier(database, ["team"], home.variables).tick(60)
    found = doctor(home)
    assert (found["fine"], found["said"]) == (
        True,
        "team: nowhere message; 2 to be told, 0 given up; the last one failed: its address is none that apprise knows",
    )
    Notifier(database, ["team"], home.variables, now=lambda: datetime.now(UTC) + timedelta(hours=25)).tick(60)
    database.dispose()
    found = doctor(home)
    assert not found["fine"]
    assert "1 to be told, 1 given up" in str(found["said"])


def test_a_request_that_names_an_endpoint_that_there_is_not_is_refused(home: Home) -> None:
    done = home.run("submit", home.request(notify=["team"]), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["errors"][0]["field"] == "notify"
    home.variables["CM_NOTIFY"] = "team"
    assert home.run("submit", home.request(notify=["team"])).returncode == 0
    home.variables["CM_NOTIFY"] = "Team Rocket"
    done = home.run("submit", home.request())
    assert done.returncode == 2
    assert "CM_NOTIFY" in done.stderr
