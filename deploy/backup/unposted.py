"""Names what a restored home would post although it may be posted already: `python3 unposted.py`, `cm` in the path.

The ledger of a backup does not know of posts that were made after it. The outbox needs no such care: a video has one
folder there, and is never in it twice.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

OPEN = ("queued", "producing", "awaiting_review", "scheduled", "publishing")

PAGE = 1000
"""Videos of one list, the most that `cm list` takes."""


def main() -> int:
    """Name them; the exit code."""
    for video in open_videos():
        posts = {stage["stage"] for stage in video["stages"] if stage["stage"].startswith("published_post/")}
        if posts - {"published_post/outbox"}:
            print(video["id"])
    return 0


def open_videos() -> Iterator[dict[str, Any]]:
    """All of them, the newest first. One that is cancelled meanwhile still says where the list goes on."""
    command = ["cm", "list", "--json", "--limit", str(PAGE), *(f"--state={state}" for state in OPEN)]
    after: list[str] = []
    while True:
        told = subprocess.run([*command, *after], stdout=subprocess.PIPE, check=True)
        page = json.loads(told.stdout)["videos"]
        yield from page
        if len(page) < PAGE:
            return
        after = ["--before", page[-1]["id"]]


if __name__ == "__main__":
    sys.exit(main())
