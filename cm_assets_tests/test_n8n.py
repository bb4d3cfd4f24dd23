"""`integrations/n8n/short-video.json`, imported and executed by a real n8n against a real `cm up`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cm_assets_tests.conftest import SHORT, Home, until
from cm_assets_tests.emulators.proxy import Fault, Proxy
from cm_assets_tests.n8n import Running, n8n
from cm_assets_tests.serving import Served, serving

pytestmark = pytest.mark.n8n

FILE = Path(__file__).parent.parent / "integrations" / "n8n" / "short-video.json"

CALLER = {"x-caller": "a secret of its callers"}


@pytest.fixture
def served(home: Home) -> Iterator[Served]:
    with serving(home) as served:
        served.lock()
        yield served


def workflow(url: str, *, approve: bool) -> dict[str, Any]:
    """The file, with its settings as a person would set them."""
    content: dict[str, Any] = json.loads(FILE.read_text())
    settings = {one["name"]: one for one in node(content, "Settings")["parameters"]["assignments"]["assignments"]}
    assert settings["approve"]["value"] is False, "by default a person decides"
    settings["url"]["value"] = url
    settings["approve"]["value"] = approve
    return content


def node(content: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in content["nodes"] if one["name"] == name]
    return dict(found)


def credentials(served: Served) -> list[dict[str, Any]]:
    """The two that the workflow names."""
    token = {"id": "cm-assets-token", "name": "cm_assets token", "type": "httpBearerAuth"}
    ((header, value),) = CALLER.items()
    callers = {"id": "cm-assets-callers", "name": "cm_assets callers", "type": "httpHeaderAuth"}
    return [token | {"data": {"token": served.token}}, callers | {"data": {"name": header, "value": value}}]


def ask(running: Running, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{running.url}/webhook/new-video", json=body, headers=CALLER | headers, timeout=180)


def test_a_webhook_becomes_a_published_video(served: Served, tmp_path: Path) -> None:
    with n8n(tmp_path / "n8n", workflow(served.url, approve=True), credentials(served)) as running:
        answer = ask(running, SHORT | {"review": "required"})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["state"] == "published"
        video = httpx.get(said["links"]["video"], headers={"Authorization": f"Bearer {served.token}"})
        assert video.headers["etag"] == f'"{served.get("/videos/" + said["id"])["render_sha256"]}"'

        # The caller may name its order: sent again, it finds its video.
        same = [ask(running, SHORT, **{"Idempotency-Key": "order-1"}) for _ in range(2)]
        assert [one.status_code for one in same] == [200, 200]
        assert same[0].json()["id"] == same[1].json()["id"]
        assert len(served.get("/videos")["videos"]) == 2

        refused = ask(running, SHORT | {"music": "polka"})
        assert refused.status_code == 422
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert "music" in refused.json()["detail"]
        assert httpx.post(f"{running.url}/webhook/new-video", json=SHORT).status_code == 403
        assert {status for _, status in running.executions()} == {"success"}
        assert running.outside.tried == []


def test_a_way_with_faults_ends_with_one_video(served: Served, tmp_path: Path) -> None:
    faults = [
        Fault("POST /videos", status=429, headers={"Retry-After": "1"}),
        Fault("POST /videos", lost=True),
        Fault("POST /videos", status=503, headers={"Retry-After": "1"}),
        Fault("GET /videos/robot", reset=True),
        Fault("GET /videos/robot", status=502),
        Fault("POST /approve", lost=True),
    ]
    with (
        Proxy(served.url, faults) as proxy,
        n8n(tmp_path / "n8n", workflow(proxy.address, approve=True), credentials(served)) as running,
    ):
        answer = ask(running, SHORT | {"id": "robot", "review": "required"})
        assert (answer.status_code, answer.json()["state"]) == (200, "published"), answer.text
        assert proxy.faults == []
        submitted = [one.headers["idempotency-key"] for one in proxy.requests if one.what == "POST /videos"]
        assert len(submitted) == 4
        assert len(set(submitted)) == 1
        assert len(served.get("/videos")["videos"]) == 1

        # A token that may not approve ends it, and the caller hears of it.
        proxy.faults = [Fault("POST /approve", status=403)]
        refused = ask(running, SHORT | {"review": "required"})
        assert refused.status_code == 403, refused.text


def test_a_person_decides_and_n8n_waits_without_holding_the_caller(served: Served, tmp_path: Path) -> None:
    content = workflow(served.url, approve=False)
    # n8n keeps a wait of more than a minute in its database; here it is not to be five of them.
    node(content, "A while")["parameters"] |= {"amount": 70, "unit": "seconds"}
    with n8n(tmp_path / "n8n", content, credentials(served)) as running:
        answer = ask(running, SHORT | {"review": "required"})
        assert answer.status_code == 202, answer.text
        said = answer.json()
        assert said["state"] == "awaiting_review"
        assert said["links"]["page"] == f"{served.url}/board/{said['id']}"
        assert until(lambda: running.executions() == [("webhook", "waiting")], 20, 0.5), running.executions()
        who = {"Authorization": f"Bearer {served.token}"}
        render = {"render_sha256": served.get(f"/videos/{said['id']}")["render_sha256"]}
        assert httpx.post(f"{said['links']['self']}/approve", json=render, headers=who).is_success
        served.reaches(said["id"], "published")
        assert until(lambda: running.executions() == [("webhook", "success")], 120, 1), running.executions()
