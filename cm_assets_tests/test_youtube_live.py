"""A channel, from its consent to its posts: through `cm`, an engine, kills, refusals and full days."""

import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psutil
import pytest

from cm_assets.lifecycle.worklog import ACTIVE
from cm_assets.policies import STAGES
from cm_assets_tests.conftest import Home, until
from cm_assets_tests.emulators.youtube_server import CLIENT_ID, CLIENT_SECRET, Fault, YouTubeServer
from cm_assets_tests.test_make import LONG

pytestmark = pytest.mark.live

AT_WORK = [status.value for status in ACTIVE]


@pytest.fixture
def server() -> Iterator[YouTubeServer]:
    with YouTubeServer() as server:
        yield server


@pytest.fixture
def channel(home: Home, server: YouTubeServer) -> Iterator[Home]:
    """A home with `cm up` in it and a connected channel."""
    home.variables |= {
        "CM_YOUTUBE_URL": server.url,
        "CM_YOUTUBE_CLIENT_ID": CLIENT_ID,
        "CM_YOUTUBE_CLIENT_SECRET": CLIENT_SECRET,
        "CM_NO_BROWSER": "1",
    }
    refused = home.run("submit", home.request(platforms=["youtube"]))
    assert refused.returncode == 2
    assert "platforms: no account of youtube is connected: run cm connect youtube" in refused.stderr
    connecting = home.start("connect", "youtube", log="connect.log")
    address = until(lambda: re.search(r"^http\S+", home.log("connect.log"), re.MULTILINE), 30)
    assert address
    assert "can be closed" in httpx.get(address[0], follow_redirects=True).text
    assert connecting.wait(30) == 0
    assert home.run("connect").stdout.splitlines()[0] == "youtube: @channel"
    up = home.start("up", "--port", "0")
    try:
        assert until(lambda: "http://" in home.log(), 300), home.log()
        yield home
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(20)


def ended(home: Home, video: str, seconds: float = 120) -> str:
    ends = {"published", "partially_published", "failed"}
    until(lambda: home.told(video)["state"] in ends, seconds, 0.5)
    return str(home.told(video)["state"])


def active_runs(home: Home) -> int:
    return int(home.dagster(f"sum(run.status.value in {AT_WORK} for run in instance.get_runs())"))


def test_what_must_wait_goes_out_by_itself_in_order_and_holds_nothing(channel: Home, server: YouTubeServer) -> None:
    home = channel
    at = datetime.now(UTC) + timedelta(seconds=100)

    def submit(video: str, **changes: Any) -> None:
        document = {"id": video, "platforms": ["youtube"], "review": "auto", "post": {"title": video}} | changes
        done = home.run("submit", home.request(**document))
        assert done.returncode == 0, done.stderr

    # A limit is reached, until a time that the server says: none is lost, and the line keeps its order.
    server.faults = [Fault("open", status=429, reason="rateLimitExceeded", headers={"Retry-After": "75"})] * 3
    for video, priority in (("third", 9), ("first", 1), ("second", 5)):
        submit(video, priority=priority, publish_at=at.isoformat())
    line = ("first", "second", "third")
    assert until(lambda: all("YouTube" in home.told(video)["waiting_for"] for video in line), 240, 0.5), home.log()
    assert {home.told(video)["state"] for video in line} == {"scheduled"}
    assert until(lambda: active_runs(home) == 0, 20, 0.5)
    submit("fourth", platforms=["outbox"])
    assert ended(home, "fourth") == "published"
    assert all(ended(home, video, 150) == "published" for video in line)
    assert [video.resource["snippet"]["title"] for video in server.videos.values()] == list(line)

    # The platform is away for longer than a run tries: the other post stays, and this one comes by itself.
    server.faults = [Fault("open", status=503)] * (1 + STAGES["published_post/youtube"].retries)
    submit("patient", platforms=["outbox", "youtube"], on_partial_failure="take_down")
    assert until(lambda: home.told("patient")["state"] == "scheduled", 120, 0.5), home.told("patient")
    assert "published_post/youtube: YouTube" in home.told("patient")["waiting_for"]
    assert (home.path / "outbox" / "patient" / "post.json").exists()
    assert ended(home, "patient") == "published"
    assert len(server.videos) == 4

    # Cancelled when YouTube had the video and nobody here had heard so: it is found, and taken down.
    def cancel(_index: int, name: str) -> None:
        if name == "put: processed":
            server.on_event = lambda _index, _name: None
            assert home.run("cancel", "regretted").returncode == 0
            time.sleep(5)

    server.on_event = cancel
    submit("regretted")
    assert until(lambda: home.told("regretted")["state"] == "cancelled", 120, 0.5)
    assert until(lambda: len(server.videos) == 5, 20)
    assert home.run("take-down", "regretted").returncode == 0
    assert until(lambda: home.told("regretted")["state"] == "taken_down", 120, 0.5), home.told("regretted")
    assert len(server.videos) == 4


def test_a_channels_posts(channel: Home, server: YouTubeServer) -> None:
    home = channel

    def submit(video: str, **changes: Any) -> None:
        done = home.run(
            "submit", home.request(**{"id": video, "platforms": ["outbox", "youtube"], "review": "auto"} | changes)
        )
        assert done.returncode == 0, done.stderr

    def outbox(video: str) -> bool:
        return (home.path / "outbox" / video / "post.json").exists()

    submit("both", post={"privacy": "unlisted", "per_platform": {"youtube": {"title": "Only there"}}})
    assert ended(home, "both") == "published", home.log()
    (video,) = server.videos.values()
    assert video.resource["snippet"]["title"] == "Only there"
    assert set(home.told("both")["links"]) >= {"outbox", "youtube", "video"}
    assert home.told("both")["links"]["youtube"].endswith(video.id)

    # Two people approve it in the same moment.
    submit("approved", review="required")
    assert until(lambda: home.told("approved")["state"] == "awaiting_review", 120, 0.5)
    assert [one.wait(60) for one in [home.start("approve", "approved", log=f"approve{n}.log") for n in "12"]] == [0, 0]
    assert ended(home, "approved") == "published"
    assert len(server.videos) == 2

    # The worker is killed in the middle of an upload, and what takes its place goes on.
    def kill(_index: int, name: str) -> None:
        if name == "put: half of the body":
            server.on_event = lambda _index, _name: None
            for process in psutil.process_iter():
                try:
                    if process.environ().get("CM_HOME") == str(home.path) and "orchestration.warm" in " ".join(
                        process.cmdline()
                    ):
                        process.kill()
                except (psutil.Error, OSError):
                    continue

    server.on_event = kill
    submit("killed")
    assert ended(home, "killed") == "published"
    assert len(server.videos) == 3
    assert home.told("killed")["attempts"] >= 2

    # Refused for good: the outbox keeps it, or has it taken down.
    server.faults = [Fault("open", status=403, reason="forbidden")]
    submit("kept")
    assert ended(home, "kept") == "partially_published"
    assert "YouTube refuses it" in home.told("kept")["reason"]
    assert outbox("kept")
    assert home.run("retry", "kept").returncode == 0
    assert ended(home, "kept") == "published"
    assert len(server.videos) == 4
    server.faults = [Fault("open", status=403, reason="forbidden")]
    submit("all-or-none", on_partial_failure="take_down")
    assert ended(home, "all-or-none") == "failed"
    assert until(lambda: not outbox("all-or-none"), 20)

    # A full day holds up what it concerns, and nothing else.
    server.uploads_a_day = server.opened
    submit("tomorrow", scenes=LONG)
    assert until(lambda: "quota" in (home.told("tomorrow")["waiting_for"] or ""), 120, 0.5), home.told("tomorrow")
    submit("today", platforms=["outbox"])
    assert ended(home, "today") == "published"
    server.uploads_a_day += 1
    assert home.run("retry", "tomorrow").returncode == 0
    assert ended(home, "tomorrow") == "published"

    # And down again.
    assert home.run("take-down", "both", "--platform", "youtube").returncode == 0
    assert until(lambda: video.id in server.deleted, 60, 0.5)
    assert outbox("both")

    text = "\n".join(path.read_text(errors="replace") for path in (home.path / "engine").glob("*.log"))
    for secret in (*server.access, *server.refresh, CLIENT_SECRET, "upload_id="):
        assert secret not in text
