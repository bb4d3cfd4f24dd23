"""The API in front of a real engine, and what is left of it when it is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cm_assets_tests.conftest import SHORT, Home, until

pytestmark = pytest.mark.live


class Served:
    """A home with `cm up` in it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.process = home.start("up", "--port", "0", "--web-port", "0")
        assert until(lambda: "the board" in home.log(), 90), home.log()
        (self.url,) = [line.split()[0] for line in home.log().splitlines() if line.endswith("the board")]
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def submit(self, **changes: Any) -> dict[str, Any]:
        answer = self.http.post("/videos", json=SHORT | changes)
        assert answer.status_code == 202, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def events(self, video: str) -> Iterator[dict[str, Any]]:
        with self.http.stream("GET", f"/videos/{video}/events", timeout=120) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def until_state(self, video: str, state: str) -> dict[str, Any]:
        assert until(lambda: self.http.get(f"/videos/{video}").json()["state"] == state, 120, 0.3)
        found: dict[str, Any] = self.http.get(f"/videos/{video}").json()
        return found

    def web_pid(self) -> int:
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if "cm_assets.web.serve" in " ".join(child.cmdline()):
                    return child.pid
        raise AssertionError("the API does not run")


@pytest.fixture
def served(home: Home) -> Iterator[Served]:
    one = Served(home)
    yield one
    one.http.close()
    one.process.send_signal(signal.SIGINT)
    one.process.wait(20)
    assert until(lambda: not home.processes(), 20)


def test_a_video_from_its_request_to_its_post(served: Served) -> None:
    video = served.submit(id="reviewed", review="required")["id"]
    told = []
    for event in served.events(video):
        told.append(event)
        if event["state"] == "awaiting_review":
            break
    states = list(dict.fromkeys(event["state"] for event in told))
    assert states[-2:] == ["producing", "awaiting_review"]
    assert "render" in {event["stage"] for event in told}
    assert all(0 <= event["share"] <= 1 for event in told)

    found = served.http.get(f"/videos/{video}").json()
    sha256 = found["render_sha256"]
    stale = served.http.post(f"/videos/{video}/approve", json={"render_sha256": "0" * 64})
    assert stale.status_code == 409
    assert "look at it first" in stale.json()["detail"]

    # The files, whole, in part, and not again.
    whole = served.http.get(found["links"]["video"])
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert whole.headers["etag"] == f'"{sha256}"'
    part = served.http.get(found["links"]["video"], headers={"Range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, whole.content[10:100])
    wrong = {"Range": "bytes=10-99", "If-Range": '"another"'}
    assert served.http.get(found["links"]["video"], headers=wrong).status_code == 200
    assert served.http.get(found["links"]["video"], headers={"Range": "bytes=99999999-"}).status_code == 416
    known = served.http.get(found["links"]["video"], headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert served.http.get(found["links"]["cover"]).content.startswith(b"\xff\xd8")
    assert served.http.get(found["links"]["captions"]).text.startswith("WEBVTT")
    assert "-->" in served.http.get(found["links"]["captions"], params={"format": "srt"}).text

    approved = served.http.post(f"/videos/{video}/approve", json={"render_sha256": sha256, "by": "Ann"})
    assert approved.status_code == 200
    assert served.until_state(video, "published")["posts"]["outbox"]
    # Its run ends a moment after its posts are there.
    taken = until(lambda: (a := served.http.post(f"/videos/{video}/take-down", json={})).status_code == 200 and a, 20)
    assert taken.json() == {"platforms": ["outbox"]}
    assert served.until_state(video, "taken_down")["posts"] == {}

    text = served.http.get("/metrics").text
    assert 'cm_videos{state="taken_down"} 1.0' in text
    assert 'cm_stage_attempts_total{ended="done",stage="render"} 1.0' in text

    # Rejected: whoever gave the scenes is told why.
    other = served.submit(id="rejected", review="required")["id"]
    sha256 = served.until_state(other, "awaiting_review")["render_sha256"]
    body = {"render_sha256": sha256, "feedback": "Say <b>more</b> about the garden."}
    assert served.http.post(f"/videos/{other}/reject", json=body).status_code == 200
    assert served.until_state(other, "rejected")["feedback"] == body["feedback"]


def test_requests_are_taken_while_everything_else_is_down(served: Served) -> None:
    web = served.web_pid()
    for process in served.home.processes():
        if process.pid != served.process.pid:
            process.kill()
    assert served.submit(id="meanwhile")["id"] == "meanwhile"
    assert served.web_pid() == web
    served.until_state("meanwhile", "published")

    # And the other way round: the API alone is killed, and comes back.
    os.kill(web, signal.SIGKILL)

    def back() -> bool:
        try:
            return served.http.get("/healthz").status_code == 204
        except httpx.TransportError:
            return False

    assert until(back, 30, 0.2)
    assert served.http.get("/videos/meanwhile").json()["state"] == "published"


def test_what_was_answered_before_the_kill_is_there_after_it(tmp_path: Path) -> None:
    environment = os.environ | {"CM_HOME": str(tmp_path / ".cm"), "CM_MIN_FREE": "0"}

    def serve() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "cm_assets.cli", "serve", "--port", "0"],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        return process, process.stdout.readline().split()[0]

    process, url = serve()
    taken: dict[str, str] = {}
    enough = threading.Event()

    def send(sender: int) -> None:
        with httpx.Client(base_url=url, timeout=10) as http:
            for number in range(1000):
                key = f"{sender}-{number}"
                try:
                    answer = http.post("/videos", json=SHORT, headers={"Idempotency-Key": key})
                except httpx.TransportError:
                    return
                assert answer.status_code == 202
                taken[key] = answer.json()["id"]
                if len(taken) >= 150:
                    enough.set()

    senders = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for sender in senders:
        sender.start()
    assert enough.wait(60)
    process.kill()
    for sender in senders:
        sender.join()
    process.communicate()

    process, url = serve()
    try:
        with httpx.Client(base_url=url, timeout=10) as http:
            for key, video in taken.items():
                again = http.post("/videos", json=SHORT, headers={"Idempotency-Key": key})
                assert (again.status_code, again.json()["id"]) == (200, video)
                assert http.get(f"/videos/{video}").json()["state"] == "queued"
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0
