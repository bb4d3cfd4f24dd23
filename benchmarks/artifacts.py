"""What the artifact store reaches on S3 beside a plain client, and what memory a large file takes.

    python benchmarks/artifacts.py [--full]

A SeaweedFS on loopback takes the same file from both, in turn, and gives it back into a file. The plain client is
botocore's `put_object` and `get_object` without anything around them. The store's time includes its digests before and
after, the parts and the copy that it keeps. Memory is the peak of the process that does it, above what it had before.
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from bench_home import header
from goals import Goals

from cm_assets.storage.artifacts import ArtifactStore
from cm_assets_tests import s3

GOAL_RATIO, GOAL_MEMORY = 0.8, 64.0

MEGA = 1_000_000

_processes = multiprocessing.get_context("spawn")


def plain(pipe: Connection, bucket: str, file: Path, folder: Path) -> None:
    client = s3.client(os.environ)
    client.put_object(Bucket=bucket, Key="warm", Body=b"x")
    before = psutil.Process().memory_info().rss
    begun = time.perf_counter()
    with file.open("rb") as body:
        client.put_object(Bucket=bucket, Key="plain", Body=body)
    put = time.perf_counter() - begun
    begun = time.perf_counter()
    with (folder / "plain").open("wb") as out:
        for block in client.get_object(Bucket=bucket, Key="plain")["Body"].iter_chunks(1 << 20):
            out.write(block)
    pipe.send((put, time.perf_counter() - begun, _peak() - before))


def ours(pipe: Connection, bucket: str, file: Path, folder: Path) -> None:
    # No room for copies, so that what is stored must be loaded.
    store = ArtifactStore(f"s3://{bucket}/ours", folder / "cache", 0)
    store.put_bytes("v", "warm", b"x", ".txt", "text/plain")
    before = psutil.Process().memory_info().rss
    begun = time.perf_counter()
    ref = store.put_file("v", "render", file, "video/mp4")
    put = time.perf_counter() - begun
    shutil.rmtree(folder / "cache")
    begun = time.perf_counter()
    store.local(ref)
    pipe.send((put, time.perf_counter() - begun, _peak() - before))


def _peak() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def measured(work: Callable[..., None], *arguments: Any) -> tuple[float, float, float]:
    """Seconds up and down, and bytes, of some work in a process and a folder of its own."""
    here, there = _processes.Pipe()
    with tempfile.TemporaryDirectory(prefix="cm-bench-") as folder:
        process = _processes.Process(target=work, args=(there, *arguments, Path(folder)))
        process.start()
        found: tuple[float, float, float] = here.recv()
        process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="1 GB five times instead of 300 MB three times")
    options = parser.parse_args()
    size, rounds = (1000, 5) if options.full else (300, 3)
    print(header(), flush=True)
    with tempfile.TemporaryDirectory(prefix="cm-bench-") as name, s3.server(Path(name) / "s3") as server:
        os.environ.update(server.variables)
        file = Path(name) / "video.mp4"
        pairs = []
        for _ in range(rounds):
            # Another content each time: nobody has it already.
            with file.open("wb") as out:
                for _ in range(size):
                    out.write(os.urandom(MEGA))
            bucket = server.new_bucket()
            pairs.append((measured(plain, bucket, file), measured(ours, bucket, file)))
    goals = Goals()
    print(f"{size} MB, {rounds} pairs\n\n{'':<44}{'figure':>10}{'goal':>8}")
    for way, place in (("put", 0), ("get", 1)):
        for who, which in (("botocore", 0), ("the store", 1)):
            seconds = statistics.median(pair[which][place] for pair in pairs)
            print(f"{f'{way}: {who}, MB/s':<44}{size / seconds:>10.0f}")
        ratios = [theirs[place] / own[place] for theirs, own in pairs]
        ratio = statistics.median(ratios)
        said = goals.judge(f"{way} against botocore", met=ratio >= GOAL_RATIO)
        print(f"{f'{way}: against botocore (median of pairs)':<44}{ratio:>10.2f}{GOAL_RATIO:>8.1f}  {said}")
        print(f"  single pairs: {', '.join(f'{one:.2f}' for one in ratios)}")
    memory = max(own[2] for _, own in pairs) / MEGA
    said = goals.judge("peak memory", met=memory <= GOAL_MEMORY)
    print(f"{'peak memory above idle, MB':<44}{memory:>10.1f}{GOAL_MEMORY:>8.0f}  {said}")
    print(f"{'the same of botocore, MB':<44}{max(theirs[2] for theirs, _ in pairs) / MEGA:>10.1f}")
    goals.end()


if __name__ == "__main__":
    main()
