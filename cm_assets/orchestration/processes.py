"""The processes of an engine: started with its mark, stopped to the last grandchild."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from cm_assets.orchestration.home import MARKER

PR_SET_CHILD_SUBREAPER = 36
"""Of Linux's prctl(2): orphans among the descendants become children of this process."""


def start(arguments: Sequence[str], home: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a Python program of the engine in a session of its own, its output appended to a log."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {MARKER: str(home)},
            start_new_session=True,
        )


def marked(home: Path, *, but: frozenset[int] = frozenset()) -> list[psutil.Process]:
    """Every process on this machine that carries the mark of the home's engine, except the pids in `but`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in but and process.environ().get(MARKER) == str(home):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def sweep(home: Path, *, but: frozenset[int] = frozenset()) -> int:
    """Kill every marked process, and those it started meanwhile; how many there were."""
    count = 0
    for _ in range(5):
        # The oldest first: a guard that outlived its worker would report a lost run.
        found = sorted(marked(home, but=but), key=_age)
        if not found:
            break
        count += len(found)
        for process in found:
            _kill(process)
        _wait(found)
    return count


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        _kill(process)
    _wait(family)


def kill_trees(pids: Iterable[int], home: Path) -> None:
    """Kill those processes that are this home's still, with all that they started; a pid may have a new owner."""
    for pid in pids:
        with suppress(psutil.Error, OSError):
            if psutil.Process(pid).environ().get(MARKER) == str(home):
                kill_tree(pid)


def stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask a process to end, and make it."""
    if process.poll() is None:
        process.terminate()
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    if process.poll() is None:
        kill_tree(process.pid)
        process.wait(5)


def adopt_orphans() -> None:
    """Become the parent of whatever is orphaned below this process, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reaped(child: int) -> int | None:
    """How a child ended; None while it lives. Buries adopted orphans on the way."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return -1
        if pid == 0:
            return None
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def end_descendants() -> None:
    """Kill all that is below this process, and what is orphaned meanwhile, if it adopts orphans."""
    me = psutil.Process()
    for _ in range(50):
        family = me.children(recursive=True)
        if not family:
            return
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        reaped(-1)
        time.sleep(0.02)


def _age(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.NoSuchProcess:
        return 0.0


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()


def _wait(processes: Sequence[psutil.Process], seconds: float = 2.0) -> None:
    """Wait until killed processes are dead. One that nobody has buried yet, a zombie, is dead enough."""
    deadline = time.monotonic() + seconds
    left = list(processes)
    while left and time.monotonic() < deadline:
        left = [process for process in left if not _dead(process)]
        if left:
            time.sleep(0.02)


def _dead(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
