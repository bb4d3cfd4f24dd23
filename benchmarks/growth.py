"""Whether what is done often stays as quick with 50,000 finished videos as with 1,000.

    python benchmarks/growth.py [--full]

One video is made by the product; the history is that video's rows again and again, under other ids: its request and
facts in the intent database; its runs, their tags, its partition key and, in the index of the event log, its
materializations and the changes of its runs' states, written by SQL into the storages' own tables, since Dagster's
methods would take an hour. Left out: planned materializations and checks (rows of the same table that nobody here
asks for by video), and the event log's file of each run, which is only opened for that run.

No `analyze`: nobody runs it in a real home, and with its figures SQLite would read all runs to find those in flight.

The intake's launcher is replaced by one that launches nothing, so that the same request can be launched again: what a
launch itself takes does not depend on the history, and `latency.py` measures it.
"""

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from bench_home import REQUEST, BenchHome, bench_home, header
from goals import Goals

from cm_assets.client import Client
from cm_assets.lifecycle.projection import Projection, cursor_of
from cm_assets.lifecycle.worklog import WorkLog
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.intake import Intake
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore

TEMPLATE = "grown-000000"
SMALL, FULL = (100, 1000), (100, 1000, 10_000, 50_000)
GOAL = 2.0
PAGE_GOAL = 300.0
"""Milliseconds of any page at the largest size: counts and a search read an index or every request, and so grow."""

KINDS = ("ASSET_MATERIALIZATION", "PIPELINE_ENQUEUED", "PIPELINE_STARTING", "PIPELINE_START", "PIPELINE_SUCCESS")

Rows = list[dict[str, Any]]


class NoLauncher:
    """Launches nothing."""

    def launch(self, *_: object) -> str:
        """The id of no run."""
        return "none"


def template(home: BenchHome) -> None:
    """Have one video made by the product."""
    home.client.submit(REQUEST | {"id": TEMPLATE}, source="benchmark")
    limit = time.monotonic() + 120
    while home.client.status(TEMPLATE).state != "published":
        if time.monotonic() > limit:
            raise SystemExit(f"the video was not made; the logs are in {home.folder}")
        time.sleep(0.2)
    time.sleep(1)  # the intake notes the end


def grow(home: Path, have: int, want: int) -> None:
    """Add finished videos to a home until there are `want`."""
    dagster = home / "dagster"
    with closing(sqlite3.connect(dagster / "history" / "runs.db")) as runs:
        ids = [row[0] for row in runs.execute("select run_id from runs where partition = ?", [TEMPLATE])]
        _repeat(runs, "runs", "run_id", ids, ids, have, want)
        _repeat(runs, "run_tags", "run_id", ids, ids, have, want)
    with closing(sqlite3.connect(dagster / "history" / "runs" / "index.db")) as index:
        _repeat(index, "event_logs", "dagster_event_type", KINDS, ids, have, want)
        _repeat(index, "dynamic_partitions", "partition", [TEMPLATE], ids, have, want)
    with closing(sqlite3.connect(home / "cm.sqlite")) as ours:
        _repeat(ours, "facts", "video_id", [TEMPLATE], ids, have, want)
        _repeat(ours, "requests", "id", [TEMPLATE], ids, have, want)
    for file in (dagster / "history" / "runs.db", dagster / "history" / "runs" / "index.db", home / "cm.sqlite"):
        with closing(sqlite3.connect(file)) as done:
            done.execute("pragma wal_checkpoint(truncate)")


def _repeat(
    base: sqlite3.Connection, table: str, column: str, wanted: Sequence[str], runs: Sequence[str], have: int, want: int
) -> None:
    """Write the template's rows of a table again, for each new video."""
    base.row_factory = sqlite3.Row
    marks = ", ".join("?" * len(wanted))
    of_template = f" and run_id in ({', '.join('?' * len(runs))})" if table == "event_logs" else ""
    query = f"select * from {table} where {column} in ({marks}){of_template}"
    rows = [dict(row) for row in base.execute(query, [*wanted, *(runs if of_template else ())])]
    names = [name for name in rows[0] if name != "id" or table == "requests"]
    insert = f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"

    def new() -> Iterator[list[object]]:
        for number in range(have, want):
            changes = {TEMPLATE: f"grown-{number:06}"} | {run: _run(run, number) for run in runs}
            for row in rows:
                yield [_other(table, name, row[name], changes, number) for name in names]

    with base:
        base.execute("pragma synchronous = off")
        base.executemany(insert, new())


def _run(run: str, number: int) -> str:
    return str(uuid.uuid5(uuid.UUID(run), str(number)))


def _other(table: str, name: str, value: object, changes: Mapping[str, str], number: int) -> object:
    if table == "requests" and name in {"received_at", "wanted_at"}:
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
    if table == "requests" and name == "key":
        return f"grown {number}"
    if isinstance(value, str):
        for old, new in changes.items():
            value = value.replace(old, new)
    return value


def measure(folder: Path, environment: Mapping[str, str], videos: int, repeats: int) -> dict[str, float]:
    """Medians in milliseconds."""
    settings = Settings(home=folder)
    client = Client(settings)
    middle = f"grown-{videos // 2:06}"
    found: dict[str, float] = {}
    with homes.open_instance(settings) as instance:
        worklog = WorkLog(instance)
        # As an engine that was there all the while has left it.
        client.database.move_cursor(cursor_of(worklog), worklog.newest_event())
        projection = Projection(client.database, worklog, ArtifactStore(settings.artifacts, settings.cache))
        intake = Intake(
            client.database,
            worklog,
            projection,
            NoLauncher(),
            home=folder,
            capacity=6,
            most_lost_runs=5,  # type: ignore[arg-type]
        )
        intake.tick()
        found["intake tick, nothing to do"] = _median(intake.tick, repeats)
        waiting = client.submit(REQUEST | {"seed": videos}, source="benchmark", new=True).stored.id
        found["intake tick, one to launch"] = _median(intake.tick, repeats)
        client.cancel(waiting)
        found["client.status"] = _median(lambda: client.status(middle), repeats)
        found["client.videos(limit=50)"] = _median(lambda: client.videos(limit=50), repeats)

        def event() -> None:
            instance.report_runless_asset_event(
                dg.AssetObservation("review", partition=TEMPLATE, metadata={"feedback": "x", "render_sha256": "0"})
            )

        found["projection, one new event"] = _median(lambda: projection.advance({}), repeats, event)
    found |= _over_http(settings, repeats)
    command = ["-m", "cm_assets.cli", "status", middle, "--json"]
    found["cm status, the process"] = _median(lambda: _cm(command, environment), max(3, repeats // 3))
    client.database.dispose()
    return found


def _over_http(settings: Settings, repeats: int) -> dict[str, float]:
    """The board and the API, without a network."""
    from fastapi.testclient import TestClient

    from cm_assets.web.app import create_app

    app = create_app(settings)
    house = app.state.house

    def forget() -> None:
        for recent in (house.counts, house.to_review, house.waiting):
            recent.forget()

    with TestClient(app, base_url="http://localhost") as http:

        def ask(address: str) -> Callable[[], object]:
            return lambda: http.get(address).raise_for_status()

        pages = ("/", "/?show=review", "/?q=nobody", "/videos?limit=50", "/metrics")
        found = {f"GET {page}": _median(ask(page), repeats, forget) for page in pages}
    house.client.database.dispose()
    return found


def _cm(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout)["state"] == "published"


def _median(work: Callable[[], object], repeats: int, before: Callable[[], None] = lambda: None) -> float:
    taken = []
    for _ in range(repeats):
        before()
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return 1000 * statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="up to 50,000 videos instead of 1,000")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print(header(), flush=True)
    sizes = FULL if options.full else SMALL
    table: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name:
        with bench_home(Path(name)) as home:
            template(home)
            environment = home.up.home.environment()
        have = 1
        for size in sizes:
            begun = time.monotonic()
            grow(home.up.home.path, have, size)
            print(f"{size:,} videos: built in {time.monotonic() - begun:.0f} s", flush=True)
            have = size
            table.append(measure(home.up.home.path, environment, size, options.repeats))
    against = sizes.index(1000)
    growth = f"x from {sizes[against - 1 if len(sizes) == len(SMALL) else against]:,}"
    print(f"\n{'milliseconds, median':<28}{''.join(f'{size:>9,}' for size in sizes)}{growth:>14}{'goal':>8}")
    goals = Goals()
    for what in table[0]:
        figures = [row[what] for row in table]
        ratio = figures[-1] / figures[0 if len(sizes) == len(SMALL) else against]
        page = what.startswith("GET")
        verdict = goals.judge(what, met=figures[-1] <= PAGE_GOAL if page else ratio <= GOAL)
        goal = f"{PAGE_GOAL:.0f} ms" if page else f"{GOAL:.0f}"
        print(f"{what:<28}{''.join(f'{one:>9.1f}' for one in figures)}{ratio:>14.2f}{goal:>8}  {verdict}")
    goals.end()


if __name__ == "__main__":
    main()
