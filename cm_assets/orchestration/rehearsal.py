"""A video that nobody asked for, begun in the warm parent: what its run imports and compiles, every later one finds."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from cm_assets.assets.stage import Stages
from cm_assets.lifecycle.worklog import PARTITION_TAG
from cm_assets.orchestration import sqlite
from cm_assets.orchestration.home import POSTGRES
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk

VIDEO = "rehearsal"

STAGES = ("brief", "script")
"""What needs no engine; and as Dagster sees it, every stage is alike."""

REQUEST = {"scenes": [{"text": "A rehearsal.", "search_terms": ["stage"]}]}


log = logging.getLogger("cm_assets.rehearsal")


def rehearse(build_defs: Callable[..., dg.Definitions]) -> None:
    """Run the first stages of a video in a home that is gone afterwards. Without it runs are slower, that is all."""
    try:
        _rehearse(build_defs)
    except Exception:
        log.exception("the rehearsal failed; runs will take longer")


@contextmanager
def _place(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where the records of a rehearsal go, ours and Dagster's: into the kind of database that the home has."""
    url = os.environ.get(POSTGRES)
    if not url:
        yield "", sqlite.storage(folder)
        return
    from cm_assets.orchestration import postgres

    with postgres.scratch(url) as schema:
        ours = sa.make_url(url).set(drivername="postgresql").update_query_dict({"options": f"-csearch_path={schema}"})
        yield ours.render_as_string(hide_password=False), postgres.storage(POSTGRES)


def _rehearse(build_defs: Callable[..., dg.Definitions]) -> None:
    with tempfile.TemporaryDirectory(prefix="cm-rehearsal-") as name, _place(Path(name)) as (url, storage):
        settings = Settings(home=Path(name), database_url=url, artifacts_url="")
        database = Database(settings.database)
        resources = {"database": database, "stages": Stages(database, Path(name)), "disk": Disk(settings, database)}
        job = build_defs(settings, overrides=resources).resolve_implicit_global_asset_job_def()
        overrides = {"storage": storage, "telemetry": {"enabled": False}}
        with dg.DagsterInstance.local_temp(name, overrides=overrides) as instance:
            instance.add_dynamic_partitions(PARTITIONS, [VIDEO])
            job.execute_in_process(
                instance=instance,
                partition_key=VIDEO,
                asset_selection=[dg.AssetKey(stage) for stage in STAGES],
                run_config={
                    "ops": {"brief": {"config": {"request": REQUEST}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                tags={PARTITION_TAG: VIDEO},
            )
        database.dispose()
