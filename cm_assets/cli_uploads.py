"""`cm upload`, `cm uploads`: clips and narrations of one's own, which requests name `upload:ID`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cm_assets.cli_shared import JsonOption, print_json, refuse, settings
from cm_assets.models.base import PermanentFailure

if TYPE_CHECKING:
    from cm_assets.models.upload import Upload

app = typer.Typer()

BLOCK = 1 << 20


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video, a picture or a recording.")],
    name: Annotated[str, typer.Option("--name", help="What to call it; the file's own name by default.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Hand in a clip or a narration for requests to name.

    A video or a picture is shown, a recording is heard. The same content has the same id.
    """
    from cm_assets.client import Client
    from cm_assets.lifecycle.arrivals import TooLarge

    if not file.is_file():
        refuse(f"FILE: there is no file {file}", as_json)
    arrivals = Client(settings()).arrivals
    try:
        with file.open("rb") as source, arrivals.begin(file.stat().st_size) as arrival:
            while block := source.read(BLOCK):
                arrival.write(block)
            found, is_new = arrival.finish(name or file.name)
    except TooLarge as error:
        refuse(f"FILE: {error}", as_json)
    except PermanentFailure as failure:
        refuse(f"FILE: {file.name} {failure}", as_json)
    if as_json:
        print_json(_shown(found))
        return
    typer.echo(found.named)
    where = "a scene's clip" if found.kind == "clip" else "narration"
    known = "" if is_new else "it was here already; "
    typer.echo(f"{known}{_said(found)}; name it in a request as {where}", err=True)


@app.command()
def uploads(
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="ID", help="Remove this one; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what was handed in, the newest first, or remove some."""
    from cm_assets.client import Client
    from cm_assets.storage.uploads import UnknownUpload, UploadInUse

    kept = Client(settings()).uploads
    for wanted in remove or ():
        try:
            kept.remove(wanted.removeprefix("upload:"))
        except UnknownUpload:
            refuse(f"--remove: there is no upload {wanted}", as_json)
        except UploadInUse as why:
            refuse(f"--remove: {wanted}: {why}", as_json)
    found = kept.all(limit)
    if as_json:
        print_json({"uploads": [_shown(one) for one in found]})
    elif found:
        for one in found:
            typer.echo(f"{one.named}  {_said(one)}  {one.name}")
    else:
        typer.echo("nothing was handed in: cm upload FILE", err=True)


def _shown(upload: "Upload") -> dict[str, Any]:
    """As the HTTP API says it."""
    document: dict[str, Any] = json.loads(upload.model_dump_json(exclude={"file"}))
    return document | {"size": upload.file.size}


def _said(upload: "Upload") -> str:
    from cm_assets.models.disk import size

    seconds = f"{upload.seconds:.1f} s" if upload.seconds is not None else ""
    shape = f"{upload.width}x{upload.height}" if upload.width else ""
    return ", ".join(part for part in (upload.kind, shape, seconds, size(upload.file.size)) if part)
