"""Dagster's SQLite storage, over one engine for each process instead of a new one for each statement.

The stock storage compiles every statement every time, since what an engine has compiled goes with it, and reads all its
migrations in every step to see that there is nothing to migrate; that was half of the CPU time of a run. The files,
tables and statements are the stock storage's own: each can go on where the other stopped.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import sqlalchemy as sa
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import NullPool

from cm_assets.orchestration.pools import Pools

INDEX = "index"
"""Name of the event log's index."""

EVENTS, RUNS, SCHEDULES = "history/runs", "history", "schedules"
"""Folders of the stock storage's files."""

_DONE = """
select 'table ' || name from sqlite_master where type = 'table'
union all select 'column ' || name from pragma_table_info('asset_keys')
union all select 'migration ' || name from secondary_indexes where migration_completed is not null
"""

FILES = (f"{EVENTS}/{INDEX}.db", f"{RUNS}/runs.db", f"{SCHEDULES}/schedules.db")

_OPTIONS: dict[str, Any] = {"poolclass": NullPool, "connect_args": {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}}


class _Files(threading.local):
    """The files of this thread."""

    path = ""
    """Which one the next connection is to."""

    def __init__(self) -> None:
        self.kept: dict[str, sa.Connection] = {}
        """A connection to each that nobody uses now."""


_files = _Files()
_engine = sa.create_engine("sqlite://", **_OPTIONS)

_keeping = False

_of_a_run: list[str] = []
"""The statements that make the tables of a run's file; made when they are first needed."""

_current: set[str] = set()
"""Addresses of the runs whose tables had the columns of times; known like the next."""

_stamped: set[str] = set()
"""Files that had their tables when this process, or the one that it is forked from, looked."""

_done: dict[str, frozenset[str]] = {}
"""What such an index had of what Dagster's versions have added to it, none of which is ever taken away."""


@sa.event.listens_for(_engine, "do_connect")
def _open(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(_files.path, **options)
    return connection


def _connect(path: str) -> sa.Connection:
    _files.path = path
    return _engine.connect()


@contextmanager
def _connection(path: str) -> Iterator[sa.Connection]:
    """A transaction on a file."""
    kept = _files.kept
    connection = kept.pop(path, None) or _connect(path)  # whoever is inside another transaction has one of their own
    try:
        with connection.begin():
            yield connection
    except BaseException:
        connection.close()
        raise
    # Only of the thread that forks can be said that it closes them before.
    if path in kept or not _keeping or threading.current_thread() is not threading.main_thread():
        connection.close()
    else:
        kept[path] = connection


def keep_connections() -> None:
    """Have this process and its forks keep a connection to a file, since to open one costs as much as a statement.

    For processes that work for one run. Whoever lives long may see more files than it can hold, and removed ones.
    """
    global _keeping  # noqa: PLW0603 - it is a state of the process
    if not _keeping:
        _keeping = True
        os.register_at_fork(before=_close)  # a connection that is inherited holds locks that are another's


def _close() -> None:
    while _files.kept:
        _files.kept.popitem()[1].close()


def _is_stamped(path: str) -> bool:
    """Whether a file has its tables."""
    if not Path(path).exists():
        _stamped.discard(path)
        _done.pop(path, None)
    elif path not in _stamped:
        with _connection(path) as connection:
            if sa.inspect(connection).has_table("alembic_version") and connection.scalar(
                sa.text("select version_num from alembic_version")
            ):
                _stamped.add(path)
    return path in _stamped


def _has(path: str, what: str) -> bool:
    """Whether an index has `table T`, `column C` of the assets, or `migration M` of what was in it before.

    The stock storage asks such things before each of its statements, some of them several times in every step.
    """
    if what not in _done.get(path, ()):
        # Asked for while a transaction is open, too, so not by way of the storage's lock.
        with _connection(path) as connection:
            _done[path] = frozenset(connection.scalars(sa.text(_DONE)))
    return what in _done[path]


def _copied(path: str, statements: Iterable[str]) -> bool:
    """Whether a file was new, and was given its tables, all of them or none."""
    try:
        with closing(sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("begin immediate")
            new: bool = connection.execute("select count(*) = 0 from sqlite_master").fetchone()[0]
            for statement in statements if new else ():
                connection.execute(statement)
            connection.execute("commit")
    except sqlite3.OperationalError:  # somebody else is at it: the stock storage knows how to wait for that
        return False
    return new


class EventLog(Pools, SqliteEventLogStorage):
    """The event log: a file for each run, and the index of all that is about assets."""

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table."""
        return _has(self.path_for_shard(INDEX), f"table {table_name}")

    def has_secondary_index(self, name: str) -> bool:
        """Whether one of Dagster's migrations of data was done."""
        return _has(self.path_for_shard(INDEX), f"migration {name}")

    def _has_asset_key_col_on_connection(self, _connection: sa.Connection, column_name: str) -> bool:
        return _has(self.path_for_shard(INDEX), f"column {column_name}")

    def _tables_of_a_run(self) -> Sequence[str]:
        """The statements of what the stock storage makes in a run's file by way of its migrations."""
        if not _of_a_run:
            with TemporaryDirectory() as folder:
                path = f"{folder}/blank.db"
                self._initdb(sa.create_engine(f"sqlite:///{path}", **_OPTIONS))
                with closing(sqlite3.connect(path)) as blank:
                    _of_a_run[:] = [line for line in blank.iterdump() if line not in {"BEGIN TRANSACTION;", "COMMIT;"}]
        return _of_a_run

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            path = self.path_for_shard(shard)
            if shard not in self._initialized_dbs:
                if not _is_stamped(path) and not _copied(path, self._tables_of_a_run()):
                    self._initdb(sa.create_engine(self.conn_string_for_shard(shard), **_OPTIONS))
                self._initialized_dbs.add(shard)
            with _connection(path) as connection:
                yield connection


class Runs(SqliteRunStorage):
    """The runs and their tags."""

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A transaction."""
        with _connection(str(sa.make_url(self._conn_string).database)) as connection:
            yield connection

    def has_run_stats_index_cols(self) -> bool:
        """Whether the columns of times are there. The stock storage asks before each look at runs."""
        if self._conn_string not in _current and super().has_run_stats_index_cols():
            _current.add(self._conn_string)
        return self._conn_string in _current


class Schedules(SqliteScheduleStorage):
    """What schedules and sensors did."""

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A transaction."""
        with _connection(str(sa.make_url(self._conn_string).database)) as connection:
            yield connection


class SqliteStorage(DagsterSqliteStorage):
    """The three storages of an instance, for `dagster.yaml`."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        if not all(_is_stamped(f"{base_dir}/{name}") for name in FILES):
            DagsterSqliteStorage(base_dir)  # makes the files and their tables
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.base_dir = base_dir
        self._inst_data = inst_data
        events, runs, schedules = (f"{base_dir}/{name}" for name in FILES)
        self._event_log_storage = EventLog(str(Path(events).parent))
        self._run_storage = Runs(f"sqlite:///{runs}")
        self._schedule_storage = Schedules(f"sqlite:///{schedules}")

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Self:
        """The storage in a folder, which is made if it is not there."""
        Path(base_dir).mkdir(parents=True, exist_ok=True)
        return cls(base_dir, inst_data=inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from `dagster.yaml`."""
        return cls.from_local(inst_data=inst_data, **config_value)


@contextmanager
def kept_open(paths: Iterable[Path]) -> Iterator[None]:
    """Keep files open for as long as the block runs.

    Whoever is the last to close a SQLite file has to write its log back and remove it, and the next one to open it to
    begin another: with somebody else there, a write takes a third of the time. The one who keeps them must not fork.
    """
    with ExitStack() as stack:
        for path in paths:
            with suppress(sqlite3.Error):  # it is for speed alone
                connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
                stack.callback(connection.close)
                connection.execute("select count(*) from sqlite_master").fetchone()  # a file is opened by its first use
        yield


def shared_files(base_dir: Path) -> list[Path]:
    """What all processes of an instance write to."""
    return [base_dir / name for name in FILES]


def files_of_run(instance: InstanceRef, run_id: str) -> list[Path]:
    """What the processes of one run write to; nothing where the instance is on another storage than this one."""
    data = instance.storage_data
    if data is None or data.class_name != SqliteStorage.__name__:
        return []
    return [Path(data.config_dict["base_dir"]) / EVENTS / f"{run_id}.db"]


def storage(base_dir: Path) -> dict[str, Any]:
    """What `dagster.yaml` says under `storage`."""
    config = {"base_dir": str(base_dir)}
    return {"custom": {"module": __name__, "class": SqliteStorage.__name__, "config": config}}
