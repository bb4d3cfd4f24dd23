"""The warm parent of run workers: a process with one thread that has imported everything and forks on request.

It reads one JSON object a line on stdin, `{"run": "..."}`, Dagster's arguments of a run's worker, and answers with one
on stdout, `{"worker": "..."}`. It ends when stdin does. Its workers do not: each lives under a guard of its
own, so that whatever happens to parent, daemon or code server, a run goes on, and when a worker ends, however it does,
its guard ends all that it started and says so to Dagster.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO

import dagster as dg
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import deserialize_value

from cm_assets.orchestration.processes import adopt_orphans, end_descendants, reaped
from cm_assets.orchestration.program import log_as_configured
from cm_assets.orchestration.sqlite import files_of_run, keep_connections, kept_open
from cm_assets.orchestration.workers import Worker, returned
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings

Execute = Callable[[ExecuteRunArgs], None]

GRACE = 3.0
"""Seconds that a worker has between being asked to end and being made to."""


def main() -> None:
    """Serve until stdin ends. Arguments: the module whose `execute` a worker calls, and those to import first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the processes above
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever is printed goes to the log
    log_as_configured(Settings().log_format)
    execute: Execute = import_module(sys.argv[1]).execute
    _prepare(sys.argv[2:])
    print(json.dumps({"ready": os.getpid()}), file=answers)
    for line in sys.stdin:
        print(json.dumps(_launched(json.loads(line)["run"], execute, answers)), file=answers)


def _prepare(modules: list[str]) -> None:
    """Import and open all that a worker would else import and open by itself, each anew.

    Raises:
        RuntimeError: a module started a thread, which would not survive a fork.
    """
    for name in modules:
        getattr(import_module(name), "warm", lambda: None)()
    with dg.DagsterInstance.get() as instance:
        instance.get_run_records(limit=1)
        instance.all_asset_keys()
        instance.has_dynamic_partition(PARTITIONS, "")  # has all asked for that is remembered of an index
        _ = instance.compute_log_manager, instance.run_coordinator  # their modules are imported when they are asked for
    threads = threading.enumerate()
    if len(threads) > 1:
        raise RuntimeError(f"the parent of run workers must have one thread, and has {[one.name for one in threads]}")


def _launched(said: str, execute: Execute, answers: IO[str]) -> dict[str, str]:
    """Start a guarded worker; who it is."""
    reads, writes = os.pipe()
    middle = os.fork()
    if middle == 0:
        # The guard is a grandchild, so that nobody has to wait for it.
        if os.fork() == 0:
            os.close(reads)
            answers.close()
            os._exit(returned(lambda: _guard(said, execute, writes)))
        os._exit(0)
    os.close(writes)
    os.waitpid(middle, 0)
    with os.fdopen(reads) as pipe:
        said = pipe.read()
    return {"worker": said} if said else {"error": "the worker died before it said who it is"}


def _guard(said: str, execute: Execute, writes: int) -> None:
    """Watch a worker until it ends, then end what it left behind and make sure that its run has an end."""
    os.setsid()
    adopt_orphans()
    args = deserialize_value(said, ExecuteRunArgs)
    asked: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(time.monotonic()))
    worker = os.fork()
    if worker == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.write(writes, str(Worker.current()).encode())
        os.close(writes)
        keep_connections()
        os._exit(returned(lambda: execute(args)))
    os.close(writes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code, told = None, False
    with kept_open(_files(args)):
        while code is None:
            if asked and not told:
                os.kill(worker, signal.SIGINT)
                told = True
            if asked and time.monotonic() - asked[0] > GRACE:
                os.kill(worker, signal.SIGKILL)
            code = reaped(worker)
            time.sleep(0 if code is not None else 0.05)
    end_descendants()
    if code != 0:
        _report(args, code)


def _files(args: ExecuteRunArgs) -> list[Path]:
    """What the worker and its steps will write to."""
    return files_of_run(args.instance_ref, args.run_id) if args.instance_ref is not None else []


def _report(args: ExecuteRunArgs, code: int) -> None:
    """Give the run an end if its worker could not. Who retries it decides by the run's own record."""
    if args.instance_ref is None:
        return
    with dg.DagsterInstance.from_ref(args.instance_ref) as instance:
        run = instance.get_run_by_id(args.run_id)
        if run is None or run.is_finished:
            return
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, f"Its worker ended {how}.")
        else:
            instance.report_run_failed(run, f"Its worker ended {how}.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


if __name__ == "__main__":
    main()
