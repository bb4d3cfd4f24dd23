"""How many requests for videos a second the HTTP API takes, each in the database before it is answered.

    python benchmarks/submissions.py [--full]

`cm serve` on SQLite with full synchronisation, without an engine, in a process of its own; a minute (--full; else ten
seconds) of requests at a constant rate, sent whether or not earlier ones are answered, so that a server that stalls
does not stop the clock. A latency begins when its request is due. In the same run the disk alone: a row and a commit,
as fast as one writer can, which is the floor of what any queue on this disk can promise.
"""

import argparse
import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from bench_home import header
from goals import Goals

RATE, GOAL_P99 = 200, 0.100

CONNECTIONS = 50


def floor(folder: Path, seconds: float = 3.0) -> float:
    """Commits a second of one writer who does nothing else."""
    connection = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table t (id integer primary key, text text)")
    count, deadline = 0, time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        connection.execute("insert into t (text) values (?)", ("x" * 500,))
        count += 1
    connection.close()
    return count / seconds


async def load(url: str, seconds: float) -> tuple[list[float], list[int]]:
    """Latencies in seconds, and the statuses of the answers."""
    latencies: list[float] = []
    statuses: list[int] = []
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client, asyncio.TaskGroup() as tasks:
        begun = time.perf_counter()

        async def send(number: int, due: float) -> None:
            answer = await client.post(
                "/videos",
                json={"scenes": [{"text": f"Robot number {number} waters the garden.", "search_terms": ["garden"]}]},
                headers={"Idempotency-Key": f"bench-{number}"},
            )
            latencies.append(time.perf_counter() - due)
            statuses.append(answer.status_code)

        for number in range(int(RATE * seconds)):
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(send(number, due))
    return latencies, statuses


def main() -> None:
    """Measure, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="for a minute")
    seconds = 60.0 if arguments.parse_args().full else 10.0
    print(header())
    goals = Goals()
    with tempfile.TemporaryDirectory(prefix="cm-bench-") as name:
        folder = Path(name)
        commits = floor(folder)
        environment = os.environ | {"CM_HOME": str(folder / "home"), "CM_MAX_BACKLOG": "1000000", "CM_MIN_FREE": "0"}
        server = subprocess.Popen(
            [sys.executable, "-m", "cm_assets.cli", "serve", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[0]
            httpx.post(f"{url}/videos", json={"scenes": [{"text": "Warm."}]}).raise_for_status()
            latencies, statuses = asyncio.run(load(url, seconds))
        finally:
            server.terminate()
            server.wait()
        with sqlite3.connect(folder / "home" / "cm.sqlite") as connection:
            (stored,) = connection.execute("select count(*) from requests where key like 'bench-%'").fetchone()
    expected = int(RATE * seconds)
    p50, p99 = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
    taken = sum(status == 202 for status in statuses)
    print(f"{RATE} a second for {seconds:.0f} s: {taken} of {expected} answered 202, {stored} in the database")
    goals.judge("all are taken and stored", met=taken == stored == expected)
    verdict = goals.judge(f"p99 of {GOAL_P99 * 1000:.0f} ms", met=p99 <= GOAL_P99)
    print(f"latency: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms (goal {GOAL_P99 * 1000:.0f}: {verdict})")
    print(f"the disk alone: {commits:.0f} commits a second; {RATE / commits:.2f} of that")
    goals.end()


if __name__ == "__main__":
    main()
