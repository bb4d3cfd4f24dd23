"""A Postgres server of the tests' own, on a free port, thrown away afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg


def _programs() -> Path:
    """The folder of `initdb` and `pg_ctl`; Debian keeps them out of the search path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        raise RuntimeError("these tests need a Postgres server: apt-get install postgresql")
    return folders[-1]


def _as_its_user(command: list[str]) -> None:
    """Run a command; Postgres refuses to be run by root."""
    user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
    )


class Server:
    """A server that can be stopped, as when it is restarted or its machine dies, and started again.

    Attributes:
        address: without a database's name.
    """

    def __init__(self, host: str = "127.0.0.1", options: str = "") -> None:
        with socket.socket() as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
        self.address = f"postgresql://cm@{host}:{port}"
        self.folder = Path(f"/tmp/cm-postgres-{uuid.uuid4().hex[:12]}")
        programs = _programs()
        self._control = [str(programs / "pg_ctl"), "-D", str(self.folder), "-w"]
        self._options = (
            f"-p {port} -c listen_addresses={host} -c unix_socket_directories={self.folder} -c fsync=off {options}"
        )
        _as_its_user([str(programs / "initdb"), "-D", str(self.folder), "-U", "cm", "-A", "trust", "--no-sync"])
        with (self.folder / "pg_hba.conf").open("a") as access:
            access.write("host all all samenet trust\n")  # of the bridge that some tests make

    def start(self) -> None:
        """Have it answer."""
        _as_its_user([*self._control, "-o", self._options, "-l", str(self.folder / "log"), "start"])

    def stop(self) -> None:
        """Kill it as it stands."""
        _as_its_user([*self._control, "-m", "immediate", "stop"])


@contextmanager
def a_server(host: str = "127.0.0.1", options: str = "") -> Iterator[Server]:
    """A running server of one's own."""
    one = Server(host, options)
    try:
        one.start()
        yield one
    finally:
        with suppress(subprocess.CalledProcessError):
            one.stop()
        shutil.rmtree(one.folder, ignore_errors=True)


@contextmanager
def server(host: str = "127.0.0.1", options: str = "") -> Iterator[str]:
    """The address of a running server, without a database's name.

    Args:
        host: the address that it listens at, one of this machine's.
        options: further ones of the server program.
    """
    with a_server(host, options) as one:
        yield one.address


def new_database(address: str) -> str:
    """The address of a new, empty database."""
    name = f"cm_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return f"{address}/{name}"
