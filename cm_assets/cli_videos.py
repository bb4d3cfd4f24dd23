"""`cm status`, `list`, `watch`, `cancel`, `retry`, `retire` and others: what can be done to videos there are."""

import getpass
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from cm_assets.cli_shared import (
    CANCEL_LIMIT,
    JsonOption,
    VideoArgument,
    known,
    print_json,
    refuse,
    say,
    settings,
    watched,
)
from cm_assets.client import Client, NotPosted, NotToBeReviewed

app = typer.Typer()


@app.command()
def status(video: VideoArgument, as_json: JsonOption = False) -> None:
    """Say where a video stands."""
    from rich.console import Console

    from cm_assets.cli_list import show_status

    client = Client(settings())
    found = known(video, lambda: client.status(video), as_json)
    if as_json:
        print_json(json.loads(found.model_dump_json()))
    else:
        show_status(found, Console())


@app.command(name="list")
def list_videos(
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="STATE", help="Only videos in this state; may be repeated.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only videos of which something failed for good.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Go on after this video of an earlier list.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List videos, the newest first."""
    from rich.console import Console

    from cm_assets.cli_list import show_list
    from cm_assets.models.status import STATES

    wanted = [*(state or ()), *(["failed", "partially_published"] if failed else [])]
    unknown = [one for one in wanted if one not in STATES]
    if unknown:
        refuse(f"--state: {unknown[0]} is unknown; known: {', '.join(STATES)}", as_json)
    states = [one for one in STATES if one in wanted]
    client = Client(settings())
    found = known(before or "", lambda: client.videos(states=states, limit=limit, before=before), as_json)
    if as_json:
        print_json({"videos": [json.loads(one.model_dump_json()) for one in found]})
    elif found:
        show_list(found, Console())
    else:
        typer.echo("no videos" + (f" are {' or '.join(wanted)}" if wanted else " yet: cm make or cm submit"), err=True)


@app.command()
def watch(video: VideoArgument, as_json: JsonOption = False) -> None:
    """Follow a video until nothing more happens by itself. Whoever works on it is left alone."""
    client = Client(settings())
    known(video, lambda: client.status(video), as_json)
    watched(client, video, as_json=as_json)


@app.command()
def cancel(video: VideoArgument, as_json: JsonOption = False) -> None:
    """Stop the work on a video. What is made stays, and `cm retry` goes on from there."""
    client = Client(settings())
    stopped = known(video, lambda: client.cancel(video), as_json)
    deadline = time.monotonic() + CANCEL_LIMIT
    while time.monotonic() < deadline and client.works_on(video):
        time.sleep(0.1)
    say(client, video, "cancelled" if stopped else "was not in the making", as_json)


@app.command()
def retry(video: VideoArgument, as_json: JsonOption = False) -> None:
    """Go on with a video that failed, was cancelled or waits. What was finished is not made again."""
    client = Client(settings())
    again = known(video, lambda: client.retry(video), as_json)
    say(client, video, "is asked for again" if again else "has nothing to retry", as_json)


@app.command(name="take-down")
def take_down(
    video: VideoArgument,
    platform: Annotated[
        list[str] | None, typer.Option("--platform", metavar="P", help="Only here; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Remove the posts of a video. Not all platforms let programs do that."""
    client = Client(settings())
    try:
        platforms = known(video, lambda: client.take_down(video, platform or ()), as_json)
    except NotPosted as error:
        refuse(f"video: {error}", as_json)
    say(client, video, f"is to be taken down on {', '.join(platforms)}", as_json)


ByOption = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Who decides; your user name by default.",
        default_factory=getpass.getuser,
        show_default=False,
    ),
]
RenderOption = Annotated[
    str | None, typer.Option("--render", metavar="SHA256", help="The render that was looked at; refused if it changed.")
]


@app.command()
def approve(video: VideoArgument, by: ByOption, render: RenderOption = None, as_json: JsonOption = False) -> None:
    """Let a render be posted."""
    _decided(video, lambda client: client.approve(video, render_sha256=render, by=by), "is approved", as_json)


@app.command()
def reject(
    video: VideoArgument,
    feedback: Annotated[str, typer.Option("--feedback", metavar="TEXT", help="What to do better.")],
    by: ByOption,
    render: RenderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a render back; the writer gets the feedback."""
    if not feedback.strip():
        refuse("--feedback: say what to do better", as_json)
    _decided(video, lambda client: client.reject(video, feedback, render_sha256=render, by=by), "is rejected", as_json)


def _decided(video: str, decide: Callable[[Client], None], said: str, as_json: bool) -> None:
    try:
        known(video, lambda: decide(Client(settings())), as_json)
    except NotToBeReviewed as error:
        refuse(f"video: {error}", as_json)
    # What it leads to is seen by the engine a moment later.
    if as_json:
        print_json({"id": video, "said": said})
    else:
        typer.echo(f"{video} {said}", err=True)


@app.command()
def retire(
    videos: Annotated[list[str], typer.Argument(metavar="ID", help="Videos' ids.")], as_json: JsonOption = False
) -> None:
    """Remove what was made of videos. Dagster's records of them go, too; their posts stay, and a line in the list."""
    from cm_assets.lifecycle.retirement import NotToBeRetired

    client = Client(settings())
    for video in videos:  # before any of them is touched
        known(video, partial(client.status, video), as_json)
    problems = []
    for video in videos:
        try:
            gone = client.retire(video)
        except NotToBeRetired as why:
            problems.append({"field": video, "message": str(why)})
            typer.echo(f"cm: {why}", err=True)
            continue
        left = "" if gone else "; a run has just begun, and what is left goes when it has ended"
        typer.echo(f"{video} is retired{left}", err=True)
    if as_json:
        found = [json.loads(client.status(video).model_dump_json()) for video in videos]
        print_json({"videos": found} | ({"errors": problems} if problems else {}))
    raise typer.Exit(2 if problems else 0)


@app.command()
def reprioritise(
    video: VideoArgument,
    priority: Annotated[int, typer.Argument(metavar="N", min=1, max=10, help="1 (urgent) to 10.")],
    as_json: JsonOption = False,
) -> None:
    """Move a video that waits to another place in the backlog."""
    client = Client(settings())
    moved = known(video, lambda: client.reprioritise(video, priority), as_json)
    say(client, video, f"has priority {priority}" if moved else "does not wait any more", as_json)


@app.command()
def reindex() -> None:
    """Find out anew what status and lists read. It is taken from Dagster's records and the artifacts."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    client = Client(settings())
    with Progress(SpinnerColumn(), TextColumn("{task.completed} videos"), transient=True) as progress:
        task = progress.add_task("videos", total=None)
        count = client.reindex(lambda done: progress.update(task, completed=done))
    typer.echo(f"{count} videos", err=True)
