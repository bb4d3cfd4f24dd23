"""`cm calendar`: what is due, what was the last, what is wrong; and the making of past dates."""

import json
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from cm_assets.cli_shared import JsonOption, print_json, refuse, refuse_request, settings
from cm_assets.client import Client, UnknownEntry
from cm_assets.lifecycle.documents import RequestError
from cm_assets.models.base import PermanentFailure

if TYPE_CHECKING:
    from cm_assets.models.calendar import CalendarStatus

app = typer.Typer()

SHOWN = 3
"""Dates to come that are shown of an entry; --json has them all."""


@app.command()
def calendar(
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How many days to look ahead.")] = 30,
    backfill: Annotated[
        str | None, typer.Option("--backfill", metavar="NAME", help="Ask for this entry's past dates, each once.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day of the backfill.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last day of the backfill.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the calendar has due. Also what was the last, and what is wrong with it (exit code 2)."""
    client = Client(settings())
    if backfill is not None:
        _backfill(client, backfill, _day("--from", first, as_json), _day("--to", last, as_json), as_json=as_json)
        return
    if first is not None or last is not None:
        refuse("--backfill: is missing; --from and --to are the days of a backfill", as_json)
    try:
        found = client.calendar(days)
    except PermanentFailure as failure:
        refuse(str(failure), as_json)
    if as_json:
        print_json(json.loads(found.model_dump_json()))
    else:
        _show(found, days)
    for problem in found.all_problems:
        typer.echo(f"cm: {problem}", err=True)
    raise typer.Exit(2 if found.all_problems else 0)


def _backfill(client: Client, name: str, first: date, last: date, *, as_json: bool) -> None:
    try:
        accepted = client.backfill(name, first, last)
    except UnknownEntry:
        known = ", ".join(entry.name for entry in client.calendar(1).entries) or "none"
        refuse(f"--backfill: {name!r} is no entry that can be served; there are: {known}", as_json)
    except ValueError as error:
        refuse(str(error), as_json)
    except RequestError as error:
        refuse_request(error, as_json)
    except PermanentFailure as failure:
        refuse(str(failure), as_json)
    new = [one.stored.id for one in accepted if not one.repeated]
    if as_json:
        print_json({"dates": len(accepted), "new": len(new), "videos": [one.stored.id for one in accepted]})
        return
    for video in new:
        typer.echo(video)
    typer.echo(f"{len(accepted)} dates, {len(new)} of them new", err=True)


def _day(option: str, text: str | None, as_json: bool) -> date:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        refuse(f"{option}: {text or 'nothing'} is no day; write it as in 2026-12-24", as_json)


def _show(found: "CalendarStatus", days: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not found.exists:
        typer.echo(f"there is no {found.file}; docs/calendar.md says what it may hold", err=True)
        return
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for title in ("entry", f"due in {days} days", "the last"):
        table.add_column(title, overflow="fold")
    for entry in found.entries:
        shown = [f"{date:%a %Y-%m-%d %H:%M %Z}" for date in entry.next[:SHOWN]]
        more = len(entry.next) - len(shown)
        shown += [f"and {more} more"] if more else [] if shown else ["nothing"]
        last = f"{entry.last:%Y-%m-%d %H:%MZ}\n{entry.last_video}" if entry.last else "-"
        name = escape(entry.name) + (f"\n[red]{len(entry.problems)} wrong[/red]" if entry.problems else "")
        table.add_row(name, escape("\n".join(shown)), escape(last))
    Console().print(table, highlight=False)
