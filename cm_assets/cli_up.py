"""`cm up`: the engine with Dagster's UI in front of it, in the foreground."""

import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import typer

from cm_assets.client import Client
from cm_assets.models.base import TransientFailure
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.processes import start, stop
from cm_assets.settings import Settings

HOST = "127.0.0.1"

UI_LIMIT = 60.0
"""Seconds that the UI has to answer."""

UI_STARTS = 5
"""How often a UI that ends, as it does when its code server is swept away, is started before that is an error."""


def serve(settings: Settings, port: int, stop_asked: threading.Event) -> int:
    """Run until `stop_asked` is set; the exit code."""
    if settings.dagster_home is not None:
        typer.echo(f"cm: CM_DAGSTER_HOME: the daemons of {settings.dagster_home} make this home's videos", err=True)
        return 2
    client = Client(settings)
    port = _port(port)
    if port == 0:
        typer.echo("cm: --port: is taken; choose another, or 0 for any free one", err=True)
        return 2
    folder = homes.engine_folder(settings)
    ui = None
    try:
        with client.engine():
            url = f"http://{HOST}:{port}"
            for starts in range(UI_STARTS):
                client.wait_until_ready(UI_LIMIT)
                ui = _start_ui(settings, folder, port)
                deadline = time.monotonic() + UI_LIMIT
                while not _answers(url):
                    if stop_asked.is_set():
                        return 0
                    if ui.poll() is not None or time.monotonic() > deadline:
                        typer.echo(f"cm: the UI did not start: see {folder / 'webserver.log'}", err=True)
                        return 1
                    time.sleep(0.1)
                if starts == 0:
                    typer.echo(url)
                    typer.echo(f"home {settings.home}; Ctrl-C stops everything", err=True)
                while ui.poll() is None and not stop_asked.wait(1):
                    client.ensure_engine()
                if stop_asked.is_set():
                    typer.echo("stopping ...", err=True)
                    return 0
                typer.echo("the UI ended; it is started again", err=True)
            typer.echo(f"cm: the UI does not stay up: see {folder / 'webserver.log'}", err=True)
            return 1
    except TransientFailure as failure:
        typer.echo(f"cm: {failure}", err=True)
        return 1
    finally:
        if ui is not None:
            stop(ui, 1)
        client.wait_until_gone(4)


def _start_ui(settings: Settings, folder: Path, port: int) -> subprocess.Popen[bytes]:
    arguments = ["-m", "dagster_webserver", "-h", HOST, "-p", str(port), "-w", str(folder / "workspace.yaml")]
    return start(arguments, settings.home, folder / "webserver.log")


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
        with urllib.request.urlopen(f"{url}/server_info", timeout=2):  # noqa: S310 - our own http address
            return True
    except (urllib.error.URLError, OSError):
        return False
