"""Removing what Dagster keeps of a video, as far as nothing of it is left.

`DagsterInstance.delete_run` forgets the run before its events, so that nobody finds the events of one that was cut
short; on SQLite it leaves the run's log file and tags, and on all databases the evaluations of checks. Private tables;
`test_retention.py` guards them.
"""

from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

from cm_assets.checks.finding import CHECKS
from cm_assets.lifecycle.review import ASSET
from cm_assets.lifecycle.worklog import STAGES
from cm_assets.partitions import VideoId


def forget_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run that has ended, last of all the row by which it is found. Removing it again changes nothing."""
    events, runs = instance.event_log_storage, instance.run_storage
    if not isinstance(events, SqlEventLogStorage) or not isinstance(runs, SqlRunStorage):
        instance.delete_run(run_id)
        return
    _forget_events(events, SqlEventLogStorageTable.c.run_id == run_id)
    checks = AssetCheckExecutionsTable.c
    with events.index_connection() as connection:
        for stage, names in CHECKS.items():
            for name in names:  # each by itself: the index begins with the asset and the check
                key = dg.AssetKey(stage.split("/")).to_string()
                chosen = (checks.asset_key == key) & (checks.check_name == name) & (checks.run_id == run_id)
                connection.execute(AssetCheckExecutionsTable.delete().where(chosen))
    events.free_concurrency_slots_for_run(run_id)
    if isinstance(events, SqliteEventLogStorage):
        log = Path(events.path_for_shard(run_id))
        for ending in ("-wal", "-shm", ""):
            log.with_name(log.name + ending).unlink(missing_ok=True)
    with runs.connect() as connection:
        # Postgres does each by itself, and it is by its tags that a run is found: its row goes first, and they with it.
        connection.execute(RunsTable.delete().where(RunsTable.c.run_id == run_id))
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))


def forget_reports(instance: dg.DagsterInstance, video: VideoId) -> None:
    """Remove what was reported about a video without a run, such as its approval."""
    events = instance.event_log_storage
    if isinstance(events, SqlEventLogStorage):
        keys = [dg.AssetKey(name.split("/")).to_string() for name in (*STAGES, ASSET)]
        table = SqlEventLogStorageTable.c
        kinds = [dg.DagsterEventType.ASSET_MATERIALIZATION.value, dg.DagsterEventType.ASSET_OBSERVATION.value]
        _forget_events(
            events, table.asset_key.in_(keys) & table.dagster_event_type.in_(kinds) & (table.partition == video)
        )


def _forget_events(events: SqlEventLogStorage, chosen: sa.ColumnElement[bool]) -> None:
    table = SqlEventLogStorageTable
    # The newest of all stays: SQLite would give its id to the next event, and who reads by a cursor would miss that.
    newest = sa.select(sa.func.max(table.c.id)).scalar_subquery()
    chosen &= table.c.id < newest
    with events.index_connection() as connection:
        ids = sa.select(table.c.id).where(chosen)
        connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
        connection.execute(table.delete().where(chosen))
