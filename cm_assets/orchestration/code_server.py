"""The code server of an engine: started, kept alive, and replaced when the code on the disk is not what it loaded.

`dagster api grpc` never loads anew what it has loaded. So that Dagster's UI shows what was edited, another server is
started beside it, takes its socket's name when it answers, and only then the old one ends. Code that does not load
leaves the old one in its place.
"""

import logging
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cm_assets.orchestration.daemon import answers
from cm_assets.orchestration.launcher import generation
from cm_assets.orchestration.processes import kill_tree, start

log = logging.getLogger("cm_assets.engine")

START_LIMIT = 180.0
"""Seconds that it has to answer."""

LOOK = 1.0
"""Seconds between two looks at the code. Two in a row must find the same: editors and upgrades write file by file."""


class CodeServer:
    """A process that serves the definitions on a Unix socket.

    Args:
        socket: on which everybody asks it.
        home: whose mark it carries.
        log_file: of what it says.
    """

    def __init__(self, socket: Path, home: Path, log_file: Path) -> None:
        self._socket = socket
        self._next_socket = socket.with_name("next.sock")
        self._home = home
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._next: subprocess.Popen[bytes] | None = None
        self._loaded = self._seen = ""
        self._looked = 0.0

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        self._loaded = self._seen = generation()
        self._process = self._started(self._socket)

    def wait(self, stopping: Callable[[], bool]) -> None:
        """Wait until it answers, or somebody wants to stop.

        Raises:
            SystemExit: it does not start.
        """
        deadline = time.monotonic() + START_LIMIT
        while not answers(self._socket):
            if stopping():
                return
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the code server did not start: see {self._log_file}")
            time.sleep(0.05)

    def supervise(self, stopping: Callable[[], bool]) -> None:
        """Start it again if it died; replace it if the code has changed. Called now and then."""
        assert self._process is not None
        if self._process.poll() is not None:
            log.error("the code server died with code %s; a new one starts", self._process.returncode)
            self._drop_next()
            self.start()
            self.wait(stopping)
        if time.monotonic() - self._looked >= LOOK:
            self._looked = time.monotonic()
            self._look()
        if self._next is not None:
            self._succeed()

    def wait_gone(self, seconds: float) -> None:
        """Wait until what was killed is gone."""
        for process in (self._process, self._next):
            if process is not None:
                process.wait(seconds)

    def _look(self) -> None:
        before, self._seen = self._seen, generation()
        if self._seen == before != self._loaded:
            self._drop_next()
            self._loaded = self._seen
            self._next = self._started(self._next_socket)
            log.info("the code has changed; another code server loads it")

    def _succeed(self) -> None:
        assert self._next is not None
        if self._next.poll() is not None:
            log.error("the code that is on the disk does not load: see %s; the definitions stay", self._log_file)
            self._next = None
        elif answers(self._next_socket):
            assert self._process is not None
            # Whoever connects from now on meets the new one; those who are connected come back when the old one ends.
            self._next_socket.replace(self._socket)
            kill_tree(self._process.pid)
            self._process.wait()
            self._process, self._next = self._next, None
            log.info("the definitions are those of the changed code")

    def _drop_next(self) -> None:
        if self._next is not None:
            kill_tree(self._next.pid)
            self._next.wait()
            self._next = None

    def _started(self, socket: Path) -> subprocess.Popen[bytes]:
        socket.unlink(missing_ok=True)
        program = ["-m", "cm_assets.orchestration.program", "dagster"]
        arguments = ["api", "grpc", "-m", "cm_assets.definitions", "-s", str(socket)]
        return start([*program, *arguments], self._home, self._log_file)
