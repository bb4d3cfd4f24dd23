"""One video or many on a terminal: `cm status` and `cm list`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cm_assets.models.spending import dollars
from cm_assets.models.status import StageStatus, Status

COLOURS = {
    "published": "green",
    "failed": "red",
    "cancelled": "yellow",
    "rejected": "yellow",
    "partially_published": "red",
}

WIDTH = 400
"""Columns where the output goes to a file or another program."""


def show_status(status: Status) -> None:
    """All that there is to say of one video."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    rows = [("video", status.id), ("title", status.title), ("state", _state(status))]
    rows += [("waits for", status.waiting_for)] if status.waiting_for else []
    rows += [("reason", status.reason)] if status.reason else []
    rows += [("feedback", status.feedback)] if status.feedback else []
    rows += (
        [("", f"cm retry {status.id} goes on from there")]
        if status.state in {"failed", "partially_published", "cancelled"}
        else []
    )
    rows += [("stages", "  ".join(_stage(stage) for stage in status.stages))] if status.stages else []
    rows += [("priority", str(status.priority)), ("runs", str(status.attempts))]
    rows += [("asked for", f"{_age(status.received_at)} ago")]
    rows += [(name, link) for name, link in status.links.items()]
    if status.seconds is not None and status.size is not None:
        rows += [("length", f"{status.seconds:.1f} s, {status.size / 1e6:.1f} MB")]
    if status.cost != 0:
        said = "unknown: set CM_PRICES" if status.cost is None else dollars(Decimal(str(status.cost)))
        rows += [("writing cost", said)]
    for name, said in rows:
        table.add_row(f"[dim]{name}[/dim]", _coloured(said, status) if name == "state" else escape(said))
    _console().print(table, highlight=False)


def show_list(statuses: Sequence[Status]) -> None:
    """A line each."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("video", overflow="fold", ratio=3)
    table.add_column("state", no_wrap=True)
    table.add_column("prio", justify="right")
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("", overflow="ellipsis", ratio=2, no_wrap=True)
    for status in statuses:
        said = status.reason or status.waiting_for or status.title
        state = _coloured(_state(status), status)
        table.add_row(escape(status.id), state, str(status.priority), _age(status.received_at), escape(said))
    _console().print(table, highlight=False)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, WIDTH))


def _state(status: Status) -> str:
    running = status.stage
    return status.state if running is None else f"{status.state} {running.stage.split('/')[-1]} {running.share:.0%}"


def _coloured(said: str, status: Status) -> str:
    colour = COLOURS.get(status.state, "cyan")
    return f"[{colour}]{escape(said)}[/{colour}]"


def _stage(stage: StageStatus) -> str:
    running = f"{stage.share:.0%}" + (f" (try {stage.attempt})" if stage.attempt > 1 else "")
    mark = {"done": "done", "running": running, "waiting": "-"}[stage.state]
    return f"{stage.stage} {mark}"


def _age(moment: datetime) -> str:
    age = datetime.now(UTC) - moment
    if age < timedelta(minutes=2):
        return f"{age.seconds} s"
    if age < timedelta(hours=2):
        return f"{age.seconds // 60} min"
    if age < timedelta(days=2):
        return f"{age.days * 24 + age.seconds // 3600} h"
    return f"{age.days} d"
