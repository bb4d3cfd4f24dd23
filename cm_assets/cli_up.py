"""`cm up`: the engine, with Dagster's UI and the board in front of it, in the foreground."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import typer
from sqlalchemy.exc import SQLAlchemyError

from cm_assets import logs
from cm_assets.client import Client
from cm_assets.models.base import TransientFailure
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.processes import start, stop
from cm_assets.settings import Settings

log = logging.getLogger("cm_assets.up")

HOST = "127.0.0.1"

PORT, WEB_PORT = 3000, 8080

START_LIMIT = 180.0
"""Seconds that a server has to answer after it was started."""

STARTS = 5
"""How often a server is started that ends, as the UI does when its code server is swept away, before it is given up."""

LASTING = 600.0
"""Seconds after which a server that runs has not failed to start."""


class Front:
    """A server that people and programs reach.

    Args:
        title: for people.
        port: of it on loopback.
        health: path that it answers when it is ready.
        log: what it writes into.
        begin: starts its process.
    """

    def __init__(
        self, title: str, port: int, health: str, log: Path, begin: Callable[[], subprocess.Popen[bytes]]
    ) -> None:
        self.title = title
        self.url = f"http://{HOST}:{port}"
        self._health = health
        self._log = log
        self._begin = begin
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._starts = 0
        self._answered = False

    def keep(self) -> None:
        """Have it run. Call it now and then.

        Raises:
            TransientFailure: it does not start, or does not stay up.
        """
        lasted = time.monotonic() - self._began
        if self._process is None or self._process.poll() is not None:
            if self._process is not None and lasted > LASTING:
                self._starts = 0
            if self._starts >= STARTS:
                raise TransientFailure(f"{self.title} does not stay up: see {self._log}")
            if self._answered:
                _say(f"{self.title} ended; it is started again")
            self._process = self._begin()
            self._began, self._answered = time.monotonic(), False
            self._starts += 1
        elif not self._answered and _answers(self.url + self._health):
            self._answered = True
        elif not self._answered and lasted > START_LIMIT:
            raise TransientFailure(f"{self.title} did not start: see {self._log}")

    @property
    def answered(self) -> bool:
        """Whether it has answered since it was started."""
        return self._answered

    def stop(self) -> None:
        """End it. It can be had to run again."""
        if self._process is not None:
            stop(self._process, 1)
        self._process, self._starts, self._answered = None, 0, False


def serve(settings: Settings, port: int | None, web_port: int | None, stop_asked: threading.Event) -> int:
    """Run until `stop_asked` is set; the exit code."""
    if settings.dagster_home is not None:
        typer.echo(f"cm: CM_DAGSTER_HOME: the daemons of {settings.dagster_home} make this home's videos", err=True)
        return 2
    if settings.log_format == "json":
        logs.configure("json")
    client = Client(settings)
    with suppress(SQLAlchemyError):  # one that is away is waited for; one of a newer version is not
        client.database.count_open()
    ports = {}
    for option, wanted, usual in (("--port", port, PORT), ("--web-port", web_port, WEB_PORT)):
        # The usual one may be somebody else's; who names one wants that one.
        ports[option] = _port(usual if wanted is None else wanted) or (_port(0) if wanted is None else 0)
        if ports[option] == 0:
            typer.echo(f"cm: {option}: {wanted} is taken; choose another, or 0 for any free one", err=True)
            return 2
    folder = homes.engine_folder(settings)
    ui = _ui(settings, folder, ports["--port"])
    board = _board(folder, ports["--web-port"], ui.url)
    try:
        with client.engine():
            began, told, said = time.monotonic(), "", ""
            while not stop_asked.is_set():
                waits = _attend(client, ui, board)
                if waits or client.engine_is_ready():
                    began = time.monotonic()
                elif time.monotonic() - began > START_LIMIT:
                    raise TransientFailure(f"the engine did not start: see {client.engine_log()}")
                if waits and waits != said:
                    _say(f"standing by: {waits}")
                said = waits
                fronts = [board] if waits else [ui, board]
                state = "".join(front.title for front in fronts)
                if told != state and all(front.answered for front in fronts):
                    for front in fronts:
                        typer.echo(f"{front.url}  {front.title}")
                    _say(f"home {settings.home}; Ctrl-C stops everything")
                    told = state
                stop_asked.wait(1.0 if told == state else 0.1)
            _say("stopping ...")
            return 0
    except TransientFailure as failure:
        _say(f"cm: {failure}")
        return 1
    finally:
        ui.stop()
        board.stop()
        client.wait_until_gone(4)


def _attend(client: Client, ui: Front, board: Front) -> str:
    """Have everything run that can; why the engine stands by, if it does. Dagster's UI needs an engine that works."""
    client.ensure_engine()
    board.keep()
    waits = homes.why_standing_by(client.settings)
    if waits:
        ui.stop()
    elif client.engine_is_ready():
        ui.keep()
    return waits


def _ui(settings: Settings, folder: Path, port: int) -> Front:
    arguments = [
        "-m",
        "cm_assets.orchestration.program",
        "dagster-webserver",
        "-h",
        HOST,
        "-p",
        str(port),
        "-w",
        str(folder / "workspace.yaml"),
    ]
    log = folder / "webserver.log"
    return Front("Dagster's UI", port, "/server_info", log, lambda: start(arguments, settings.home, log))


def _board(folder: Path, port: int, dagster_url: str) -> Front:
    log = folder / "web.log"

    def begin() -> subprocess.Popen[bytes]:
        # Without the engine's mark: it takes requests while one engine dies and the next one sweeps up. It ends when
        # its standard input does, as it does when we are killed.
        with log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "cm_assets.web.serve", HOST, str(port)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | {"CM_DAGSTER_URL": dagster_url},
                start_new_session=True,
            )

    return Front("the board", port, "/healthz", log, begin)


def _say(what: str) -> None:
    """To people, or to whoever reads their machine's logs."""
    if logging.getLogger().handlers:
        log.info(what)
    else:
        typer.echo(what, err=True)


def _port(wanted: int) -> int:
    """The wanted port if it is free, any free one for 0; 0 if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own http address
            return True
    except (urllib.error.URLError, OSError):
        return False
