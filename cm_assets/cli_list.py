"""`cm status` and `cm list`: as wide as the terminal, or a line for each thing where there is none."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from cm_assets.models.spending import dollars
from cm_assets.models.status import StageStatus, Status

COLOURS = {
    "published": "green",
    "failed": "red",
    "cancelled": "yellow",
    "rejected": "yellow",
    "partially_published": "red",
}

LEAST = 30
"""Columns for what is said of a video; with fewer it has a line of its own."""

INDENT = 13
"""Columns of the names in `cm status`, and what is between them and what they mean."""


def show_status(status: Status, console: Console) -> None:
    """All that there is to say of one video."""
    rows = [("video", status.id), ("title", status.title), ("state", _state(status))]
    rows += [("waits for", status.waiting_for)] if status.waiting_for else []
    rows += [("reason", status.reason)] if status.reason else []
    rows += [("feedback", status.feedback)] if status.feedback else []
    rows += (
        [("", f"cm retry {status.id} goes on from there")]
        if status.state in {"failed", "partially_published", "cancelled"}
        else []
    )
    widest = max((len(stage.stage) for stage in status.stages), default=0)
    names = ["stages", *[""] * len(status.stages)]
    rows += [(name, _stage(stage, widest)) for name, stage in zip(names, status.stages, strict=False)]
    rows += [("priority", str(status.priority)), ("runs", str(status.attempts))]
    rows += [("asked for", f"{_age(status.received_at)} ago")]
    rows += [(name, link) for name, link in status.links.items()]
    if status.seconds is not None and status.size is not None:
        rows += [("length", f"{status.seconds:.1f} s, {status.size / 1e6:.1f} MB")]
    if status.cost != 0:
        said = "unknown: set CM_PRICES" if status.cost is None else dollars(Decimal(str(status.cost)))
        rows += [("writing cost", said)]
    for name, said in rows:
        row = Text.assemble((f"{name:<{INDENT}}", "dim"))
        shown = _clean(said) if name in status.links else _wrapped(_clean(said), console)
        row.append(shown, _colour(status) if name == "state" else "")
        # A long address is the terminal's to break: then it is whole when it is copied.
        console.print(row, soft_wrap=True, highlight=False)


def show_list(statuses: Sequence[Status], console: Console) -> None:
    """A line each, or two where the terminal is narrow."""
    rows = [(one.id, _state(one), str(one.priority), _age(one.received_at)) for one in statuses]
    heads = ("video", "state", "prio", "age")
    video, state, prio, age = (max(map(len, column)) for column in zip(heads, *rows, strict=True))
    piped = not console.is_terminal
    wide = piped or console.width >= video + state + prio + age + 8 + LEAST
    if wide:
        line = Text(f"{'video':<{video}}  {'state':<{state}}  {'prio':>{prio}}  {'age':>{age}}", "dim")
        console.print(line, soft_wrap=piped, highlight=False)
    for status, row in zip(statuses, rows, strict=True):
        if wide:
            line = Text.assemble(f"{row[0]:<{video}}  ", (f"{row[1]:<{state}}", _colour(status)))
            line.append(f"  {row[2]:>{prio}}  {row[3]:>{age}}  ")
        else:
            console.print(row[0], highlight=False)
            urgent = f"  priority {row[2]}" if status.priority < 10 else ""
            line = Text.assemble("  ", (row[1], _colour(status)), f"  {row[3]}{urgent}  ")
        line.append(_clean(status.reason or status.waiting_for or status.title))
        line.rstrip()
        console.print(line, soft_wrap=piped, no_wrap=True, overflow="ignore" if piped else "ellipsis", highlight=False)


def _wrapped(said: str, console: Console) -> str:
    """In lines of the terminal, between its words; as it is where there is none."""
    if not console.is_terminal or len(said) <= console.width - INDENT:
        return said
    lines = textwrap.wrap(said, max(20, console.width - INDENT), break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * INDENT}".join(lines)


def _clean(said: str) -> str:
    """On one line, without what a terminal would obey: titles and reasons are others' words."""
    return "".join(c if c.isprintable() else " " for c in said)


def _state(status: Status) -> str:
    running = status.stage
    return status.state if running is None else f"{status.state} {running.stage.split('/')[-1]} {running.share:.0%}"


def _colour(status: Status) -> str:
    return COLOURS.get(status.state, "cyan")


def _stage(stage: StageStatus, width: int) -> str:
    running = f"{stage.share:.0%}" + (f" (try {stage.attempt})" if stage.attempt > 1 else "")
    mark = {"done": "done", "running": running, "waiting": "-"}[stage.state]
    return f"{stage.stage:<{width}}  {mark}"


def _age(moment: datetime) -> str:
    age = datetime.now(UTC) - moment
    if age < timedelta(minutes=2):
        return f"{age.seconds} s"
    if age < timedelta(hours=2):
        return f"{age.seconds // 60} min"
    if age < timedelta(days=2):
        return f"{age.days * 24 + age.seconds // 3600} h"
    return f"{age.days} d"
