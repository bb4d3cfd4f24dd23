"""`cm worker`: a host of the fleet that executes steps."""

from importlib.util import find_spec
from typing import Annotated

import typer

from cm_assets.cli_shared import refuse, settings
from cm_assets.orchestration import broker
from cm_assets.policies import QUEUES

app = typer.Typer()


@app.command()
def worker(
    queues: Annotated[
        str, typer.Option("--queues", "-q", metavar="|".join(QUEUES), help="Whose steps; several apart by commas.")
    ] = ",".join(QUEUES),
    concurrency: Annotated[int, typer.Option("--concurrency", "-c", min=1, max=256, help="Steps at once.")] = 1,
) -> None:
    """Execute the steps of runs that other hosts look after.

    Needs CM_BROKER_URL, CM_DATABASE_URL and artifacts that every host sees. SIGTERM and Ctrl-C finish what has begun;
    SIGQUIT hands it back.
    """
    chosen = tuple(dict.fromkeys(name.strip() for name in queues.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in QUEUES]
    if unknown or not chosen:
        named = f"{', '.join(map(repr, unknown))} unknown; " if unknown else ""
        refuse(f"--queues: {named}known: {', '.join(QUEUES)}", False)
    if not broker.address():
        refuse(f"{broker.BROKER}: is not set; give the broker's address, as in amqp://USER:PASSWORD@HOST/VHOST", False)
    configured = settings()
    if not configured.on_postgres:
        refuse("CM_DATABASE_URL: is not set; workers and runs need one Postgres database, postgresql://...", False)
    missing = [name for name in ("celery", "dagster_postgres") if find_spec(name) is None]
    if missing:
        refuse("cm worker: packages are missing; install cm-assets[celery,postgres,s3]", False)
    if configured.artifacts_folder is not None:
        typer.echo(
            f"cm: CM_ARTIFACTS_URL: {configured.artifacts_folder} is a folder: every host must see the same one there; "
            "else set s3://BUCKET/FOLDER",
            err=True,
        )
    from cm_assets.orchestration.step_worker import serve

    raise typer.Exit(serve(configured, chosen, concurrency))
