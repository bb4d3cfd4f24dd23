"""A real n8n with a workflow in it; `make test-n8n` installs it.

    with n8n(folder, workflow, credentials) as address:
        httpx.post(f"{address}/webhook/new-video", ...)

It comes from npm, with the Node that it needs, into a folder of the user's cache, once for a version: two gigabytes and
some minutes. What it tells its makers, and asks them, is switched off
(https://docs.n8n.io/deploy/host-n8n/configure-n8n/basic-configuration/configuration-examples/isolate-n8n); a proxy
stands where it would have to go through, and notes who tries.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
from filelock import FileLock

from cm_assets_tests.conftest import until
from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

VERSION = "2.41.1"
NODE = "24.21.0"

LIMIT = 900.0
"""Seconds of one call of npm."""

PATIENCE = ("--fetch-retries=3", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=10000")
"""A registry that fails now and then is asked again; one that is away is given up soon."""

PLACE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cm-tests" / f"n8n-{VERSION}"

QUIET = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_DIAGNOSTICS_CONFIG_FRONTEND": "",
    "N8N_DIAGNOSTICS_CONFIG_BACKEND": "",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_WHATS_NEW_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_DYNAMIC_BANNERS_ENABLED": "false",
    "N8N_HIRING_BANNER_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_LICENSE_AUTO_RENEW_ENABLED": "false",
    "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
    "N8N_DISABLED_MODULES": "mcp-registry,community-packages,chat-hub,instance-ai,agents,workflow-builder",
    "EXTERNAL_FRONTEND_HOOKS_URLS": "",
}


QUICK = {"CFLAGS": "-O0", "CXXFLAGS": "-O0", "JOBS": "2"}
"""For the compilers: a database that serves one test need not be optimised."""


class Outside(LoopbackServer):
    """A proxy that lets nobody out.

    Attributes:
        tried: where somebody wanted to go.
    """

    def __init__(self) -> None:
        super().__init__(_Refuses)
        self.tried: list[str] = []


class _Refuses(Handler):
    owner: ClassVar[Outside]

    def do_CONNECT(self) -> None:
        with self.owner.lock:
            self.owner.tried.append(self.path)
        self.send(403, b"", {})

    def do_GET(self) -> None:
        self.do_CONNECT()

    def do_POST(self) -> None:
        self.do_CONNECT()


@dataclass
class Running:
    """An n8n that serves.

    Attributes:
        url: of its webhooks: `{url}/webhook/{path}`.
        outside: the proxy between it and the world.
    """

    url: str
    outside: Outside
    _environment: Mapping[str, str]

    def executions(self) -> list[tuple[str, str]]:
        """Mode and status of each run of a workflow, the oldest first."""
        import sqlite3

        place = Path(self._environment["N8N_USER_FOLDER"]) / ".n8n" / "database.sqlite"
        with sqlite3.connect(f"file:{place}?mode=ro", uri=True) as database:
            return list(database.execute("SELECT mode, status FROM execution_entity ORDER BY id"))


@contextmanager
def n8n(folder: Path, workflow: Mapping[str, Any], credentials: Sequence[Mapping[str, Any]]) -> Iterator[Running]:
    """An n8n with this workflow, published; stopped at the end of the `with` block.

    Args:
        folder: for all that it keeps.
        workflow: as n8n exports it.
        credentials: likewise, not encrypted.
    """
    assert (PLACE / "ready").exists(), "n8n is not installed: make test-n8n does that"
    folder.mkdir()
    port, broker = _free_port(), _free_port()
    with Outside() as outside:
        environment = _environment() | QUIET
        environment |= {
            "N8N_USER_FOLDER": str(folder),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_PORT": str(port),
            "N8N_RUNNERS_BROKER_PORT": str(broker),
            "N8N_ENCRYPTION_KEY": "of-this-test-alone",
            "HTTP_PROXY": outside.address,
            "HTTPS_PROXY": outside.address,
            "NO_PROXY": "127.0.0.1,localhost",
        }

        def run(*arguments: str) -> str:
            command = [str(PLACE / "node_modules" / ".bin" / "n8n"), *arguments]
            done = subprocess.run(
                command, env=environment, cwd=folder, capture_output=True, text=True, timeout=180, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        for kind, content in (("credentials", credentials), ("workflow", [workflow])):
            (folder / f"{kind}.json").write_text(json.dumps(content))
            run(f"import:{kind}", f"--input={folder / kind}.json")
        run("publish:workflow", f"--id={workflow['id']}")
        with (folder / "n8n.log").open("wb") as log:
            process = subprocess.Popen(
                [str(PLACE / "node_modules" / ".bin" / "n8n"), "start"],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            (hook,) = [
                one["parameters"]["path"] for one in workflow["nodes"] if one["type"] == "n8n-nodes-base.webhook"
            ]
            # It is ready some time before it knows its webhooks. Whoever does not say who he is starts nothing.
            assert until(lambda: _knows(f"{url}/webhook/{hook}"), 120, 0.5), (folder / "n8n.log").read_text()
            yield Running(url, outside, environment)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def install() -> None:
    """Install it, if it is not there.

    Raises:
        SystemExit: it cannot be had, and why.
    """
    missing = [name for name in ("npm", "g++", "make") if shutil.which(name) is None]
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(PLACE.with_suffix(".lock")):  # another checkout of this user may be at it
        if (PLACE / "ready").exists():
            return
        if missing:
            raise SystemExit(f"n8n needs {', '.join(missing)}: apt-get install npm g++ make")
        _install()


def _install() -> None:
    shutil.rmtree(PLACE, ignore_errors=True)
    for folder in (PLACE, PLACE / "node"):
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
    options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *PATIENCE)
    # n8n needs a newer Node than most systems have.
    _npm(PLACE / "node", "install", *options, f"{_node()}@{NODE}")
    # Of the packages that compile themselves or load something, only the database is used.
    _npm(PLACE, "install", *options, f"n8n@{VERSION}")
    _npm(PLACE, "rebuild", "--loglevel=error", "sqlite3")
    (PLACE / "ready").touch()


def _npm(folder: Path, *arguments: str) -> None:
    print("npm", *arguments, flush=True)
    what = f"n8n {VERSION} cannot be installed: npm {' '.join(arguments[:1])} in {folder}"
    try:
        done = subprocess.run(["npm", *arguments], cwd=folder, env=_environment(), timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{what} was not done after {LIMIT:.0f} s; is the registry slow? (npm ping)") from None
    if done.returncode:
        raise SystemExit(
            f"{what} ended with {done.returncode}, and said why above; does the registry answer? (npm ping)"
        )


def _environment() -> dict[str, str]:
    ours = PLACE / "node" / "node_modules" / _node()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("N8N_")}
    # The headers for what is compiled are beside the program.
    return kept | QUICK | {"PATH": f"{ours / 'bin'}:{os.environ['PATH']}", "npm_config_nodedir": str(ours)}


def _node() -> str:
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"node-{sys.platform}-{machine}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _knows(webhook: str) -> bool:
    try:
        return httpx.post(webhook, timeout=5).status_code == 403
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    install()
