"""`examples/client.py` against a real server, behind a proxy with faults, and with its web server killed."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cm_assets_tests.conftest import Home, until
from cm_assets_tests.emulators.proxy import Fault, Proxy
from cm_assets_tests.serving import Served, serving
from cm_assets_tests.test_make import LONG

pytestmark = pytest.mark.live

CLIENT = Path(__file__).parent.parent / "examples" / "client.py"


@pytest.fixture
def served(home: Home) -> Iterator[Served]:
    with serving(home) as served:
        yield served


def start(served: Served, *options: str, url: str = "", token: str = "") -> tuple[subprocess.Popen[bytes], Path]:
    """The client at work, and where the video will be."""
    folder = served.home.folder
    request = folder / "request.json"
    request.write_text(json.dumps({"scenes": LONG, "music": "none", "review": "required"}))
    with (folder / "client.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(CLIENT), str(request), str(folder / "video.mp4"), *options],
            env=served.home.environment() | {"CM_URL": url or served.url, "CM_TOKEN": token},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return process, folder / "video.mp4"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_less_than_eighty_lines() -> None:
    assert len(CLIENT.read_text().splitlines()) < 80


def test_a_way_with_faults_ends_with_one_video_loaded_whole(served: Served) -> None:
    served.lock()
    home = served.home
    faults = [
        Fault("POST /videos", lost=True),
        Fault("POST /videos", status=429, headers={"Retry-After": "2"}),
        Fault("POST /videos", reset=True),
        Fault("GET /events", status=503),
        Fault("GET /events", cut=700),
        Fault("POST /approve", lost=True),
        Fault("GET /video", cut=100_000),
        Fault("GET /video", reset=True),
    ]
    with Proxy(served.url, faults) as proxy:
        process, path = start(served, "--approve", url=proxy.address, token=served.token)
        assert process.wait(150) == 0, home.log("client.log")
    assert proxy.faults == []
    (video,) = served.get("/videos")["videos"]
    assert video["state"] == "published"
    assert sha256(path) == video["render_sha256"]
    assert [one.name for one in home.folder.glob("video.mp4*")] == ["video.mp4"]

    submitted = [one for one in proxy.requests if one.what == "POST /videos"]
    assert len(submitted) == 4
    assert len({one.headers["idempotency-key"] for one in submitted}) == 1
    streams = [one.headers.get("last-event-id") for one in proxy.requests if one.what.endswith("/events")]
    assert len(streams) >= 3
    assert streams[-1], "it says what it has heard before"
    ranges = [one.headers["range"] for one in proxy.requests if one.what.endswith("/video")]
    assert ranges == ["bytes=0-", "bytes=100000-", "bytes=100000-"]

    # And once more: it finds its video.
    path.unlink()
    process, path = start(served, token=served.token)
    assert process.wait(60) == 0, home.log("client.log")
    assert sha256(path) == video["render_sha256"]
    assert len(served.get("/videos")["videos"]) == 1


def test_a_web_server_that_is_killed_meanwhile_is_come_back_to(served: Served) -> None:
    home = served.home
    process, path = start(served, "--approve")
    assert until(lambda: "producing" in home.log("client.log"), 60), home.log("client.log")
    served.web_server().kill()
    assert process.wait(150) == 0, home.log("client.log")
    assert "it is started again" in home.log()
    (video,) = served.get("/videos")["videos"]
    assert sha256(path) == video["render_sha256"]


def test_what_is_refused_ends_it_with_the_reason(served: Served) -> None:
    process, path = start(served, token="cm_nobodys")
    assert process.wait(30) == 1
    assert "this token is not known" in served.home.log("client.log")
    assert not path.exists()
