"""`cm serve`: the HTTP API and the board alone. `cm token`: who may use them."""

from typing import TYPE_CHECKING, Annotated

import typer

from cm_assets.cli_shared import JsonOption, print_json, refuse, settings
from cm_assets.models.token import SCOPES, scopes_of

if TYPE_CHECKING:
    from cm_assets.storage.tokens import Tokens

HOST, PORT = "127.0.0.1", 8080

app = typer.Typer()
token = typer.Typer(help="Tokens of the HTTP API: make, show, revoke.", no_args_is_help=True)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; another than loopback takes a token.")] = HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = PORT,
) -> None:
    """Serve the HTTP API and the board, without an engine."""
    from cm_assets.web.serve import refusal
    from cm_assets.web.serve import serve as run

    configured = settings()
    why = refusal(configured, host)
    if why:
        refuse(why, False)
    try:
        run(configured, host, port, lambda address: typer.echo(f"{address}  the board"))
    except OSError as error:
        refuse(f"--port: {host}:{port} cannot be listened at: {error.strerror or error}", False)


@token.command("create")
def create(
    scope: Annotated[
        list[str], typer.Option("--scope", metavar="|".join(SCOPES), help="What it is good for; may be repeated.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Whose it is, for people.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is shown this once."""
    try:
        scopes = scopes_of(scope)
    except ValueError as error:
        refuse(f"--scope: {error}", as_json)
    secret = _tokens().create(name[:100], scopes)
    if as_json:
        print_json({"token": secret, "name": name, "scopes": list(scopes)})
    else:
        typer.echo(secret)


@token.command("list")
def show(as_json: JsonOption = False) -> None:
    """Show the tokens that there are, without what makes them good."""
    found = _tokens().all()
    if as_json:
        print_json(
            {
                "tokens": [
                    {
                        "id": one.id,
                        "name": one.name,
                        "scopes": list(one.scopes),
                        "created_at": one.created_at.isoformat(),
                    }
                    for one in found
                ]
            }
        )
        return
    for one in found:
        typer.echo(f"{one.id}  {','.join(one.scopes):20}  {one.created_at:%Y-%m-%d}  {one.name}")
    if not found:
        typer.echo("no tokens: whoever is on this machine may do everything", err=True)


@token.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As cm token list shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Make a token good for nothing."""
    if not _tokens().revoke(token_id):
        refuse(f"ID: there is no token {token_id}", as_json)


def _tokens() -> "Tokens":
    from cm_assets.storage.database import Database
    from cm_assets.storage.tokens import Tokens

    return Tokens(Database(settings().database))
