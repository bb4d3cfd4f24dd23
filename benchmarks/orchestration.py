"""What Dagster adds to the making of one video, under each stock executor.

    python benchmarks/orchestration.py [--runs NUMBER] [--executors NAMES...]

A code server, a daemon and an instance as the engine has them, in a home of their own; two short scenes, another seed
each time, so that nothing is in the render's cache. Overhead is the time from the launch to the end of the run, minus
the critical path of the steps' own work: brief, script, the longer of audio and background_clips, render. What
an executor loses by running those two in turn is therefore overhead too. Medians; the first run of each is not counted.

One difference that the overhead hides: steps that share a process import onnxruntime, PyAV and the like once, those
that have their own do so each; that is in the steps' own work. So the time of the whole run is told as well.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import bytecode
import dagster as dg

from cm_assets.client import Client
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.daemon import answers
from cm_assets.orchestration.launching import LOCATION, Launcher
from cm_assets.orchestration.processes import start, sweep
from cm_assets.partitions import PARTITIONS
from cm_assets.policies import PRODUCE
from cm_assets.settings import Settings

EXECUTORS = ("in_process", "fork", "forkserver", "spawn")

REQUEST = {
    "scenes": [
        {"text": "A small robot waters the garden.", "search_terms": ["robot"]},
        {"text": "Then it takes the train home.", "search_terms": ["train"]},
    ],
    "music": "calm",
}

LIMIT = 180.0
"""Seconds that a run, or the start of the code server, may take."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one run.

    Attributes:
        whole: from the launch to the end of the run.
        work: critical path of the steps' own work.
        before: from the launch to the start of the first step; half a second of it on average waits for the queue.
        between: between the first step's start and the last one's end, apart from the work.
        after: from the end of the last step to that of the run.
        overhead: the three together.
    """

    whole: float
    work: float
    before: float
    between: float
    after: float
    overhead: float


@contextmanager
def engine(executor: str, folder: Path) -> Iterator[tuple[Client, dg.DagsterInstance, Launcher]]:
    """A code server with the definitions under one executor, and a daemon."""
    settings = Settings(home=folder / "home")
    client = Client(settings)  # also points this process and its children at the home
    code_socket = folder / "code.sock"
    workspace = folder / "workspace.yaml"
    workspace.write_text(f"load_from:\n  - grpc_server: {{socket: {str(code_socket)!r}, location_name: {LOCATION}}}\n")
    server = ["-m", "dagster", "api", "grpc", "-m", "executors", "-a", executor, "-d", str(Path(__file__).parent)]
    instance = homes.open_instance(settings)
    try:
        start([*server, "-s", str(code_socket)], settings.home, folder / "code-server.log")
        start(
            ["-m", "cm_assets.orchestration.daemon", str(code_socket), "run", "-w", str(workspace)],
            settings.home,
            folder / "daemon.log",
        )
        deadline = time.monotonic() + LIMIT
        while not answers(code_socket):
            if time.monotonic() > deadline:
                raise SystemExit(f"the code server did not start:\n{(folder / 'code-server.log').read_text()}")
            time.sleep(0.1)
        with Launcher(instance, code_socket) as launcher:
            yield client, instance, launcher
    finally:
        sweep(settings.home, but=frozenset([os.getpid()]))
        instance.dispose()


def run(client: Client, instance: dg.DagsterInstance, launcher: Launcher, seed: int) -> Times:
    """Make a video and take its times."""
    video = client.submit(REQUEST | {"seed": seed}, source="benchmark").stored.id
    instance.add_dynamic_partitions(PARTITIONS, [video])
    launched = time.time()
    run_id = launcher.launch("produce_video", PRODUCE, video, {}, {})
    while True:
        record = instance.get_run_record_by_id(run_id)
        if record is not None and record.dagster_run.is_finished:
            break
        if time.time() - launched > LIMIT:
            raise SystemExit(f"the run did not end in {LIMIT:g} s")
        time.sleep(0.2)
    if not record.dagster_run.is_success or record.end_time is None:
        raise SystemExit(f"the run failed: {[e.message for e in instance.all_logs(run_id)][-5:]}")
    steps = {step.step_key: (step.start_time, step.end_time) for step in instance.get_run_step_stats(run_id)}
    spans = {key: (begun, ended) for key, (begun, ended) in steps.items() if begun is not None and ended is not None}
    took = {key: ended - begun for key, (begun, ended) in spans.items()}
    work = took["brief"] + took["script"] + max(took["audio"], took["background_clips"]) + took["render"]
    first, last = min(begun for begun, _ in spans.values()), max(ended for _, ended in spans.values())
    whole = record.end_time - launched
    return Times(whole, work, first - launched, last - first - work, record.end_time - last, whole - work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--executors", nargs="+", choices=EXECUTORS, default=EXECUTORS)
    parser.add_argument("--only", choices=EXECUTORS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure(options.only, options.runs)
        return
    print(
        f"{'seconds':<12}{'whole run':>11}{'work':>8}{'before':>8}{'between':>9}{'after':>7}{'overhead':>10}",
        flush=True,
    )
    for executor in options.executors:
        # A process for each: Dagster keeps a home once it has found it.
        command = [sys.executable, __file__, "--only", executor, "--runs", str(options.runs)]
        subprocess.run(command, check=True, env=bytecode.environment())


def measure(executor: str, runs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name:
        with engine(executor, Path(name)) as parts:
            taken = [run(*parts, seed=seed) for seed in range(runs + 1)][1:]
        whole, work, before, between, after, overhead = (
            statistics.median(column) for column in zip(*map(astuple, taken), strict=True)
        )
        figures = f"{whole:>11.2f}{work:>8.2f}{before:>8.2f}{between:>9.2f}{after:>7.2f}{overhead:>10.2f}"
        every = ", ".join(f"{times.overhead:.2f}" for times in taken)
        print(f"{executor:<12}{figures}   (overhead of each run: {every})", flush=True)


if __name__ == "__main__":
    main()
