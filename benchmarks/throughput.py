"""How many videos without work go through a home in a minute, what they cost, and whether each is made exactly once.

    python benchmarks/throughput.py [--full] [--database-url URL]

All requests are stored first; then `cm up` makes them, eight at once: the backlog, the queue, two runs a video
(produce, publish), pools. `--database-url` is that of the intent database; SQLite in the home by default.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import dagster as dg
from bench_home import REQUEST, STEPS, bench_home, bury, cpu, header
from goals import Goals

CONCURRENT = 8
GOAL_A_MINUTE, GOAL_CPU = 60.0, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="200 videos instead of 24")
    parser.add_argument("--videos", type=int)
    parser.add_argument("--database-url", default="")
    options = parser.parse_args()
    count = options.videos or (200 if options.full else 24)
    print(header(), flush=True)
    variables = {"CM_MAX_CONCURRENT_RUNS": str(CONCURRENT)}
    if options.database_url:
        variables["CM_DATABASE_URL"] = options.database_url
    with (
        tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name,
        bench_home(Path(name), **variables) as home,
    ):
        bury()
        before, begun = cpu(), time.monotonic()
        for number in range(count):
            home.client.submit(REQUEST | {"id": f"video-{number}"}, source="benchmark")
        limit = begun + 120 + 10 * count
        while open_ones := home.client.database.newest(limit=1, wanted=True):
            if time.monotonic() > limit:
                raise SystemExit(f"{open_ones[0].id} and others are not done; the logs are in {home.folder}")
            time.sleep(0.5)
        took = time.monotonic() - begun
        bury()
        used = (cpu() - before) / count
        made = Counter(
            (stage, record.partition_key)
            for stage in STEPS
            for record in home.instance.fetch_materializations(dg.AssetKey(stage.split("/")), limit=20 * count).records
        )
        done = len(home.client.database.newest(limit=count + 1, outcome="done"))
        runs = Counter(str(run.status.value) for run in home.instance.get_runs())
        locked = home.locked()
    once = sum(made[stage, f"video-{number}"] == 1 for stage in STEPS for number in range(count))
    rate = 60 * count / took
    print(f"{count} videos, {CONCURRENT} at once, {took:.0f} s\n\n{'':<36}{'figure':>10}{'goal':>8}")
    goals, stages = Goals(), count * len(STEPS)
    for what, figure, goal, met in (
        ("videos a minute", f"{rate:.1f}", f"{GOAL_A_MINUTE:.0f}", rate >= GOAL_A_MINUTE),
        ("CPU seconds a video, all processes", f"{used:.2f}", f"{GOAL_CPU:.1f}", used <= GOAL_CPU),
        ("videos done", done, count, done == count),
        ("stages made exactly once", once, stages, once == stages),
        ("database is locked, in all logs", len(locked), 0, not locked),
    ):
        print(f"{what:<36}{figure:>10}{goal:>8}  {goals.judge(what, met=met)}")
    print(f"runs: {', '.join(f'{number} {status}' for status, number in runs.items())}")
    for line in locked[:5]:
        print(line)
    goals.end()


if __name__ == "__main__":
    main()
