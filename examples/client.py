"""`client.py REQUEST.json VIDEO.mp4 [--approve]`: asks for a video, follows it, approves it if told to, and loads it.

CM_URL and CM_TOKEN say where, and who asks. Broken off anywhere and run again, it goes on with the same video.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

ENDS = {"published", "partially_published", "rejected", "failed", "cancelled", "taken_down", "retired"}
PAUSES = (1, 2, 4, 8, 16, *[30] * 10)


def send(http: httpx.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    """What the server says, however often it takes to hear it; a refusal ends the program."""
    for pause in PAUSES:
        with suppress(httpx.TransportError):
            answer = http.request(method, path, **more)
            if answer.status_code not in {429, 502, 503, 504}:
                return dict(answer.json()) if answer.is_success else sys.exit(f"{method} {path}: {answer.text}")
            time.sleep(int(answer.headers.get("Retry-After", 0)))
        time.sleep(pause)
    sys.exit(f"{method} {path}: the server is away, or has no room")


def follow(http: httpx.Client, video: str) -> Iterator[dict[str, Any]]:
    """Each change, as server-sent events; while there is no stream, where the video stands every two seconds."""
    told: dict[str, str] = {}
    while True:
        with suppress(httpx.HTTPError), http.stream("GET", f"/videos/{video}/events", headers=told) as answer:
            fields, rest = {}, b""
            for part in answer.raise_for_status().iter_bytes():
                *lines, rest = (rest + part).split(b"\n")  # iter_lines() would split at U+2028, too
                for line in lines:
                    name, _, fields[name] = line.decode().partition(": ")
                    if not line and "data" in fields:
                        told = {"Last-Event-ID": fields["id"]}
                        yield json.loads(fields.pop("data"))
        yield send(http, "GET", f"/videos/{video}")
        time.sleep(2)


def load(http: httpx.Client, video: str, sha256: str, path: Path) -> None:
    """Load a render; what is there of it already is not loaded again."""
    (part := path.with_name(f"{path.name}.{sha256[:16]}.part")).touch()
    for pause in PAUSES:
        here = {"Range": f"bytes={part.stat().st_size}-", "If-Range": f'"{sha256}"'}
        with suppress(httpx.TransportError):
            with http.stream("GET", f"/videos/{video}/video", headers=here) as answer, part.open("ab") as file:
                file.writelines(answer.iter_bytes() if answer.status_code == 206 else ())
            break
        time.sleep(pause)
    if hashlib.sha256(part.read_bytes()).hexdigest() != sha256:
        sys.exit(f"{path}: it could not be loaded, or is not the newest render any more")
    part.replace(path)


if __name__ == "__main__":
    request, path, approve = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), "--approve" in sys.argv
    who = {"Authorization": f"Bearer {os.environ['CM_TOKEN']}"} if os.environ.get("CM_TOKEN") else {}
    with httpx.Client(base_url=os.environ.get("CM_URL", "http://127.0.0.1:8080"), headers=who, timeout=30) as http:
        key = {"Idempotency-Key": hashlib.sha256(request).hexdigest(), "Content-Type": "application/json"}
        video = send(http, "POST", "/videos", content=request, headers=key)["id"]
        for event in follow(http, video):
            print(video, event["state"], f"{event['share']:.0%}", event["waiting_for"], event["reason"], flush=True)
            if event["state"] == "awaiting_review" and approve:
                render = {"render_sha256": send(http, "GET", f"/videos/{video}")["render_sha256"]}
                send(http, "POST", f"/videos/{video}/approve", json=render)
            if event["state"] in ENDS:
                load(http, video, send(http, "GET", f"/videos/{video}")["render_sha256"], path)
                sys.exit(event["state"] != "published")
