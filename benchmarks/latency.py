"""How long it takes until work begins, and what six stages without work cost, beside plain job queues.

    python benchmarks/latency.py [--full]

(a) GraphQL `launchRun` on the webserver of a running `cm up`, all six stages in one run; (b) `cm submit` and a file
that is moved into the inbox, to the start of the first step; (c) the same six steps in RQ, Celery and BullMQ, in the
same run; (d) `cm submit` and the inbox again where there are Dagster's own daemons (`dagster dev`) and no `cm up`.
The stages do no work (`stand_ins/` says what is left out), so that what is left is ours and Dagster's: the
asset graph, the queue, the launcher, the executor, pools, checks and IO are those of a real video.

Launches come at odd moments, so that they meet the polls of daemon and intake anywhere. CPU seconds are of all
processes of the home, their polling included.
"""

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

import peers
import yaml
from bench_home import REQUEST, BenchHome, bench_home, bury, cpu, figures, header, stock_home
from goals import Goals

GOALS = {"first": 1.2, "done": 2.0, "submit": 1.5, "inbox": 1.5, "cpu": 1.0, "stock": 8.0}

STOCK_LAUNCHES = 10
"""With Dagster's own daemons, where a launch takes seconds."""

Row = tuple[str, list[float], float | None]


def graphql(home: BenchHome, launches: int) -> tuple[list[Row], str]:
    """Launches by GraphQL: to the first step, to the end, CPU seconds."""
    first, done, sides = [], [], 0
    bury()
    before = cpu()
    for number in range(launches):
        video = f"graphql-{number}"
        home.up.add(video)
        time.sleep(random.uniform(0, 1))
        asked = time.time()
        run = home.ended(home.launch(video))
        first.append(run.first_step - asked)
        done.append(run.ended - asked)
        sides += run.overlapped
    bury()
    used = [(cpu() - before) / launches]
    rows: list[Row] = [
        ("GraphQL launch -> first step", first, GOALS["first"]),
        ("GraphQL launch -> six stages done", done, GOALS["done"]),
        ("CPU seconds a video (mean)", used, GOALS["cpu"]),
    ]
    return rows, f"audio and clips overlapped in {sides} of {launches} runs"


def submitted(home: BenchHome, launches: int, goal: float = GOALS["submit"]) -> Row:
    """From the start of `cm submit` to the first step."""
    taken = []
    for number in range(launches):
        path = home.up.home.request(f"submit-{number}.yaml", **REQUEST, id=f"submit-{number}")
        time.sleep(random.uniform(0, 1))
        asked = time.time()
        done = home.up.home.run("submit", path)
        if done.returncode:
            raise SystemExit(done.stderr)
        taken.append(home.ended(home.run_of(f"submit-{number}")).first_step - asked)
    return "cm submit -> first step", taken, goal


def dropped(home: BenchHome, launches: int, goal: float = GOALS["inbox"]) -> Row:
    """From the moment when a file is moved into the inbox to the first step."""
    taken = []
    for number in range(launches):
        part = home.folder / f"inbox-{number}.yaml"
        part.write_text(yaml.safe_dump(REQUEST | {"id": f"inbox-{number}"}))
        time.sleep(random.uniform(0, 1))
        asked = time.time()
        part.replace(home.client.settings.inbox / part.name)
        taken.append(home.ended(home.run_of(f"inbox-{number}")).first_step - asked)
    return "inbox file -> first step", taken, goal


def show(goals: Goals, name: str, values: list[float], goal: float | None) -> None:
    median, most = figures(values)
    wanted, said = "", ""
    if goal:
        wanted, said = f"{goal:.1f}", goals.judge(name, met=median <= goal)
        said += "" if median <= goal else f", x{median / goal:.1f}"
    high = f"{most:8.3f}" if len(values) > 1 else " " * 8
    print(f"{name:<36}{median:8.3f}{high}{wanted:>8}  {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="60 launches of each instead of 20")
    parser.add_argument("--launches", type=int)
    options = parser.parse_args()
    goals = Goals()
    launches = options.launches or (60 if options.full else 20)
    print(header())
    print(f"{launches} launches of each\n\n{'seconds':<36}{'p50':>8}{'p95':>8}{'goal':>8}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name,
        bench_home(Path(name)) as home,
    ):
        home.up.add("warm-up")
        home.ended(home.launch("warm-up"))
        rows, said = graphql(home, launches)
        rows += [submitted(home, launches), dropped(home, launches)]
        for row in rows:
            show(goals, *row)
        for line in home.locked()[:5]:
            print(line)
    ours = figures(rows[1][1])[0]
    print(f"{said}\n\n{'six empty steps in a plain queue':<36}{'p50':>8}{'p95':>8}{'ours':>8}", flush=True)
    for peer, chains in peers.measure(launches).items():
        if isinstance(chains, str):
            print(f"{peer:<12}{chains}")
            continue
        show(goals, f"{peer}, submitted -> first step", [first for first, _ in chains], None)
        median, most = figures([last for _, last in chains])
        print(
            f"{peer + ', submitted -> last step done':<36}{median:8.3f}{most:8.3f}{f'x{ours / median:.0f}':>8}",
            flush=True,
        )
    print("\nwith Dagster's own daemons", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name,
        stock_home(Path(name)) as home,
    ):
        home.client.settings.inbox.mkdir(parents=True, exist_ok=True)
        for what, values, goal in (
            submitted(home, STOCK_LAUNCHES, GOALS["stock"]),
            dropped(home, STOCK_LAUNCHES, GOALS["stock"]),
        ):
            show(goals, f"{what}, stock", values, goal)
    print(f"load at the end: {os.getloadavg()[0]:.1f}")
    goals.end()


if __name__ == "__main__":
    main()
