import multiprocessing
import os
from pathlib import Path

import pytest

from cm_assets.models.base import PermanentFailure
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.queue import INTERVAL
from cm_assets.policies import STAGES
from cm_assets.settings import Settings


def _open(folder: str) -> None:
    settings = Settings(home=Path(folder))
    homes.prepare(settings)
    with homes.open_instance(settings) as instance:
        homes.set_pool_limits(instance, settings)
        assert instance.get_runs(limit=1) == []


def test_processes_that_meet_a_new_home_together_do_not_race(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open, args=(str(tmp_path / "home"),)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def test_pools_have_the_limits_of_the_table_or_of_the_settings(tmp_path: Path) -> None:
    before = {name: os.environ.get(name) for name in ("DAGSTER_HOME", "CM_HOME", "DAGSTER_DISABLE_TELEMETRY")}
    settings = Settings(home=tmp_path / "home", pools={"render": 7})
    try:
        homes.prepare(settings)
        with homes.open_instance(settings) as instance:
            homes.set_pool_limits(instance, settings)
            limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    assert limits == {policy.pool: policy.pool_limit for policy in STAGES.values() if policy.pool} | {"render": 7}


def test_what_an_engine_lives_by_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else in the home may have been told other settings."""
    for name in ("CM_HOME", "DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY", homes.POSTGRES):
        monkeypatch.setenv(name, "")
    home, address = tmp_path / "home", "postgresql://cm:open-sesame-4711@127.0.0.1:9/cm"
    file = home / "dagster.yaml"
    homes.prepare(Settings(home=home, max_concurrent_runs=8), engine=True)
    engine = homes.engine_lock(Settings(home=home))
    assert engine.take()
    homes.prepare(Settings(home=home))
    assert "max_concurrent_runs: 8" in file.read_text()
    with pytest.raises(PermanentFailure, match="has its records in files: do not set CM_DATABASE_URL"):
        homes.prepare(Settings(home=home, database_url=address))
    engine.release()
    homes.prepare(Settings(home=home, database_url=address))
    assert "PostgresStorage" in file.read_text()
    assert engine.take()
    with pytest.raises(PermanentFailure, match="has its records in a Postgres database: set CM_DATABASE_URL to it"):
        homes.prepare(Settings(home=home))
    homes.prepare(Settings(home=home), engine=True)  # one that comes after it
    assert "PostgresStorage" not in file.read_text()
    engine.release()


def test_a_lock_has_one_holder_and_dies_with_it(tmp_path: Path) -> None:
    one, two = homes.Lock(tmp_path / "lock"), homes.Lock(tmp_path / "lock")
    assert one.take()
    assert not two.take()
    one.release()
    assert two.take()
    two.release()
    assert one.take(shared=True)
    assert two.take(shared=True)
    one.release()
    two.release()


def test_the_queue_is_looked_at_every_half_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._daemon.controller import create_daemon_of_type
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    for name in ("DAGSTER_HOME", "CM_HOME", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # put back afterwards
    settings = Settings(home=tmp_path / "home")
    homes.prepare(settings)
    with homes.open_instance(settings) as instance:
        daemon = create_daemon_of_type(QueuedRunCoordinatorDaemon.daemon_type(), instance)
        assert isinstance(daemon, QueuedRunCoordinatorDaemon)
        assert daemon.interval_seconds == INTERVAL
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert limits.max_concurrent_runs == settings.max_concurrent_runs
