"""How well the downloads of a video's clips overlap: ten scenes, each with a clip of another size, from capped links.

The site's server hands out each connection at most `--rate` bytes a second, as delivery networks do, and any number of
connections at once. So no client can have the largest clip sooner than its size over the rate: that is the *floor*, the
time of the slowest single link. Ten clips one after the other would take about seven floors here. Measured is the whole
gathering, from the first search to the last clip that was decoded to its end, in a home that knows nothing: searches,
choice, downloads, checks, everything that the stage does but for copying the clips to the artifact store.

The goal is 1.3 floors. The check of a clip (ffmpeg decodes all of it) is part of the figure and not of the floor; it is
done while other clips still come, but that of the last one cannot be.

    python benchmarks/footage.py [--rate BYTES] [--runs N]
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from goals import Goals

from cm_assets.engines.footage.catalogue import Access, Means, sources
from cm_assets.engines.footage.gathering import Gathering
from cm_assets.media.ffmpeg import find
from cm_assets.models.clips import FootageQuery
from cm_assets.storage.database import Database
from cm_assets.storage.footage import FootageMemory
from cm_assets_tests.emulators.pexels_server import PexelsServer

WORDS = ("goat", "tram", "river", "office", "coffee", "mountain", "beach", "engine", "market", "rain")
SIZE = (1080, 1920)
GOAL = 1.3
"""Floors."""

MEGABITS = 8.0
"""Of a clip, a second: what stock sites give at this size."""


def clip(path: Path, seconds: float) -> bytes:
    source = f"testsrc2=size={SIZE[0]}x{SIZE[1]}:rate=30:duration={seconds}"
    rate = [f"-{name}" for name in ("b:v", "minrate", "maxrate", "bufsize")]
    command = [str(find().path), "-v", "error", "-y", "-f", "lavfi", "-i", source, "-vf", "noise=alls=12:allf=t"]
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    bits = [part for name in rate for part in (name, f"{MEGABITS}M")]
    subprocess.run([*command, *encoder, *bits, str(path)], check=True)
    return path.read_bytes()


def query(scene: int, word: str) -> FootageQuery:
    return FootageQuery(
        scene=scene,
        shot=0,
        text=f"All about the {word}.",
        terms=(word,),
        clip=None,
        width=SIZE[0],
        height=SIZE[1],
        seconds=4.0,
        mood="calm",
        seed=1,
        used=frozenset(),
    )


def gathered(server: PexelsServer, folder: Path) -> float:
    """Seconds for the clips of a video in a new home."""
    database = Database(f"sqlite:///{folder / 'cm.sqlite'}")
    memory = FootageMemory(database, "a-video")
    memory.until("pexels")  # a home has its tables before its first video
    means = Means(
        folder=None,
        ffmpeg=None,
        cache=folder / "cache",
        cache_bytes=10**10,
        allow_private=True,
        sites={"pexels": Access(server.search_url, server.key, "PEXELS_API_KEY", lambda: None)},
    )
    (folder / "into").mkdir()
    started = time.monotonic()
    gathering = Gathering(
        sources(["pexels"], means, memory, memory), folder / "into", lambda _share: None, last_try=False
    )
    clips = gathering.clips([query(scene, word) for scene, word in enumerate(WORDS)])
    seconds = time.monotonic() - started
    assert len({one.spec.key for one in clips}) == len(WORDS), gathering.passed_over
    database.dispose()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=1_000_000, help="bytes a second of one connection")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cm-footage-") as name, PexelsServer(rate=options.rate) as server:
        sizes = []
        for number, word in enumerate(WORDS):
            content = clip(Path(name) / "clip.mp4", 5 + number)
            sizes.append(len(content))
            server.video(f"a {word}", [(*SIZE, content)], seconds=5 + number)
        floor = max(sizes) / options.rate
        taken = []
        for run in range(options.runs):
            folder = Path(name) / f"home-{run}"
            folder.mkdir()
            taken.append(gathered(server, folder))
        goals, floors = Goals(), statistics.median(taken) / floor
        print(
            json.dumps(
                {
                    "clips": len(sizes),
                    "MB, all and the largest": [round(sum(sizes) / 1e6, 1), round(max(sizes) / 1e6, 1)],
                    "rate of a connection, MB/s": options.rate / 1e6,
                    "floor: the largest clip over one link, s": round(floor, 2),
                    "one after the other, s": round(sum(sizes) / options.rate, 2),
                    "runs, s": [round(one, 2) for one in taken],
                    "median, s": round(statistics.median(taken), 2),
                    f"floors (goal {GOAL})": [round(floors, 3), goals.judge("floors", met=floors <= GOAL)],
                    "connections at once": server.most_at_once,
                },
                indent=1,
            )
        )
    goals.end()


if __name__ == "__main__":
    main()
