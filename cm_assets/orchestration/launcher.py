"""Dagster's run launcher of this project: run workers are forked from a warm parent, guarded, and can be looked up.

Stock Dagster starts an interpreter for each run, and leaves a run STARTED for hours when its code server and its worker
die together, since it cannot tell whether the worker lives. This one can: the worker's identity is a tag of the run.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._config import Array, Field
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from cm_assets.orchestration.workers import WORKER_TAG, Worker, started

PACKAGE = Path(__file__).parents[1]

WORK = "cm_assets.orchestration.run_worker"
"""What a worker calls `execute` of."""

PRELOAD = (
    "dagster._core.executor.multiprocess",
    "cm_assets.storage.tables",
    "cm_assets.definitions",
)
"""What a warm parent imports."""


class WarmRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Launches runs on this host.

    Args:
        preload: modules that the warm parent imports; a function `warm` in one is called.
        inst_data: Dagster's own record of this configuration.
    """

    def __init__(self, preload: list[str] | None = None, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inst_data = inst_data
        self._preload = tuple(preload or PRELOAD)

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Dagster's own record of this configuration."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """What `dagster.yaml` may say."""
        return {"preload": Field(Array(str), is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the worker of a run, and note on the run who it is."""
        run, origin = context.dagster_run, context.job_code_origin
        assert origin is not None
        args = ExecuteRunArgs(
            job_origin=origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=None,
        )
        worker = _nursery.launch(serialize_value(args), self._preload, self._instance.root_directory)
        self._instance.add_run_tags(run.run_id, {WORKER_TAG: worker})

    def prepare(self) -> None:
        """Start the warm parent of this process, which will launch runs for sure, such as a daemon."""
        _nursery.prepare(self._preload, self._instance.root_directory)

    def terminate(self, run_id: str) -> bool:
        """Ask a run's worker to end; its guard makes it if it does not. False if there is none to ask."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        worker = Worker.parse(run.tags.get(WORKER_TAG, ""))
        if worker is None or not worker.local or not worker.alive:
            return False
        # The guard asks the worker. Where it was killed, the worker is asked directly.
        guarded = started(worker.guard) is not None
        os.kill(worker.guard if guarded else worker.pid, signal.SIGTERM if guarded else signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It can."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run's worker lives, by the process table."""
        worker = Worker.parse(run.tags.get(WORKER_TAG, ""))
        if worker is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "nobody was noted as its worker")
        if not worker.local:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, f"its worker is on {worker.host}")
        if worker.alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its worker is gone")


class Nursery:
    """Keeps the warm parent of this process's launches, always of the code and configuration that are on the disk.

    Args:
        work: as of `WarmParent`.
    """

    def __init__(self, work: str = WORK) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._parent: WarmParent | None = None

    def launch(self, args: str, preload: tuple[str, ...], home: str) -> str:
        """Fork a run's worker; who it is.

        Raises:
            RuntimeError: it could not.
        """
        with self._lock:
            return self._current(preload, home).launch(args)

    def prepare(self, preload: tuple[str, ...], home: str) -> None:
        """Start a warm parent before the first launch needs it."""
        with self._lock:
            self._current(preload, home)

    def _current(self, preload: tuple[str, ...], home: str) -> "WarmParent":
        now = generation(Path(home) / "dagster.yaml")
        if self._parent is None or self._parent.generation != now or not self._parent.alive:
            if self._parent is not None:
                self._parent.retire()
            self._parent = WarmParent(preload, now, self._work)
        return self._parent


class WarmParent:
    """The other end of `cm_assets.orchestration.warm`.

    Args:
        modules: to be imported there.
        generation: which code and configuration it has.
        work: the module whose `execute` a worker calls with its arguments.
    """

    def __init__(self, modules: tuple[str, ...], generation: str, work: str = WORK) -> None:
        self.generation = generation
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cm_assets.orchestration.warm", work, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._ready = False

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def launch(self, args: str) -> str:
        """Fork a run's worker; who it is.

        Args:
            args: Dagster's `ExecuteRunArgs`, serialized.

        Raises:
            RuntimeError: it could not.
        """
        if not self._ready:
            self._answer()
            self._ready = True
        assert self._process.stdin is not None
        try:
            print(json.dumps({"run": args}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise RuntimeError("the warm parent of the run workers has died; the next launch starts another") from None
        answer = self._answer()
        if "worker" not in answer:
            raise RuntimeError(answer.get("error", "the run worker did not start"))
        return str(answer["worker"])

    def retire(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        threading.Thread(target=self._process.wait, daemon=True).start()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the warm parent of the run workers has died: see the daemon's log for the reason")
        answer: dict[str, Any] = json.loads(line)
        return answer


_nursery = Nursery()


def generation(*more: Path) -> str:
    """What code, and what else, is on the disk now; who has loaded other is of no use any more."""
    digest = hashlib.sha256()
    for path in [*sorted(PACKAGE.rglob("*.py")), *more]:
        try:
            status = path.stat()
        except OSError:
            continue
        digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\n".encode())
    return digest.hexdigest()
