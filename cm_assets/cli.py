"""`cm`: the command line. Results go to stdout, all else to stderr; exit 0 done, 1 failed, 2 bad input."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cm_assets import cli_calendar, cli_connect, cli_serve, cli_uploads, cli_videos, cli_worker
from cm_assets.cli_shared import (
    CANCEL_LIMIT,
    JsonOption,
    print_json,
    refuse,
    refuse_request,
    settings,
    stop_on_signals,
    watched,
)
from cm_assets.lifecycle.documents import RequestError, read
from cm_assets.models.base import Failure, PermanentFailure

if TYPE_CHECKING:
    from cm_assets.client import Client
    from cm_assets.lifecycle.intake import Accepted

app = typer.Typer(
    name="cm",
    help="Makes short vertical videos and posts them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RequestArgument = Annotated[
    str, typer.Argument(metavar="REQUEST", help="A request file, '-' for standard input, or a topic in quotes.")
]


@app.command()
def make(
    request: RequestArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.mp4", help="Also put the video here.", dir_okay=False)
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Make another one, even if this was asked for before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a video, and say where everything lies.

    The request is submitted and followed to its end. One that was made before is shown, one that was interrupted is
    resumed.
    """
    from cm_assets.cli_follow import follow, interrupted, show
    from cm_assets.client import Client

    if output is not None and output.suffix.lower() != ".mp4":
        refuse("--output: must end in .mp4", as_json)
    if output is not None and not output.absolute().parent.is_dir():
        refuse(f"--output: there is no folder {output.absolute().parent}", as_json)
    client = Client(settings())
    accepted = _submitted(client, request, new=new, as_json=as_json)
    video = accepted.stored.id
    stop = stop_on_signals()
    try:
        status = follow(client, video, stop, repeated=accepted.repeated)
    except Failure as failure:
        typer.echo(f"cm: {failure}", err=True)
        raise typer.Exit(1) from None
    if stop.is_set() and not status.ended:
        interrupted(client, video, CANCEL_LIMIT)
        raise typer.Exit(130)
    if output is not None and "video" in status.links:
        try:
            with client.lend(client.rendered(video)["video"]) as made:
                _copy(made, output)
        except Failure as failure:
            typer.echo(f"cm: --output: {failure}", err=True)
            raise typer.Exit(1) from None
    if as_json:
        print_json(json.loads(status.model_dump_json()) | ({"output": str(output.absolute())} if output else {}))
    else:
        show(status, output)
    raise typer.Exit(0 if status.state in {"published", "scheduled", "queued", "awaiting_review"} else 1)


@app.command()
def submit(
    request: RequestArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Make another one, even if this was asked for before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask for a video and return at once. `cm up`, wherever it runs for this home, makes it."""
    from cm_assets.client import Client

    client = Client(settings())
    accepted = _submitted(client, request, new=new, as_json=as_json)
    video = accepted.stored.id
    if wait:
        watched(client, video, as_json=as_json)
    if as_json:
        print_json(json.loads(client.status(video).model_dump_json()))
    else:
        typer.echo(video)
        status = client.status(video)
        said = f", waits for {status.waiting_for}" if status.waiting_for else ""
        typer.echo(f"{status.state}{said}", err=True)


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of Dagster's UI, 3000 if it is free; 0 any.")
    ] = None,
    web_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the board and the API, 8080 if it is free; 0 any.")
    ] = None,
) -> None:
    """Start all of it: engine, Dagster's UI, board and HTTP API.

    The addresses are printed; all are on 127.0.0.1. One Ctrl-C stops everything.
    """
    from cm_assets.cli_up import serve

    raise typer.Exit(serve(settings(), port, web_port, stop_on_signals()))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what is there, what is missing, and how to get it. That is: installed, configured and reachable."""
    from cm_assets.cli_doctor import examine, report

    findings = examine(settings())
    if as_json:
        print_json({"ok": all(finding.fine for finding in findings), "findings": [f.as_dict() for f in findings]})
    else:
        report(findings)
    raise typer.Exit(0 if all(finding.fine for finding in findings) else 1)


app.add_typer(cli_videos.app)
app.add_typer(cli_calendar.app)
app.add_typer(cli_connect.app)
app.add_typer(cli_uploads.app)
app.add_typer(cli_serve.app)
app.add_typer(cli_worker.app)
app.add_typer(cli_serve.token, name="token")


def main() -> None:
    """Run `cm`."""
    try:
        app()
    except (Failure, OSError) as error:
        typer.echo(f"cm: {error}", err=True)
        sys.exit(1)


def _submitted(client: "Client", request: str, *, new: bool, as_json: bool) -> "Accepted":
    try:
        document, source = _document(request)
        return client.submit(document, source=source, new=new)
    except RequestError as error:
        refuse_request(error, as_json)
    except PermanentFailure as failure:
        refuse(str(failure), as_json)


def _document(request: str) -> tuple[Any, str]:
    """The document that REQUEST stands for, and the way in that it came."""
    if request == "-":
        return read(sys.stdin.buffer.read()), "file"
    path = Path(request)
    if path.is_file():
        return read(path.read_bytes()), "file"
    if path.suffix in {".yaml", ".yml", ".json"} or os.sep in request:
        from cm_assets.lifecycle.documents import Problem

        raise RequestError([Problem("REQUEST", f"there is no file {request}")])
    return {"topic": request}, "text"


def _copy(source: Path, target: Path) -> None:
    import shutil

    part = target.with_name(f".{target.stem}.{os.getpid()}.part.mp4")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
