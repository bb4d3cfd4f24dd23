"""A video that nobody asked for, begun in the warm parent: what its run imports and compiles, every later one finds."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import deserialize_value, serialize_value

from cm_assets.assets.stage import Stages
from cm_assets.lifecycle.worklog import PARTITION_TAG
from cm_assets.orchestration import broker, sqlite
from cm_assets.orchestration.home import POSTGRES, set_pool_limits
from cm_assets.orchestration.run_worker import execute
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets.storage.database import Database, Step
from cm_assets.storage.disk import Disk

VIDEO = "rehearsal"

STAGES = ("brief", "script")
"""What needs no engine; and as Dagster sees it, every stage is alike."""

SILENT = {"console": {"config": {"log_level": "CRITICAL"}}}

REQUEST = {"scenes": [{"text": "A rehearsal.", "search_terms": ["stage"]}]}


_rehearsed: list[dg.Definitions] = []
"""What is rehearsed, and nothing at other times."""

log = logging.getLogger("cm_assets.rehearsal")


def rehearse(build_defs: Callable[..., dg.Definitions]) -> None:
    """Run the first stages of a video in a home that is gone afterwards. Without it runs are slower, that is all."""
    try:
        _rehearse(build_defs)
    except Exception:
        log.exception("the rehearsal failed; runs will take longer")


def rehearse_statements(database: Database) -> None:
    """Have a database compile what each step asks it for; nothing is left in it, nor a connection to it."""
    try:
        with suppress(_Undone), database.together():
            database.get(VIDEO)
            database.report_progress(VIDEO, STAGES[0], Step(0.0))
            database.end_attempt(VIDEO, STAGES[0], Step(1.0), "done", 0.0)
            raise _Undone
    except Exception as error:  # noqa: BLE001 - a full disk, tables of a newer version: a stage says what is wrong
        log.warning("what steps ask the database is not rehearsed (%s); they will take longer", type(error).__name__)
    database.dispose()


class _Undone(Exception):
    """Nothing of it is to stay."""


def _defs() -> dg.Definitions:
    """What a rehearsal's worker and its forks find by this name."""
    return _rehearsed[-1]


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
        defs = build_defs(settings, overrides=resources)
        job = defs.resolve_implicit_global_asset_job_def()
        overrides = {"storage": storage, "telemetry": {"enabled": False}}
        (Path(name) / "dagster.yaml").touch()  # else Dagster warns that there is none
        with dg.DagsterInstance.local_temp(name, overrides=overrides) as instance:
            set_pool_limits(instance, settings)
            instance.add_dynamic_partitions(PARTITIONS, [VIDEO])
            # What a step needs, which a fork would take with it, and then what is needed by a worker that forks steps.
            job.execute_in_process(
                instance=instance,
                partition_key=VIDEO,
                asset_selection=[dg.AssetKey(stage) for stage in STAGES],
                run_config={"ops": {"brief": {"config": {"request": REQUEST}}}, "loggers": SILENT},
                tags={PARTITION_TAG: VIDEO},
            )
            database.dispose()
            if not broker.address():
                _work(instance, defs, job)


def _work(instance: dg.DagsterInstance, defs: dg.Definitions, job: dg.JobDefinition) -> None:
    """Be the worker of a run of this job, which is one of these definitions."""
    _rehearsed.append(defs)
    found = ReconstructableRepository.for_module(__name__, _defs.__name__, str(Path.cwd())).get_reconstructable_job(
        job.name
    )
    origin = found.get_python_origin()
    run = instance.create_run_for_job(
        job,
        asset_selection=frozenset({dg.AssetKey(STAGES[-1])}),
        run_config={"loggers": SILENT},
        tags={PARTITION_TAG: VIDEO},
        job_code_origin=origin,
    )
    args = ExecuteRunArgs(origin, run.run_id, instance.get_ref(), set_exit_code_on_failure=None)
    try:
        execute(deserialize_value(serialize_value(args), ExecuteRunArgs))
    finally:
        _rehearsed.clear()
    ended = instance.get_run_by_id(run.run_id)
    if ended is None or not ended.is_success:
        raise RuntimeError("the run of the rehearsal failed")
