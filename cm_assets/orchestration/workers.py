"""Which process works on a run, said so that it can be found again and never be mistaken for another."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

from cm_assets.storage.hosts import here

log = logging.getLogger("cm_assets.workers")

WORKER_TAG = "cm/worker"
"""On a run: who works on it."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A run's worker and the guard above it.

    Attributes:
        host: where it runs: the host's name and, on Linux, the pid name space.
        guard: pid of the process that watches the worker and ends what it leaves behind.
        pid: of the worker.
        started: when the worker started, in the kernel's own count, and since which start of the machine; pids come
            round again within hours, and after a restart both may.
    """

    host: str
    guard: int
    pid: int
    started: str

    @classmethod
    def current(cls) -> Self:
        """This process as a worker, its parent as the guard."""
        return cls(here(), os.getppid(), os.getpid(), started(os.getpid()) or "")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What a tag says; None if it says nothing."""
        parts = text.split("|")
        if len(parts) != 4 or not (parts[1].isdigit() and parts[2].isdigit()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3])

    def __str__(self) -> str:
        return f"{self.host}|{self.guard}|{self.pid}|{self.started}"

    @property
    def local(self) -> bool:
        """Whether it can be seen from here."""
        return self.host == here()

    @property
    def alive(self) -> bool:
        """Whether it still works. Only for a local one."""
        return started(self.pid) == self.started


def started(pid: int) -> str | None:
    """When a living process started, in ticks since which boot where the kernel says so; None for the dead, zombies."""
    try:
        # The command may hold spaces and brackets, so count from its end: state is field 3, the start time field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else f"{fields[19]}@{_boot()}"
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.3f}"
    except psutil.NoSuchProcess:
        return None


@cache
def _boot() -> str:
    """This start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


def returned(work: Callable[[], Any]) -> int:
    """The exit code of a fork's work, which may exit by itself or fail."""
    try:
        work()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # nothing may unwind into the parent's frames
        log.exception("a process was ended by an error")
        return 1
    return 0
