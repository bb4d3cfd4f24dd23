"""Our Postgres storage is the stock one, quicker: the same tables, whoever writes them."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from cm_assets.definitions import build_defs
from cm_assets.orchestration.postgres import SCRATCH, EventLog, _engine, scratch, storage
from cm_assets.orchestration.rehearsal import rehearse
from cm_assets_tests.postgres import new_database

pytestmark = pytest.mark.postgres

KEY = dg.AssetKey("script")
VARIABLE = "CM_DAGSTER_POSTGRES_URL"


@dg.asset(check_specs=[dg.AssetCheckSpec("fine", asset="script")], pool="llm")
def script() -> Iterator[dg.MaterializeResult[Any]]:
    yield dg.MaterializeResult(metadata={"words": 7}, check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def url(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    url = new_database(postgres).replace("postgresql://", "postgresql+psycopg2://")
    monkeypatch.setenv(VARIABLE, url)
    yield url
    _engine(url).dispose()


@contextmanager
def instance_in(folder: Path, *, stock: bool = False) -> Iterator[dg.DagsterInstance]:
    place = {"postgres": {"postgres_url": {"env": VARIABLE}}} if stock else storage(VARIABLE)
    with dg.DagsterInstance.local_temp(str(folder), {"storage": place, "telemetry": {"enabled": False}}) as instance:
        yield instance


def make(instance: dg.DagsterInstance) -> str:
    result = dg.materialize([script], instance=instance)
    assert result.success
    return result.run_id


def seen(instance: dg.DagsterInstance) -> list[tuple[int, str]]:
    records = instance.fetch_materializations(KEY, limit=10, ascending=True).records
    return [(one.storage_id, one.run_id) for one in records]


def log(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.dagster_event.event_type_value for entry in instance.all_logs(run_id) if entry.dagster_event]


@pytest.mark.parametrize("first_stock", [True, False])
def test_each_storage_goes_on_where_the_other_stopped(url: str, tmp_path: Path, first_stock: bool) -> None:
    with instance_in(tmp_path, stock=first_stock) as instance:
        first = make(instance)
        before, events = seen(instance), log(instance, first)
        instance.add_dynamic_partitions("videos", ["robot"])
    with instance_in(tmp_path, stock=not first_stock) as instance:
        assert seen(instance) == before
        assert log(instance, first) == events
        assert instance.has_dynamic_partition("videos", "robot")
        second = make(instance)
        assert log(instance, second) == events
        assert [run for _, run in seen(instance)] == [first, second]


def test_a_process_has_one_engine_and_keeps_one_connection(url: str, tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        make(instance)
        assert isinstance(instance.event_log_storage, EventLog)
        for part in (instance.event_log_storage, instance.run_storage, instance.schedule_storage):
            assert vars(part)["_engine"] is _engine(url)
        assert _engine(url).pool.status().startswith("Pool size: 1  Connections in pool: 1")


def test_threads_write_at_once(url: str, tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        made = [dg.AssetMaterialization(KEY, metadata={"words": number}) for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(instance.report_runless_asset_event, made))
        assert len({one.storage_id for one in instance.fetch_materializations(KEY, limit=100).records}) == 40


def test_a_fork_has_a_connection_of_its_own(url: str, tmp_path: Path) -> None:
    def backend() -> int:
        with _engine(url).connect() as connection:
            return int(connection.scalar(sa.text("select pg_backend_pid()")) or 0)

    with instance_in(tmp_path) as instance:
        make(instance)
        before = backend()
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                make(instance)
                os.write(writes, str(backend()).encode())
            finally:
                os._exit(0)
        os.close(writes)
        with os.fdopen(reads) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        assert said
        assert int(said) != before
        assert backend() == before
        make(instance)
        assert len(seen(instance)) == 3


def test_a_connection_that_the_server_ended_is_opened_anew(url: str, tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        make(instance)
        other = sa.create_engine(url)
        with other.connect() as connection:
            ended = connection.scalar(
                sa.text(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
                )
            )
        other.dispose()
        assert ended == 1
        make(instance)


def test_a_scratch_schema_holds_what_is_made_in_it_and_is_gone_afterwards(url: str, tmp_path: Path) -> None:
    def schemas() -> list[str]:
        with _engine(url).connect() as connection:
            return [name for name in sa.inspect(connection).get_schema_names() if name.startswith(SCRATCH)]

    with instance_in(tmp_path) as instance:
        kept = make(instance)
        with _engine(url).connect() as connection:
            connection.execute(sa.schema.CreateSchema(f"{SCRATCH}1700000000_dead"))
        with scratch(url) as name:
            passing = make(instance)
            assert schemas() == [name]
        assert schemas() == []
        assert [run for _, run in seen(instance)] == [kept]
        assert instance.get_run_by_id(passing) is None
        make(instance)


def test_a_rehearsal_leaves_what_it_compiled_and_nothing_else(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Secrets are read where they are used, so this variable is needed beside the address that Dagster takes.
    monkeypatch.setenv("CM_DATABASE_URL", url.replace("postgresql+psycopg2://", "postgresql://"))
    with caplog.at_level(logging.WARNING, "cm_assets"):
        rehearse(build_defs)
    assert not [record for record in caplog.records if record.name.startswith("cm_assets")]
    compiled = len(_engine(url)._compiled_cache or ())
    assert compiled > 10
    with _engine(url).connect() as connection:
        assert not [name for name in sa.inspect(connection).get_schema_names() if name.startswith(SCRATCH)]
        assert not sa.inspect(connection).has_table("requests")
    with instance_in(tmp_path) as instance:
        assert not instance.get_runs()
        assert not instance.all_asset_keys()
        instance.add_dynamic_partitions("videos", ["robot"])
        instance.report_runless_asset_event(dg.AssetMaterialization("script", partition="robot"))
        assert instance.get_dynamic_partitions("videos") == ["robot"]
