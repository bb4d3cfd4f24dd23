"""`cm connect`: a person's consent for an account, given in a browser; which accounts there are; forgetting one."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cm_assets.cli_shared import JsonOption, print_json, refuse, settings
from cm_assets.models.base import Failure

if TYPE_CHECKING:
    from cm_assets.engines.platforms.oauth import Service
    from cm_assets.storage.credentials import Credentials

app = typer.Typer()

PATIENCE = 300.0
"""Seconds that a person has for the consent."""


@app.command()
def connect(
    platform: Annotated[str | None, typer.Argument(metavar="PLATFORM", help="Such as youtube.")] = None,
    account: Annotated[
        str, typer.Option("--account", metavar="NAME", help="What post.account calls it; its own name by default.")
    ] = "",
    client: Annotated[
        Path | None, typer.Option("--client", metavar="FILE", help="The client's JSON file, as the platform gives it.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1 that the browser comes back to; 0 a free one.")] = 0,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the account instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Connect an account of a platform, or show those there are."""
    from cm_assets.engines.platforms.catalogue import connectable, service_of
    from cm_assets.resources import vault

    configured = settings()
    accounts = vault(configured)
    if platform is None:
        _show(accounts, connectable(), as_json)
        return
    service = service_of(platform, configured.addresses) if platform in connectable() else None
    if service is None:
        refuse(f"platform: {platform!r} has no accounts; those that have: {', '.join(connectable())}", as_json)
    if forget:
        connected = accounts.accounts(platform)
        account = account or (connected[0] if len(connected) == 1 else "")
        if not accounts.remove(platform, account):
            known = ", ".join(accounts.accounts(platform)) or "none"
            said = f"{account!r} is not connected" if account else "say which"
            refuse(f"--account: {said}; there are: {known}", as_json)
        typer.echo(f"{account} is forgotten here; withdraw the consent in the account, too", err=True)
        return
    client_id, client_secret = _client(service, client, as_json)
    try:
        name = _connected(service, client_id, client_secret, account, port, accounts)
    except Failure as failure:
        typer.echo(f"cm: {failure}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        refuse(f"--port: {port} cannot be used: {error.strerror}", as_json)
    if as_json:
        print_json({"platform": platform, "account": name})
    else:
        typer.echo(f"{service.title} is connected as {name}", err=True)


def _connected(
    service: "Service", client_id: str, client_secret: str, account: str, port: int, accounts: "Credentials"
) -> str:
    from cm_assets.engines.platforms.catalogue import own_name
    from cm_assets.engines.platforms.oauth import Consent

    consent = Consent(service, client_id, client_secret, port=port)
    typer.echo(f"Allow it in a browser on this machine, within {PATIENCE / 60:.0f} minutes:", err=True)
    typer.echo(f"\n{consent.address}\n", err=True)
    if not os.environ.get("CM_NO_BROWSER"):
        typer.launch(consent.address)
    secret = consent.secret(PATIENCE)
    name = account or own_name(service.platform, secret["access_token"], settings().addresses)
    accounts.put(service.platform, name, secret)
    return name


def _client(service: "Service", file: Path | None, as_json: bool) -> tuple[str, str]:
    """The client's id and secret: from a file as Google gives it, or from the environment."""
    beginning = f"CM_{service.platform.upper()}_CLIENT"
    if file is None:
        found = os.environ.get(f"{beginning}_ID", ""), os.environ.get(f"{beginning}_SECRET", "")
        if not all(found):
            refuse(f"--client: give the client's JSON file, or set {beginning}_ID and {beginning}_SECRET", as_json)
        return found
    if not file.is_file():
        refuse(f"--client: there is no file {file}", as_json)
    try:
        document: Any = json.loads(file.read_bytes())
        inner = document.get("installed") or document.get("web") or document
        return str(inner[service.client_field]), str(inner["client_secret"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        refuse(f"--client: {file} holds no {service.client_field} and client_secret", as_json)


def _show(accounts: "Credentials", platforms: list[str], as_json: bool) -> None:
    connected = {platform: accounts.accounts(platform) for platform in platforms}
    if as_json:
        print_json(connected)
        return
    for platform, names in connected.items():
        typer.echo(f"{platform}: {', '.join(names) or f'nothing connected; cm connect {platform}'}")
