"""The asset `brief` in a real Dagster instance: a way in like any other."""

from pathlib import Path

import dagster as dg

from cm_assets.assets.stage import Stages
from cm_assets.definitions import build_defs
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk
from cm_assets_tests.conftest import SHORT


def asked(folder: Path, settings: Settings, database: Database) -> tuple[bool, str]:
    """Materialize it with a request as run config; whether that went well, and what a person was told."""
    own = {"database": database, "stages": Stages(database, folder / "work"), "disk": Disk(settings, database)}
    job = build_defs(settings, overrides=own).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        instance.add_dynamic_partitions(PARTITIONS, ["robot"])
        done = job.execute_in_process(
            instance=instance,
            partition_key="robot",
            asset_selection=[dg.AssetKey("brief")],
            run_config={"ops": {"brief": {"config": {"request": SHORT}}}},
            raise_on_error=False,
        )
        failures = [
            entry.dagster_event.step_failure_data.user_failure_data
            for entry in instance.all_logs(done.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
            if entry.dagster_event
        ]
    return done.success, " ".join(one.description or "" for one in failures if one)


def test_a_full_disk_refuses_a_new_request_and_nothing_is_stored(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    full = Settings(home=tmp_path, max_disk="1KB", min_free=0)
    database.note_disk({"outbox": 5000})
    success, said = asked(tmp_path, full, database)
    assert not success
    assert "there is no disk space for another video" in said
    assert "CM_MAX_DISK" in said
    assert database.get("robot") is None
    success, _ = asked(tmp_path, Settings(home=tmp_path, min_free=0), database)
    assert success
    assert database.get("robot") is not None
    # What was taken in before goes on.
    assert asked(tmp_path, full, database)[0]
    database.dispose()
