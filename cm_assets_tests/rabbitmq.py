"""A RabbitMQ server of the tests' own, on free ports, thrown away afterwards. Never the system's service."""

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's own script; the one in the search path changes to a user that sees no folder of ours."""

PASSWORD = "open-sesame-4711"


@dataclass
class RabbitMQ:
    """A server.

    Attributes:
        host: the address that it listens at.
        port: of AMQP.
        folder: of its files.
        variables: of its environment.
    """

    host: str
    port: int
    folder: Path
    variables: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, with who may come."""
        return f"amqp://cm:{PASSWORD}@{self.host}:{self.port}//"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [SERVER],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 200
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"RabbitMQ did not start:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is None:
            return
        with suppress(psutil.NoSuchProcess):
            for one in [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()
        self.process = None

    def _answers(self) -> bool:
        """Whether it speaks AMQP: the port is open earlier than that."""
        try:
            with socket.create_connection((self.host, self.port), 2) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return probe.recv(1) == b"\x01"
        except OSError:
            return False


@contextmanager
def server(host: str = "127.0.0.1", **advanced: int) -> Iterator[RabbitMQ]:
    """A running server.

    Args:
        host: the address that it listens at, one of this machine's.
        advanced: settings of the application `rabbit`.
    """
    if not Path(SERVER).exists():
        raise RuntimeError("these tests need a RabbitMQ: apt-get install rabbitmq-server")
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(3)]
        for probe, address in zip(probes, (host, "127.0.0.1", "127.0.0.1"), strict=True):
            probe.bind((address, 0))
        port, dist, epmd = (probe.getsockname()[1] for probe in probes)
    folder = Path(f"/tmp/cm-rabbitmq-{uuid.uuid4().hex[:12]}")
    folder.mkdir(mode=0o700)
    name = f"cm{uuid.uuid4().hex[:8]}@localhost"
    (folder / ".erlang.cookie").write_text(uuid.uuid4().hex)
    (folder / ".erlang.cookie").chmod(0o400)
    (folder / "plugins").write_text("[].\n")
    settings = {"channel_tick_interval": 1000, **advanced}
    said = ", ".join(f"{{{key}, {value}}}" for key, value in settings.items())
    (folder / "advanced.config").write_text(f"[{{rabbit, [{said}]}}].\n")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = {host}:{port}\ndefault_user = cm\ndefault_pass = {PASSWORD}\nloopback_users = none\n"
        "log.console = true\nlog.console.level = warning\nlog.file = false\ndisk_free_limit.absolute = 50MB\n"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
    one = RabbitMQ(
        host,
        port,
        folder,
        kept
        | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": name,
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_NODE_PORT": "",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        },
    )
    try:
        one.start()
        yield one
    finally:
        one.kill()
        _end_epmd(epmd)
        shutil.rmtree(folder, ignore_errors=True)


def _end_epmd(port: int) -> None:
    """End the port mapper that this server started, known by its port."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name() == "epmd" and process.environ().get("ERL_EPMD_PORT") == str(port):
                process.kill()
