"""Following a video on a terminal: a line per stage, a bar where there is something to wait for."""

import threading
import time
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cm_assets.client import Client
from cm_assets.models.status import Status
from cm_assets.partitions import VideoId

POLL = 0.3
"""Seconds between two looks."""

ENGINE_CHECK = 2.0
"""Seconds between two looks whether the engine is still there."""


def follow(client: Client, video: VideoId, stop: threading.Event, *, repeated: bool) -> Status:
    """Show how a video comes along until nothing more happens by itself, or `stop` is set."""
    console = Console(stderr=True)
    console.print(f"[bold]{video}[/bold]" + (" (asked for before)" if repeated else ""), highlight=False)
    if repeated and (status := client.status(video)).ended:
        return status
    with client.engine(), _Lines(console) as lines:
        looked = time.monotonic()
        while True:
            status = client.status(video)
            lines.update(status)
            if stop.is_set() or status.ended or status.waits_for_long:
                return status
            if time.monotonic() - looked > ENGINE_CHECK:
                client.ensure_engine()
                looked = time.monotonic()
            stop.wait(POLL)


def watch(client: Client, video: VideoId, stop: threading.Event) -> Status:
    """Show how a video comes along, whoever works on it, until nothing more happens by itself or `stop` is set."""
    console = Console(stderr=True)
    with _Lines(console) as lines:
        while True:
            status = client.status(video)
            lines.update(status)
            if stop.is_set() or status.ended:
                return status
            stop.wait(POLL)


def interrupted(client: Client, video: VideoId, limit: float) -> None:
    """Stop the work on a video, and wait until it has stopped."""
    console = Console(stderr=True)
    console.print("stopping ...")
    client.cancel(video)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and client.works_on(video):
        time.sleep(0.1)
    client.wait_until_gone(deadline - time.monotonic())
    console.print("stopped; the same command goes on from here")


def show(status: Status, output: Path | None) -> None:
    """Say how it ended: what lies where on stdout, what went wrong on stderr."""
    errors = Console(stderr=True)
    if status.state == "failed":
        errors.print(f"[red]failed[/red]: {escape(status.reason)}", highlight=False)
    elif status.state == "cancelled":
        errors.print(f"cancelled; cm retry {status.id} goes on from where it was", highlight=False)
    elif status.state == "rejected":
        errors.print(f"rejected: {escape(status.feedback)}", highlight=False)
    elif status.waiting_for:
        errors.print(f"{status.state}, waits for {escape(status.waiting_for)}", highlight=False)
    for name in ("video", "cover", "srt", "vtt", *sorted(set(status.links) - {"video", "cover", "srt", "vtt"})):
        if name in status.links:
            where = str(output.absolute()) if output is not None and name == "video" else status.links[name]
            typer.echo(f"{name:<9} {where}")
    if status.seconds is not None and status.size is not None:
        typer.echo(f"{'length':<9} {status.seconds:.1f} s")
        typer.echo(f"{'size':<9} {status.size / 1e6:.1f} MB")


class _Lines:
    """A live display where there is a terminal, a line per change where there is none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, str] = {}
        self._waited = ""

    def __enter__(self) -> "_Lines":
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def update(self, status: Status) -> None:
        # Waits that pass in a moment are not worth a line: a free place is found, an engine comes up.
        waits = status.waiting_for if ": " in status.waiting_for or "," in status.waiting_for else ""
        if waits and waits != self._waited:
            self._console.print(f"{status.state}, waits for {escape(waits)}", highlight=False)
        self._waited = waits
        if self._console.is_terminal:
            self._draw(status)
        else:
            self._say(status)

    def _draw(self, status: Status) -> None:
        for stage in status.stages:
            if stage.stage not in self._tasks:
                self._tasks[stage.stage] = self._progress.add_task(stage.stage, total=1.0, start=False)
            task = self._tasks[stage.stage]
            if stage.state != "waiting":
                self._progress.start_task(task)
            self._progress.update(task, completed=stage.share)

    def _say(self, status: Status) -> None:
        for stage in status.stages:
            said = stage.state if stage.state != "running" else f"{int(stage.share * 10) * 10} %"
            if stage.state != "waiting" and self._said.get(stage.stage) != said:
                self._said[stage.stage] = said
                typer.echo(f"{stage.stage}: {said}", err=True)
