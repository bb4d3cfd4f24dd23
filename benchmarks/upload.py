"""What YouTube's client reaches on loopback beside curl, and what memory a large file takes.

    python benchmarks/upload.py [--full]

The emulator, in a process of its own, takes the same file from both, in turn: an upload session is opened, and its
bytes are sent in one PUT. The client is the product's own, with its ledger on SQLite; its time includes the opening,
the captions and the cover. Memory is the peak of the process that uploads, above what it had before.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil
from bench_home import header
from goals import Goals

from cm_assets_tests.emulators.youtube_server import YouTubeServer
from cm_assets_tests.posting import Place

GOAL_RATIO, GOAL_MEMORY = 0.8, 64.0

MEGA = 1_000_000

_processes = multiprocessing.get_context("spawn")


def serve(pipe: Connection) -> None:
    with YouTubeServer() as server:
        pipe.send((server.url, server.connected()))
        pipe.recv()


def upload(place: Place, pipe: Connection) -> None:
    """Post once small, so that everything is imported, then the file; seconds and megabytes."""
    place.publish("youtube", 1)
    before = psutil.Process().memory_info().rss
    draft = place.draft(2, video_id="large")
    begun = time.perf_counter()
    place.publish("youtube", 2, draft=draft)
    took = time.perf_counter() - begun
    peak = 1024 * next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    pipe.send((took, (peak - before) / MEGA))


def ours(folder: Path, url: str, secret: dict[str, Any], file: Path) -> tuple[float, float]:
    folder.mkdir()
    place = Place(folder, {"youtube": url})
    place.connect("youtube", secret)
    place.files(2)["video"].unlink()
    place.files(2)["video"].symlink_to(file)
    here, there = _processes.Pipe()
    process = _processes.Process(target=upload, args=(place, there))
    process.start()
    took, memory = here.recv()
    process.join()
    return took, memory


def curl(url: str, secret: dict[str, Any], file: Path) -> float:
    size = file.stat().st_size
    resource = {
        "snippet": {"title": "curl", "description": "", "tags": [], "categoryId": "22"},
        "status": {"privacyStatus": "private"},
    }
    opened = httpx.post(
        f"{url}/upload/youtube/v3/videos?uploadType=resumable&part=snippet,status",
        json=resource,
        headers={"Authorization": f"Bearer {secret['access_token']}", "X-Upload-Content-Length": str(size)},
    )
    begun = time.perf_counter()
    subprocess.run(
        [
            *("curl", "-sf", "-o", os.devnull, "-H", "Expect:", "-H", f"Content-Range: bytes 0-{size - 1}/{size}"),
            *("-H", f"Authorization: Bearer {secret['access_token']}", "-T", str(file), opened.headers["location"]),
        ],
        check=True,
    )
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="2 GB five times instead of 300 MB three times")
    options = parser.parse_args()
    size, rounds = (2000, 5) if options.full else (300, 3)
    print(header(), flush=True)
    with tempfile.TemporaryDirectory(prefix="cm-bench-") as name:
        folder = Path(name)
        file = folder / "video.mp4"
        with file.open("wb") as out:
            for _ in range(size):
                out.write(os.urandom(MEGA))
        here, there = _processes.Pipe()
        server = _processes.Process(target=serve, args=(there,))
        server.start()
        url, secret = here.recv()
        pairs = [(curl(url, secret, file), *ours(folder / str(n), url, secret, file)) for n in range(rounds)]
        here.send("stop")
        server.join()
    ratios = [theirs / took for theirs, took, _ in pairs]
    memory = max(peak for _, _, peak in pairs)
    print(f"{size} MB, {rounds} pairs\n\n{'':<44}{'figure':>10}{'goal':>8}")
    print(f"{'curl, MB/s':<44}{size / statistics.median(theirs for theirs, _, _ in pairs):>10.0f}")
    print(f"{'the client, MB/s':<44}{size / statistics.median(took for _, took, _ in pairs):>10.0f}")
    ratio = statistics.median(ratios)
    goals = Goals()
    said = goals.judge("the client against curl", met=ratio >= GOAL_RATIO)
    print(f"{'the client against curl (median of pairs)':<44}{ratio:>10.2f}{GOAL_RATIO:>8.1f}  {said}")
    said = goals.judge("peak memory", met=memory <= GOAL_MEMORY)
    print(f"{'peak memory above idle, MB':<44}{memory:>10.1f}{GOAL_MEMORY:>8.0f}  {said}")
    print(f"single pairs: {', '.join(f'{one:.2f}' for one in ratios)}")
    goals.end()


if __name__ == "__main__":
    main()
