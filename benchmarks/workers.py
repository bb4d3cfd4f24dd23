"""How many videos go through a fleet in a minute with 1, 2 and 4 places for renders.

    python benchmarks/workers.py [--videos N] [--seconds S] [--print-only]

A real broker (RabbitMQ), a real database (Postgres), `cm up` and `cm worker`s; only the stages do no work, but for a
render, which waits for S seconds as a host elsewhere would work: so two cores are enough to see what the queues cost.
"""

import argparse
import json
import re
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench_home import REQUEST, BenchHome, bench_home, header
from goals import Goals

from cm_assets_tests import postgres, rabbitmq
from cm_assets_tests.conftest import until

SLOTS = (1, 2, 4)
GOAL = {1: 0.6, 2: 0.6, 4: 0.5}
"""Part of what the places could do at best that must be reached."""


def worker(home: BenchHome, queues: str, concurrency: int) -> "subprocess.Popen[bytes]":
    log = f"worker-{queues.replace(',', '-')}-{concurrency}.log"
    process = home.up.home.start("worker", "--queues", queues, "--concurrency", str(concurrency), log=log)
    if not until(lambda: " ready." in home.up.home.log(log) or process.poll() is not None, 240):
        raise SystemExit(f"a worker did not start:\n{home.up.home.log(log)}")
    return process


def measured(home: BenchHome, slots: int, count: int) -> float:
    """Seconds that some videos take."""
    home.instance.event_log_storage.set_concurrency_slots("render", slots)
    renders = worker(home, "render", slots)
    begun = time.monotonic()
    for number in range(count):
        home.client.submit(REQUEST | {"id": f"slots-{slots}-{number}"}, source="benchmark")
    while home.client.database.newest(limit=1, wanted=True):
        if time.monotonic() > begun + 120 + 30 * count:
            raise SystemExit(f"the videos are not done; the logs are in {home.folder}")
        time.sleep(0.25)
    took = time.monotonic() - begun
    renders.send_signal(signal.SIGTERM)
    renders.wait(60)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--print-only", action="store_true", help="exit code 0 if a goal is missed, too")
    options = parser.parse_args()
    print(header(), flush=True)
    goals = Goals()
    with (
        tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name,
        rabbitmq.server() as broker,
        postgres.server() as database,
        bench_home(
            Path(name),
            CM_BROKER_URL=broker.url,
            CM_DATABASE_URL=postgres.new_database(database),
            CM_MAX_CONCURRENT_RUNS="10",
            CM_STAND_IN_WORK=json.dumps({"render": {"sleep": options.seconds}}),
        ) as home,
    ):
        others = worker(home, "script,audio,clips,publish", 4)
        try:
            print(f"{options.videos} videos, a render waits {options.seconds:g} s\n")
            print(f"{'places for renders':<20}{'seconds':>9}{'videos a minute':>17}{'of the best':>13}{'goal':>7}")
            for slots in SLOTS:
                took = measured(home, slots, options.videos)
                share = options.videos * options.seconds / slots / took
                judged = goals.judge(f"{slots} places", met=share >= GOAL[slots])
                rate = 60 * options.videos / took
                print(f"{slots:<20}{took:>9.0f}{rate:>17.1f}{share:>13.0%}{GOAL[slots]:>7.0%}  {judged}", flush=True)
            logs = [log.read_text() for log in home.up.home.folder.glob("worker-*.log")]
            taken = sum(len(re.findall(r" of run \S+ (?:begins|is left alone)", log)) for log in logs)
            print(f"\n{taken / (len(SLOTS) * options.videos):.2f} messages a video were taken from the broker")
        finally:
            with suppress(subprocess.TimeoutExpired):
                others.send_signal(signal.SIGTERM)
                others.wait(30)
            others.kill()
    if not options.print_only:
        goals.end()


if __name__ == "__main__":
    main()
