"""`integrations/n8n/short-video.json`, imported and executed by a real n8n against a real `cm up`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cm_assets_tests.conftest import SHORT, Home
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


def workflow(served: Served, *, approve: bool) -> dict[str, Any]:
    """The file, with its settings as a person would set them."""
    content: dict[str, Any] = json.loads(FILE.read_text())
    nodes = {node["name"]: node for node in content["nodes"]}
    settings = {one["name"]: one for one in nodes["Settings"]["parameters"]["assignments"]["assignments"]}
    assert settings["approve"]["value"] is False, "by default a person decides"
    settings["url"]["value"] = served.url
    settings["approve"]["value"] = approve
    return content


def credentials(served: Served) -> list[dict[str, Any]]:
    """The two that the workflow names."""
    token = {"id": "cm-assets-token", "name": "cm_assets token", "type": "httpBearerAuth"}
    ((header, value),) = CALLER.items()
    callers = {"id": "cm-assets-callers", "name": "cm_assets callers", "type": "httpHeaderAuth"}
    return [token | {"data": {"token": served.token}}, callers | {"data": {"name": header, "value": value}}]


def ask(running: Running, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{running.url}/webhook/new-video", json=body, headers=CALLER | headers, timeout=180)


def test_a_webhook_becomes_a_published_video(served: Served, tmp_path: Path) -> None:
    with n8n(tmp_path / "n8n", workflow(served, approve=True), credentials(served)) as running:
        answer = ask(running, SHORT | {"review": "required"})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["state"] == "published"
        video = httpx.get(said["links"]["video"], headers={"Authorization": f"Bearer {served.token}"})
        assert video.headers["etag"] == f'"{served.get("/videos/" + said["id"])["render_sha256"]}"'

        # The same order again finds its video, and so does one whose answer was lost.
        for _ in range(2):
            again = ask(running, SHORT | {"review": "auto"}, **{"Idempotency-Key": "order-1"})
            assert again.status_code == 200, again.text
        assert len(served.get("/videos")["videos"]) == 2

        refused = ask(running, SHORT | {"music": "polka"})
        assert refused.status_code == 422
        assert "music" in refused.json()["detail"]
        assert httpx.post(f"{running.url}/webhook/new-video", json=SHORT).status_code == 403
        assert {status for _, status in running.executions()} == {"success"}
        assert running.outside.tried == []
