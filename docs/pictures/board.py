"""Makes docs/pictures/board.jpg and review.jpg of a home of its own; run from the repository's root.

python docs/pictures/board.py

Needs requirements/browser.lock and Chromium.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

URL = "http://127.0.0.1:8099"

VIDEOS: dict[str, dict[str, Any]] = {
    "How honey never spoils": {"scenes": ["Honey never spoils.", "Bees dry it until nothing can live in it."]},
    "Why the sea is salty": {"scenes": ["Rain wears rocks down.", "Rivers carry their salt to the sea."]},
    "Three AI trends you can use today": {"scenes": ["Three AI trends for small teams.", "Agents plan and check."]},
    "A short history of coffee": {"scenes": ["Coffee began with goats.", "Two billion cups are drunk a day."]},
    "The moon in sixty seconds": {"scenes": ["The moon leaves us slowly.", "Each year it is a thumb further away."]},
    "Save an hour every morning": {"scenes": ["Put your phone in another room.", "Make a list at night."]},
    "How a camera sees": {"scenes": ["A lens bends light.", "A sensor counts it."]},
    "Trees that talk": {"scenes": ["Trees warn each other.", "Their roots carry the message."]},
    "Paper, from rags to rolls": {"scenes": ["Paper was once made of rags.", "Then came wood."]},
}
"""Titles and words; the last are still in the making when the picture is taken."""

DONE, REVIEWED = 7, {"The moon in sixty seconds", "How a camera sees", "Save an hour every morning"}


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory(prefix="cm-pictures-") as home:
        command = [sys.executable, "-m", "cm_assets.cli", "up", "--port", "0", "--web-port", URL.rpartition(":")[2]]
        up = subprocess.Popen(command, env=os.environ | {"CM_HOME": home, "CM_MAX_CONCURRENT_RUNS": "2"})
        try:
            _make()
            _look()
        finally:
            up.terminate()
            up.wait(30)


def _make() -> None:
    with httpx.Client(base_url=URL, timeout=60, transport=httpx.HTTPTransport(retries=0)) as http:
        _until(lambda: _answers(http), 120)
        for number, (title, asked) in enumerate(VIDEOS.items()):
            scenes = [{"text": text} for text in asked["scenes"]]
            review = {"review": "required"} if title in REVIEWED else {}
            body = {"scenes": scenes, "post": {"title": title}, "seed": number, "music": "chill"} | review
            http.post("/videos", json=body).raise_for_status()
            if number < DONE:
                _until(
                    lambda: not http.get("/videos?state=queued&state=producing&state=publishing").json()["videos"], 300
                )
        _until(lambda: http.get("/videos?state=producing").json()["videos"], 60)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").json()["engine"] is True
    except (httpx.TransportError, ValueError):
        return False


def _look() -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        options: dict[str, Any] = {"type": "jpeg", "quality": 80}
        page.goto(URL)
        page.wait_for_timeout(2500)
        page.screenshot(path=Path("docs/pictures/board.jpg"), **options)
        page.goto(f"{URL}/review")
        page.wait_for_timeout(2500)
        page.screenshot(path=Path("docs/pictures/review.jpg"), **options)
        browser.close()


def _until(done: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit("that took too long")
        time.sleep(0.3)


if __name__ == "__main__":
    main()
