"""Human in the loop, live: approve, reject, revise, by command line, UI and GraphQL."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cm_assets_tests.conftest import Home, Up, until
from cm_assets_tests.emulators.openai_server import OpenAIServer
from cm_assets_tests.test_live import FAILURES

pytestmark = pytest.mark.live

REPORT = """
mutation($e: ReportRunlessAssetEventsParams!) { reportRunlessAssetEvents(eventParams: $e) { __typename } }
"""


def reaches(home: Home, video: str, state: str, seconds: float = 120) -> dict[str, Any]:
    assert until(lambda: home.told(video)["state"] == state, seconds, 0.5), home.told(video)
    return home.told(video)


def posts(home: Home, video: str) -> list[Path]:
    return list((home.path / "outbox" / video).glob("*.mp4"))


@dataclass
class Reviewing:
    """`cm up`, and the language model behind it."""

    up: Up
    server: OpenAIServer


@pytest.fixture
def reviewing(home: Home) -> Iterator[Reviewing]:
    with OpenAIServer() as server:
        home.variables |= {"OPENAI_BASE_URL": server.base_url, "CM_OPENAI_MODEL": "m"}
        process = home.start("up", "--port", "0")
        assert until(lambda: "http://" in home.log(), 90), home.log()
        url = next(word for word in home.log().split() if word.startswith("http://"))
        yield Reviewing(Up(home, url), server)
        process.send_signal(signal.SIGINT)
        process.wait(15)


def test_a_rejected_topic_is_written_anew_and_posted_when_it_is_approved(reviewing: Reviewing) -> None:
    up, home = reviewing.up, reviewing.up.home
    request = home.folder / "topic.yaml"
    request.write_text("topic: why the sea is salty\ntarget_seconds: 14\nreview: required\nmusic: none\n")
    video = home.run("submit", request).stdout.strip()
    first = reaches(home, video, "awaiting_review")
    assert f"cm approve {video}" in first["waiting_for"]

    # Nothing gets past the gate, whoever launches it.
    run = up.launch("publish_video", video)
    assert up.ended(run)["status"] == "FAILURE"
    assert "has not been approved" in json.dumps(up.graphql(FAILURES, id=run))
    assert posts(home, video) == []

    stale = home.run("approve", video, "--render", "0" * 64)
    assert stale.returncode == 2
    assert "look at it first" in stale.stderr

    feedback = 'Say "waves",\nand be brief <b>'
    assert home.run("reject", video, "--feedback", feedback, "--by", "Ada").returncode == 0
    assert until(lambda: home.told(video)["render_sha256"] not in {"", first["render_sha256"]}, 120, 0.5)
    second = reaches(home, video, "awaiting_review")
    asked = reviewing.server.requests[-1].body["messages"]
    assert [message["role"] for message in asked] == ["system", "user", "assistant", "user"]
    assert json.dumps(feedback)[1:-1].replace("<", "\\u003c") in asked[-1]["content"]
    scripts = home.dagster(
        "[r.asset_materialization.metadata['model'].value for r in instance.fetch_materializations("
        f"dg.AssetRecordsFilter(asset_key=dg.AssetKey('script'), asset_partitions=[{video!r}]), limit=5).records]"
    )
    assert len(scripts) == 2
    old = json.loads((home.path / "artifacts" / scripts[1]).read_text())
    assert json.loads(asked[2]["content"])["title"] == old["title"]

    # An approval of what was rejected comes too late.
    assert home.run("approve", video, "--render", first["render_sha256"]).returncode == 2
    assert home.run("approve", video, "--render", second["render_sha256"], "--by", "Ada").returncode == 0
    reaches(home, video, "published")
    # Sent again by somebody who lost the answer, it still changes nothing.
    assert home.run("approve", video, "--render", second["render_sha256"]).returncode == 0
    assert home.run("approve", video, "--render", first["render_sha256"]).returncode == 2
    assert home.told(video)["state"] == "published"
    assert len(posts(home, video)) == 1
    assert home.run("approve", video).returncode == 2


def test_the_ui_approves_the_render_that_is_there(reviewing: Reviewing) -> None:
    up, home = reviewing.up, reviewing.up.home
    video = home.run("submit", home.request(review="required")).stdout.strip()
    reaches(home, video, "awaiting_review")
    event = {"eventType": "ASSET_MATERIALIZATION", "assetKey": {"path": ["review"]}, "partitionKeys": [video]}
    answer = up.graphql(REPORT, e=event | {"description": "looks good"})
    assert answer["reportRunlessAssetEvents"]["__typename"] == "ReportRunlessAssetEventsSuccess"
    reaches(home, video, "published", 30)
    assert len(posts(home, video)) == 1


def test_rest_approves_one_render(reviewing: Reviewing) -> None:
    """Dagster's own REST address for what happened outside."""
    up, home = reviewing.up, reviewing.up.home
    video = home.run("submit", home.request(review="required")).stdout.strip()
    reaches(home, video, "awaiting_review")
    place = f"{up.url}/report_asset_materialization/review"
    other = {"partition": video, "metadata": {"render_sha256": "0" * 64}}
    assert httpx.post(place, json=other, timeout=30).is_success
    this = {"partition": video, "metadata": {"render_sha256": home.told(video)["render_sha256"], "by": "Ada"}}
    assert home.told(video)["state"] == "awaiting_review"
    assert httpx.post(place, json=this, timeout=30).is_success
    reaches(home, video, "published", 30)
    assert len(posts(home, video)) == 1


def test_own_scenes_go_back_to_their_author_and_a_wait_outlives_the_engine(home: Home) -> None:
    request = home.request(review="required")
    made = home.made(request)
    assert made["state"] == "awaiting_review"
    assert until(lambda: not home.processes(), 10)
    video = made["id"]
    assert home.run("reject", video, "--feedback", " ").returncode == 2
    assert home.run("reject", video, "--feedback", "The robot is too small.").returncode == 0
    done = home.run("make", request)
    assert done.returncode == 1, done.stderr
    assert "The robot is too small." in done.stderr
    status = home.told(video)
    assert (status["state"], status["feedback"]) == ("rejected", "The robot is too small.")
    assert posts(home, video) == []
