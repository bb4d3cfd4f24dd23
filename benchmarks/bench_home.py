"""A home with `cm up` in it whose stages do no work: what its runs took, and what its processes cost.

Which parts are left out, and that all else is the product's own, `stand_ins/sitecustomize.py` says.
"""

import ctypes
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bytecode
import dagster as dg
import httpx
import psutil

from cm_assets.client import Client
from cm_assets.settings import Settings
from cm_assets_tests.conftest import Home, Up, until

STAND_INS = Path(__file__).with_name("stand_ins")

REQUEST: dict[str, Any] = {
    "scenes": [
        {"text": "A small robot waters the garden.", "search_terms": ["robot"]},
        {"text": "Then it takes the train home.", "search_terms": ["train"]},
    ],
    "music": "none",
}

STEPS = ("brief", "script", "audio", "background_clips", "render", "published_post/outbox")
"""All stages of a video, in one run: what "Materialize all" launches in the UI."""

PR_SET_CHILD_SUBREAPER = 36

START_LIMIT, LIMIT = 120.0, 120.0
"""Seconds that `cm up` may take to answer, and a video to be made."""


@dataclass(frozen=True, slots=True)
class Run:
    """When something happened to a run; seconds since 1970.

    Attributes:
        created: Dagster had it.
        dequeued: the daemon took it out of the queue.
        began: its worker said that it had begun.
        steps: start and end by step.
        ended: the run's own end.
    """

    created: float
    dequeued: float
    began: float
    steps: Mapping[str, tuple[float, float]]
    ended: float

    @property
    def first_step(self) -> float:
        """When the first step started."""
        return min(start for start, _ in self.steps.values())

    @property
    def overlapped(self) -> bool:
        """Whether audio and clips were made side by side."""
        audio, clips = self.steps["audio"], self.steps["background_clips"]
        return audio[0] < clips[1] and clips[0] < audio[1]


class BenchHome:
    """A running `cm up` and a reader of its records."""

    def __init__(self, up: Up, client: Client, instance: dg.DagsterInstance) -> None:
        self.up = up
        self.client = client
        self.instance = instance
        self.folder = up.home.folder

    def launch(self, video: str) -> str:
        """Launch all six stages by the webserver's GraphQL, as the UI does; the run's id."""
        return self.up.launch(
            "__ASSET_JOB", video, {"ops": {"brief": {"config": {"request": REQUEST}}}}, assets=list(STEPS)
        )

    def ended(self, run_id: str) -> Run:
        """The run's times, once it has ended well."""
        until(lambda: (run := self.instance.get_run_by_id(run_id)) is not None and run.is_finished, LIMIT, 0.1)
        record = self.instance.get_run_record_by_id(run_id)
        if record is None or not record.dagster_run.is_success or record.end_time is None:
            said = [entry.user_message or entry.message for entry in self.instance.all_logs(run_id)][-5:]
            raise SystemExit(f"run {run_id} did not succeed: {said}; the logs are in {self.folder}")
        first = {
            kind: entry.timestamp
            for entry in reversed(self.instance.all_logs(run_id))
            if entry.dagster_event is not None and (kind := entry.dagster_event.event_type)
        }
        steps = {
            one.step_key: (one.start_time, one.end_time)
            for one in self.instance.get_run_step_stats(run_id)
            if one.start_time is not None and one.end_time is not None
        }
        kinds = dg.DagsterEventType
        return Run(
            record.create_timestamp.timestamp(),
            first[kinds.RUN_STARTING],
            first[kinds.RUN_START],
            steps,
            record.end_time,
        )

    def run_of(self, video: str, job: str = "produce_video") -> str:
        """The id of the video's run of a job, waited for."""
        wanted = dg.RunsFilter(tags={"dagster/partition": video}, job_name=job)
        found = until(lambda: self.instance.get_runs(wanted, limit=1), LIMIT, 0.1)
        if not found:
            raise SystemExit(f"{video} was never launched; the logs are in {self.folder}")
        return str(found[0].run_id)

    def locked(self) -> list[str]:
        """Lines of all logs that say that a database was locked."""
        return [
            f"{path.name}: {line}"
            for path in (*self.folder.glob("*.log"), *(self.folder / "home" / "engine").glob("*.log"))
            for line in path.read_text(errors="replace").splitlines()
            if "database is locked" in line
        ]


def cpu() -> float:
    """CPU seconds, user and system, of all that this process has started, directly or not, dead or alive."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = used.ru_utime + used.ru_stime
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def adopt_orphans() -> None:
    """Become the parent of whatever is orphaned below, so that `cpu` sees it. Linux only."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark counts CPU seconds by a call that only Linux has")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bury(*own: subprocess.Popen[bytes]) -> None:
    """Wait for the adopted that are dead: only then are they counted among the children."""
    known = {process.pid for process in own}
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.pid not in known and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def _paths(*, stand_ins: bool = True) -> dict[str, str]:
    """The variables by which every Python below finds the stand-ins, if it is to, and byte code."""
    kept = bytecode.environment()
    first = [str(STAND_INS)] if stand_ins else []
    paths = [*first, str(STAND_INS.parent.parent), *filter(None, [kept.get("PYTHONPATH")])]
    # Empty is as good as unset, and a variable of the parent's would win over one that is left out.
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONPYCACHEPREFIX": kept["PYTHONPYCACHEPREFIX"],
        "PYTHONDONTWRITEBYTECODE": "",
    }


@contextmanager
def stock_home(folder: Path) -> Iterator[BenchHome]:
    """Run `dagster dev` on what a fresh clone holds, without an engine, and stop it."""
    adopt_orphans()
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
        shutil.copyfile(STAND_INS.parent.parent / name, folder / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"CM_HOME": str(folder / ".cm"), "CM_DAGSTER_HOME": str(folder), "DAGSTER_HOME": str(folder)}
    home = Home(folder, _paths() | variables)
    command = [str(Path(sys.executable).parent / "dagster"), "dev", "-w", "workspace.yaml", "-p", str(port)]
    with (folder / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=home.environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{url}/server_info", timeout=5).is_success
        return False

    try:
        if not until(answers, START_LIMIT, 0.5):
            raise SystemExit(f"dagster dev did not start:\n{home.log('dev.log')}")
        client = Client(Settings(home=home.path, dagster_home=folder))
        # The checkout's dagster.yaml has paths from where one is.
        with chdir(folder), dg.DagsterInstance.get() as instance:
            yield BenchHome(Up(home, url), client, instance)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        home.kill_everything()
        bury()


@contextmanager
def bench_home(folder: Path, *, stand_ins: bool = True, **variables: str) -> Iterator[BenchHome]:
    """Run `cm up` in a folder, with settings by environment variables, and stop it."""
    adopt_orphans()
    home = Home(folder, _paths(stand_ins=stand_ins) | variables)
    process = home.start("up", "--port", "0")
    try:
        until(lambda: "http://" in home.log() or process.poll() is not None, START_LIMIT)
        address = re.search(r"http://\S+", home.log())
        if address is None:
            raise SystemExit(f"cm up did not start:\n{home.log()}")
        database = variables.get("CM_DATABASE_URL", "")
        client = Client(Settings(home=home.path, database_url=database))  # points this process at the home, too
        with dg.DagsterInstance.get() as instance:
            yield BenchHome(Up(home, address[0]), client, instance)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        home.kill_everything()
        bury()


def figures(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile; of one figure, that one."""
    high = statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
    return statistics.median(values), high


def header() -> str:
    """Where and when, and whether anybody else was at work."""
    load = os.getloadavg()[0]
    busy = f"; load {load:.1f}: machine not idle" if load > 0.5 else "; machine idle"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores{busy}"
