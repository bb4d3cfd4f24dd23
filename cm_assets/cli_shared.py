"""What the commands of `cm` have in common: settings, refusals, answers."""

import json
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from cm_assets.lifecycle.documents import RequestError
from cm_assets.orchestration import broker
from cm_assets.settings import Settings, problems

if TYPE_CHECKING:
    from cm_assets.client import Client

Answer = TypeVar("Answer")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
VideoArgument = Annotated[str, typer.Argument(metavar="ID", help="A video's id.")]

CANCEL_LIMIT = 4.0
"""Seconds that a cancelled video's run has to be gone; after that the engine is left to sweep it away."""


def settings() -> Settings:
    """The settings, or the end of the program: a wrong one is named."""
    from pydantic import ValidationError

    why = broker.refusal(broker.address()) if broker.address() else ""
    if why:
        refuse(f"{broker.BROKER}: {why}", False)
    try:
        configured = Settings()
    except ValidationError as error:
        for problem in problems(error):
            typer.echo(f"cm: {problem}", err=True)
        raise typer.Exit(2) from None
    if broker.address() and not configured.on_postgres:
        refuse(
            f"CM_DATABASE_URL: where {broker.BROKER} is set, the records must be in Postgres: postgresql://...", False
        )
    return configured


def refuse_request(error: RequestError, as_json: bool) -> NoReturn:
    """Name every field that is wrong, and end with exit code 2."""
    if as_json:
        print_json({"errors": [{"field": p.field, "message": p.message} for p in error.problems]})
    for problem in error.problems:
        typer.echo(f"cm: {problem}", err=True)
    raise typer.Exit(2)


def refuse(message: str, as_json: bool) -> NoReturn:
    """Say what is wrong as `field: message`, and end with exit code 2."""
    field, _, said = message.partition(": ")
    if as_json:
        print_json({"errors": [{"field": field, "message": said}]})
    typer.echo(f"cm: {message}", err=True)
    raise typer.Exit(2)


def print_json(value: object) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, indent=2))


def known(video: str, ask: Callable[[], Answer], as_json: bool) -> Answer:
    """What the client answers about a video; unknown ones are bad input."""
    from cm_assets.client import UnknownVideo

    try:
        return ask()
    except UnknownVideo:
        refuse(f"video: {video} is unknown in this home; cm list shows those that there are", as_json)


def watched(client: "Client", video: str, *, as_json: bool) -> NoReturn:
    """Follow a video to its end and exit as it ended."""
    from cm_assets.cli_follow import show
    from cm_assets.cli_follow import watch as follow_on

    stop = stop_on_signals()
    found = follow_on(client, video, stop)
    if as_json:
        print_json(json.loads(found.model_dump_json()))
    else:
        show(found, None)
    if not found.ended:
        raise typer.Exit(130)
    raise typer.Exit(0 if found.state == "published" else 1)


def say(client: "Client", video: str, said: str, as_json: bool) -> None:
    """Say what was done to a video, and where it stands now."""
    found = client.status(video)
    if as_json:
        print_json(json.loads(found.model_dump_json()))
    else:
        waits = f", waits for {found.waiting_for}" if found.waiting_for else ""
        typer.echo(f"{video} {said}; it is {found.state}{waits}", err=True)


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set. An exception out of a handler can be lost in a library's clean-up."""
    stop = threading.Event()

    def set_it(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    # SIGINT too: a shell that starts a job in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, set_it)
    return stop
