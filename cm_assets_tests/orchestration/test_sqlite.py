"""Our SQLite storage is the stock one, quicker: the same files, whoever writes them."""

import multiprocessing
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage

from cm_assets.orchestration import sqlite as sqlite_module
from cm_assets.orchestration.sqlite import (
    EventLog,
    SqliteStorage,
    files_of_run,
    keep_connections,
    kept_open,
    shared_files,
    storage,
)

KEY = dg.AssetKey("script")

forked = multiprocessing.get_context("fork")


@dg.asset(check_specs=[dg.AssetCheckSpec("fine", asset="script")], pool="llm")
def script() -> Iterator[dg.MaterializeResult[Any]]:
    yield dg.MaterializeResult(metadata={"words": 7}, check_results=[dg.AssetCheckResult(passed=True)])


@contextmanager
def instance_in(folder: Path, *, stock: bool = False) -> Iterator[dg.DagsterInstance]:
    place = {"sqlite": {"base_dir": str(folder)}} if stock else storage(folder)
    with dg.DagsterInstance.local_temp(str(folder), {"storage": place, "telemetry": {"enabled": False}}) as instance:
        yield instance


def make(instance: dg.DagsterInstance) -> str:
    result = dg.materialize([script], instance=instance)
    assert result.success
    return result.run_id


def seen(instance: dg.DagsterInstance) -> list[tuple[int, str, object]]:
    records = instance.fetch_materializations(KEY, limit=10, ascending=True).records
    return [
        (one.storage_id, one.run_id, one.asset_materialization.metadata["words"].value)
        for one in records
        if one.asset_materialization
    ]


def seen_words(records: Sequence[dg.EventLogRecord]) -> list[int]:
    return [int(str(one.asset_materialization.metadata["words"].value)) for one in records if one.asset_materialization]


def log(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.dagster_event.event_type_value for entry in instance.all_logs(run_id) if entry.dagster_event]


@pytest.mark.parametrize("first_stock", [True, False])
def test_each_storage_goes_on_where_the_other_stopped(tmp_path: Path, first_stock: bool) -> None:
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
        after = seen(instance)
    assert [run for _, run, _ in after] == [first, second]
    with instance_in(tmp_path, stock=first_stock) as instance:
        assert seen(instance) == after
        assert {run.run_id for run in instance.get_runs()} == {first, second}


def test_it_is_what_the_instance_uses_and_nothing_stays_open(tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        make(instance)
        assert isinstance(instance.event_log_storage, EventLog)
        assert not [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]


def files_of(pid: int, folder: Path) -> set[str]:
    return {Path(file.path).name for file in psutil.Process(pid).open_files() if file.path.startswith(str(folder))}


def test_a_worker_keeps_its_connections_and_whoever_it_forks_inherits_none(tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        make(instance)
        here, there = forked.Pipe()

        def step() -> None:
            keep_connections()
            run = make(instance)
            below = forked.Process(target=lambda: there.send(files_of(os.getpid(), tmp_path)))
            there.send((run, files_of(os.getpid(), tmp_path)))
            below.start()
            below.join()
            there.send((make(instance), files_of(os.getpid(), tmp_path)))

        process = forked.Process(target=step)
        process.start()
        first, kept = here.recv()
        assert kept >= {"index.db", "runs.db", f"{first}.db"}
        assert here.recv() == set()
        second, kept = here.recv()
        assert kept >= {"index.db", "runs.db", f"{second}.db"}
        process.join()
        assert process.exitcode == 0
        make(instance)
        assert len(seen(instance)) == 4
        assert log(instance, first) == log(instance, second)


def test_a_kept_connection_whose_transaction_failed_is_not_used_again(tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        make(instance)

        def step() -> None:
            keep_connections()
            events = instance.event_log_storage
            assert isinstance(events, EventLog)
            for _ in range(2):
                with pytest.raises(sa.exc.OperationalError), events.index_connection() as connection:  # noqa: PT012
                    assert connection.exec_driver_sql("delete from event_logs").rowcount
                    assert events.has_table("asset_keys")  # by a connection of its own
                    connection.exec_driver_sql("no sql")
            assert len(seen(instance)) == 1
            make(instance)

        process = forked.Process(target=step)
        process.start()
        process.join()
        assert process.exitcode == 0
        assert len(seen(instance)) == 2


def test_what_dagster_has_added_to_an_index_is_asked_once(tmp_path: Path) -> None:
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement.lower())

    with instance_in(tmp_path) as instance:
        make(instance)
        sqlite_module._done.clear()
        sa.event.listen(sqlite_module._engine, "before_cursor_execute", hear)
        try:
            for _ in range(2):
                make(instance)
                instance.get_asset_records([KEY])
        finally:
            sa.event.remove(sqlite_module._engine, "before_cursor_execute", hear)
    about = [one for one in said if "secondary_indexes" in one or ("info(" in one and "asset_keys" in one)]
    assert len(about) == 1


def tables(path: Path) -> tuple[object, ...]:
    with closing(sqlite3.connect(path)) as connection:
        (mode,) = connection.execute("pragma journal_mode").fetchone()
        return mode, *connection.iterdump()


def test_a_run_gets_the_tables_that_the_stock_storage_makes(tmp_path: Path) -> None:
    stock, ours = SqliteEventLogStorage(str(tmp_path / "stock")), EventLog(str(tmp_path / "ours"))
    for number in range(2):
        for one in (stock, ours):
            assert one.get_logs_for_run(f"{number}") == []
        assert tables(tmp_path / "ours" / f"{number}.db") == tables(tmp_path / "stock" / f"{number}.db")


def test_processes_that_meet_a_new_run_at_once_find_its_tables(tmp_path: Path) -> None:
    SqliteStorage.from_local(str(tmp_path))
    wanted = [f"{number}" for number in range(60)]

    def look() -> None:
        events = EventLog(str(tmp_path / "history" / "runs"))
        for run in wanted:
            assert events.get_logs_for_run(run) == []

    processes = [forked.Process(target=look) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    files = [tmp_path / "history" / "runs" / f"{run}.db" for run in wanted]
    assert len({tables(file) for file in files}) == 1


def test_a_file_that_only_lacks_its_stamp_keeps_what_is_in_it(tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        run = make(instance)
        before = log(instance, run)
    with closing(sqlite3.connect(tmp_path / "history" / "runs" / f"{run}.db")) as connection, connection:
        connection.execute("drop table alembic_version")
    sqlite_module._stamped.clear()  # as a process does not know that had not seen it before
    with instance_in(tmp_path) as instance:
        assert log(instance, run) == before


def test_threads_write_at_once(tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        made = [dg.AssetMaterialization(KEY, metadata={"words": number}) for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(instance.report_runless_asset_event, made))
        records = instance.fetch_materializations(KEY, limit=100).records
        assert sorted(seen_words(records)) == list(range(40))
        assert len({one.storage_id for one in records}) == 40


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        make(instance)
        events = instance.event_log_storage
        assert isinstance(events, EventLog)
        with pytest.raises(sa.exc.OperationalError), events.index_connection() as connection:  # noqa: PT012
            assert connection.exec_driver_sql("delete from event_logs").rowcount
            connection.exec_driver_sql("no sql")
        assert len(seen(instance)) == 1


def test_a_table_that_is_not_there_is_looked_for_again(tmp_path: Path) -> None:
    SqliteStorage.from_local(str(tmp_path))
    events = EventLog(str(tmp_path / "history" / "runs"))
    assert events.has_table("asset_keys")
    assert not events.has_table("later")
    with events.index_connection() as connection:
        connection.exec_driver_sql("create table later (x)")
    assert events.has_table("later")


def test_files_that_are_kept_open_keep_their_log(tmp_path: Path) -> None:
    with instance_in(tmp_path) as instance:
        files = [*shared_files(tmp_path), *files_of_run(instance.get_ref(), make(instance))]
        logs = [file.with_name(f"{file.name}-wal") for file in files]
        assert all(file.is_file() for file in files)
        with kept_open(files):
            make(instance)
            assert all(log.is_file() for log in logs)
        assert not any(log.exists() for log in logs)


def test_what_is_not_there_is_not_made_by_keeping_it_open(tmp_path: Path) -> None:
    with kept_open([tmp_path / "none.db"]):
        assert not list(tmp_path.iterdir())


def test_another_storage_has_no_files_to_keep(tmp_path: Path) -> None:
    with instance_in(tmp_path, stock=True) as instance:
        assert files_of_run(instance.get_ref(), make(instance)) == []
