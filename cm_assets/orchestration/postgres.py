"""Dagster's Postgres storage, over one engine and one kept connection for each process.

The stock storage has three engines a process and connects anew for every statement: the server starts a process each
time, and the driver asks it for its version and its types. Tables and statements are the stock storage's own.

A process keeps one connection; what its threads need beyond that is opened and closed again.
"""

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import sqlalchemy as sa
from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.config import pg_config
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._serdes import ConfigurableClassData
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import pg_url_from_config

from cm_assets.orchestration.pools import Pools
from cm_assets.storage.away import connected
from cm_assets.storage.holds import CLIENT_KEEPALIVE

RECYCLE = 600
"""Seconds after which a kept connection is opened anew: some networks forget the idle ones."""


SCRATCH = "cm_scratch_"
"""Beginning of the names of schemas for a while; the time of their making follows."""

LEFT_OVER = 3600
"""Seconds after which whoever made such a schema is taken for dead."""

_search_path: list[str] = []
"""The schema in which this process works for now, if not in the usual one."""


@cache
def _engine(url: str) -> sa.Engine:
    """The engine of this process; a fork keeps what it has compiled and opens connections of its own."""
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=1,
        max_overflow=-1,
        pool_pre_ping=True,
        pool_recycle=RECYCLE,
        connect_args=CLIENT_KEEPALIVE,
    )

    @sa.event.listens_for(engine, "do_connect")
    def _connect(dialect: sa.Dialect, _record: object, arguments: Any, options: dict[str, Any]) -> object:
        if _search_path:
            options["options"] = f"-c search_path={_search_path[0]}"
        return connected(lambda: dialect.connect(*arguments, **options))

    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    return engine


@contextmanager
def scratch(url: str) -> Iterator[str]:
    """Have this process, which must have one thread, work in an empty schema that is gone afterwards; its name."""
    engine, name = _engine(url), f"{SCRATCH}{int(time.time())}_{uuid.uuid4().hex[:12]}"
    with engine.connect() as connection:
        for old in sa.inspect(connection).get_schema_names():
            if old.startswith(SCRATCH) and int(old.split("_")[2]) < time.time() - LEFT_OVER:
                connection.execute(sa.schema.DropSchema(old, cascade=True))
        connection.execute(sa.schema.CreateSchema(name))
    try:
        engine.dispose()
        _search_path.append(name)
        with engine.connect() as connection:
            for metadata in (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata):
                metadata.create_all(connection)
        yield name
    finally:
        _search_path.clear()
        engine.dispose()
        with engine.connect() as connection:
            connection.execute(sa.schema.DropSchema(name, cascade=True))


@cache
def _ensure_tables(url: str) -> None:
    """Have the stock storage make what is not there."""
    DagsterPostgresStorage(url)


class EventLog(Pools, PostgresEventLogStorage):
    """The event log."""

    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._engine = _engine(url)
        self._tables: set[str] = set()

    def has_table(self, table_name: str) -> bool:
        """Whether there is a table. One that is there stays."""
        if table_name not in self._tables:
            if not super().has_table(table_name):
                return False
            self._tables.add(table_name)
        return True


class Runs(PostgresRunStorage):
    """The runs and their tags."""

    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._engine = _engine(url)


class Schedules(PostgresScheduleStorage):
    """What schedules and sensors did."""

    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._engine = _engine(url)


class PostgresStorage(DagsterPostgresStorage):
    """The three storages of an instance, for `dagster.yaml`."""

    def __init__(self, url: str, inst_data: ConfigurableClassData | None = None) -> None:
        _ensure_tables(url)
        super(DagsterPostgresStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.postgres_url = url
        self.should_autocreate_tables = False
        self._inst_data = inst_data
        self._event_log_storage = EventLog(url)
        self._run_storage = Runs(url)
        self._schedule_storage = Schedules(url)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What `dagster.yaml` may say: what it may of the stock storage."""
        return pg_config()

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from `dagster.yaml`."""
        return cls(pg_url_from_config(config_value), inst_data)


def storage(variable: str) -> dict[str, Any]:
    """What `dagster.yaml` says under `storage`.

    Args:
        variable: the environment variable that holds the database's address; it can hold a password.
    """
    config = {"postgres_url": {"env": variable}}
    return {"custom": {"module": __name__, "class": PostgresStorage.__name__, "config": config}}
