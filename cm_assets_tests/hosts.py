"""Hosts of the tests' own: network name spaces on one bridge, each with a name and a disk that nobody else sees.

Needs root. A host is killed as a power cut would: its link is down before its processes end, so nobody is told.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cm_assets_tests.conftest import KEPT_OUT, until


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=not check)


@dataclass
class Host:
    """A host.

    Attributes:
        name: its host name.
        space: its network name space.
        link: the end of its cable at the bridge.
        disk: where its disk is, under the same path on every host.
        logs: a folder that the tests see.
        variables: environment of what runs there.
    """

    name: str
    space: str
    link: str
    disk: Path
    logs: Path
    variables: dict[str, str] = field(default_factory=dict)
    holder: "subprocess.Popen[bytes] | None" = None
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def boot(self) -> None:
        """Give it its disk and name, for as long as the tests run."""
        script = f"mount -t tmpfs none {self.disk} && hostname {self.name} && echo ready && exec sleep infinity"
        self.holder = subprocess.Popen(
            ["ip", "netns", "exec", self.space, "unshare", "-m", "-u", "sh", "-c", script], stdout=subprocess.PIPE
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n"

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        assert self.holder is not None
        inside = ["nsenter", "-t", str(self.holder.pid), "-n", "-m", "-u", f"--wd={self.disk}"]
        return [*inside, sys.executable, *arguments]

    def environment(self) -> dict[str, str]:
        """Of its processes."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(KEPT_OUT)}
        return kept | {"CM_HOME": str(self.disk / "home"), "COLUMNS": "80"} | self.variables

    def start(self, *arguments: str, log: str) -> "subprocess.Popen[bytes]":
        """Start a Python program there."""
        with (self.logs / f"{self.name}-{log}").open("ab") as out:
            process = subprocess.Popen(
                self._command(arguments),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def run(self, *arguments: str, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a Python program there to its end."""
        return subprocess.run(
            self._command(arguments),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def said(self, log: str) -> str:
        """What a program has written."""
        return (self.logs / f"{self.name}-{log}").read_text()

    def processes(self) -> list[psutil.Process]:
        """All that run there, but for what holds the disk."""
        pids = subprocess.run(["ip", "netns", "pids", self.space], capture_output=True, text=True, check=True).stdout
        found = []
        for pid in map(int, pids.split()):
            with suppress(psutil.NoSuchProcess):
                if self.holder is None or pid != self.holder.pid:
                    found.append(psutil.Process(pid))
        return found

    def kill(self) -> None:
        """Take its power away."""
        _ip("link", "set", self.link, "down")
        while found := [one for one in self.processes() if one.status() != psutil.STATUS_ZOMBIE]:
            for one in found:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        while self.started:
            self.started.pop().wait()

    def plug(self) -> None:
        """Connect it again."""
        _ip("link", "set", self.link, "up")


@contextmanager
def hosts(count: int, logs: Path) -> Iterator[tuple[str, list[Host]]]:
    """The bridge's address, at which this machine's servers can be reached, and some hosts.

    Args:
        count: hosts.
        logs: folder of what their programs write.
    """
    mark = uuid.uuid4().hex[:6]
    octet = 1 + int(mark, 16) % 250
    bridge, net = f"cmb{mark}", f"10.213.{octet}"
    disk = Path(f"/tmp/cm-host-{mark}")
    disk.mkdir()
    made: list[Host] = []
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number in range(1, count + 1):
            host = Host(f"host{number}", f"cmn{number}{mark}", f"cmv{number}{mark}", disk, logs)
            _ip("netns", "add", host.space)
            made.append(host)
            _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.space)
            _ip("link", "set", host.link, "master", bridge, "up")
            _ip("-n", host.space, "addr", "add", f"{net}.{number + 1}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", host.space, "link", "set", device, "up")
            host.boot()
        yield f"{net}.1", made
    finally:
        for host in made:
            with suppress(subprocess.SubprocessError):
                host.kill()
            if host.holder is not None:
                host.holder.kill()
                host.holder.communicate()
            until(lambda host=host: not host.processes(), 10)  # type: ignore[misc]
            _ip("link", "del", host.link, check=False)
            _ip("netns", "del", host.space, check=False)
        _ip("link", "del", bridge, check=False)
        disk.rmdir()
