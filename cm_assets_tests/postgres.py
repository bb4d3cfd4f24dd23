"""A Postgres server of the tests' own, on a free port, thrown away afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def server(options: str = "") -> Iterator[str]:
    """The address of a running server, without a database's name; with further options of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    programs = _programs()
    folder = Path(f"/tmp/cm-postgres-{uuid.uuid4().hex[:12]}")
    try:
        _as_its_user([str(programs / "initdb"), "-D", str(folder), "-U", "cm", "-A", "trust", "--no-sync"])
        options += f" -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        control = [str(programs / "pg_ctl"), "-D", str(folder), "-w"]
        _as_its_user([*control, "-o", options, "-l", str(folder / "log"), "start"])
        try:
            yield f"postgresql://cm@127.0.0.1:{port}"
        finally:
            _as_its_user([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(address: str) -> str:
    """The address of a new, empty database."""
    name = f"cm_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return f"{address}/{name}"
