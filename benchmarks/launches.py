"""How many runs a second one intake can put into the queue, and one daemon can take out of it.

    python benchmarks/launches.py [--runs N] [--postgres]

Workers are left out: a launcher that starts nothing has each run succeed at once. So what is measured is what the two
processes that a home has only once can do, however many hosts do the work. SQLite, or a Postgres server of its own.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bytecode
import dagster as dg

from cm_assets.client import Client
from cm_assets.lifecycle.worklog import ATTEMPT_TAG
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.daemon import answers
from cm_assets.orchestration.launching import LOCATION, Launcher
from cm_assets.orchestration.processes import start, sweep
from cm_assets.partitions import PARTITIONS
from cm_assets.policies import PRODUCE
from cm_assets.settings import Settings

HERE = Path(__file__).parent
OUTPUT = HERE / "measured" / "launches.json"
REQUEST = {"scenes": [{"text": "A small robot waters the garden.", "search_terms": ["robot"]}], "music": "none"}
LIMIT = 300.0


def measure(runs: int, database_url: str) -> dict[str, float]:
    """Queue so many runs, and have them taken out; runs a second of each."""
    with tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        os.environ |= bytecode.environment() | {
            "PYTHONPATH": os.pathsep.join([str(HERE / "stand_ins"), str(HERE.parent)]),
            "CM_MAX_CONCURRENT_RUNS": "100",
            **({"CM_DATABASE_URL": database_url} if database_url else {}),
        }
        settings = Settings(home=folder / "home")
        client = Client(settings)
        yaml = settings.home / "dagster.yaml"
        text = yaml.read_text()
        stock = "module: cm_assets.orchestration.launcher\n  class: WarmRunLauncher"
        assert stock in text
        yaml.write_text(text.replace(stock, "module: nowhere\n  class: NowhereLauncher"))
        sys.path.insert(0, str(HERE / "stand_ins"))
        instance = stack.enter_context(homes.open_instance(settings))
        stack.callback(sweep, settings.home, but=frozenset([os.getpid()]))
        socket, workspace = folder / "code.sock", folder / "workspace.yaml"
        workspace.write_text(f"load_from:\n  - grpc_server: {{socket: {str(socket)!r}, location_name: {LOCATION}}}\n")
        start(
            ["-m", "dagster", "api", "grpc", "-m", "cm_assets.definitions", "-s", str(socket)],
            settings.home,
            folder / "code-server.log",
        )
        deadline = time.monotonic() + LIMIT
        while not answers(socket):
            if time.monotonic() > deadline:
                raise SystemExit(f"the code server did not start:\n{(folder / 'code-server.log').read_text()}")
            time.sleep(0.1)
        launcher = stack.enter_context(Launcher(instance, socket))
        for number in range(runs):
            client.submit({**REQUEST, "id": f"video-{number}"}, source="benchmark")
        taken = []
        for number in range(runs):
            began = time.monotonic()
            video = f"video-{number}"
            instance.add_dynamic_partitions(PARTITIONS, [video])
            launcher.launch("produce_video", PRODUCE, video, {ATTEMPT_TAG: "1", "dagster/priority": "-10"}, {})
            taken.append(time.monotonic() - began)
        start(
            ["-m", "cm_assets.orchestration.daemon", str(socket), "run", "-w", str(workspace)],
            settings.home,
            folder / "daemon.log",
        )
        done = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
        while (count := instance.get_runs_count(done)) < runs:
            if time.monotonic() > deadline:
                raise SystemExit(f"{count} of {runs} runs were taken out; see {folder / 'daemon.log'}")
            time.sleep(0.2)
        ends = sorted(record.end_time for record in instance.get_run_records(done) if record.end_time is not None)
        return {
            "queued_a_second": round(1 / statistics.median(taken), 1),
            "started_a_second": round((len(ends) - 1) / (ends[-1] - ends[0]), 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    with ExitStack() as stack:
        url, kind = "", "sqlite"
        if options.postgres:
            from cm_assets_tests import postgres

            kind = "postgres"
            url = postgres.new_database(stack.enter_context(postgres.server()))
        figures = measure(options.runs, url)
    found: dict[str, Mapping[str, Any]] = json.loads(options.output.read_text()) if options.output.is_file() else {}
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    found = {**found, kind: {**figures, "runs": options.runs, "date": date, "cores": os.cpu_count()}}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n")
    print(
        f"{kind}, {options.runs} runs: {figures['queued_a_second']} a second into the queue, "
        f"{figures['started_a_second']} a second out of it"
    )


if __name__ == "__main__":
    main()
