"""A home as Dagster knows it: its `dagster.yaml`, an initialised instance, the pools' limits, who lives in it.

`cm` owns `$CM_HOME/dagster.yaml`; the checkout's own `dagster.yaml` serves plain `dagster dev`.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cm_assets.models.base import PermanentFailure
from cm_assets.policies import DEFAULT_POOL_LIMIT, POOLS, RUN_MAXIMUM
from cm_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from cm_assets.storage.database import Database

MARKER = "CM_ENGINE_OF"
"""Environment variable that every process of an engine carries: the home that it works for."""


POSTGRES = "CM_DAGSTER_POSTGRES_URL"
"""Environment variable that the home's `dagster.yaml` takes the database's address from."""

_ON_POSTGRES = "cm_assets.orchestration.postgres"
"""Module that a `dagster.yaml` names where the records are in Postgres."""

BACKSTOP = "backstop"
"""Cursor that says when the sensor last went the rounds, in seconds since 1970."""

LOOKED = "looked"
"""Cursor that says when somebody last looked at what is wanted, in seconds since 1970."""

BACKSTOP_LIMIT = 60
"""Seconds after which a sensor that was not seen again is taken for gone."""


def engine_folder(settings: Settings) -> Path:
    """Locks, logs and sockets of the home's engine."""
    return settings.home / "engine"


def prepare(settings: Settings, *, engine: bool = False) -> None:
    """Write the home's `dagster.yaml` and point this process and its children at it. Cheap; imports no Dagster.

    While an engine lives in the home the file is the engine's: others may have been told other settings.

    Args:
        settings: of the home.
        engine: whether this is the home's engine.

    Raises:
        PermanentFailure: the engine that lives in the home keeps its records elsewhere.
    """
    os.environ["CM_HOME"] = str(settings.home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "true"
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home or settings.home)
    if settings.on_postgres:
        # SQLAlchemy's default driver is not the one that Dagster brings.
        os.environ[POSTGRES] = settings.database_url.replace("postgresql://", "postgresql+psycopg2://", 1)
    engine_folder(settings).mkdir(parents=True, exist_ok=True)
    if settings.dagster_home is not None:
        return
    (settings.home / "dagster").mkdir(exist_ok=True)
    text = _dagster_yaml(settings)
    path = settings.home / "dagster.yaml"
    if not path.is_file() or path.read_text() != text:
        if not engine and path.is_file() and engine_runs(settings):
            if (_ON_POSTGRES in path.read_text()) != settings.on_postgres:
                there = "a Postgres database: set CM_DATABASE_URL to it"
                elsewhere = "files: do not set CM_DATABASE_URL, or stop cm up before"
                raise PermanentFailure(
                    f"the engine of {settings.home} has its records in {elsewhere if settings.on_postgres else there}"
                )
            return
        part = path.with_name(f".dagster.{os.getpid()}.yaml")
        part.write_text(text)
        part.replace(path)


def open_instance(settings: Settings) -> "dg.DagsterInstance":
    """The Dagster instance that makes the home's videos, its tables created by exactly one process.

    Processes that meet a new SQLite home together would race each other's migrations and leave it unusable.
    """
    import dagster as dg

    if settings.dagster_home is not None:
        return dg.DagsterInstance.get()  # its own daemons have made it
    alone = Lock(engine_folder(settings) / "instance.lock")
    alone.take(wait=True)
    try:
        ready = settings.home / "dagster" / "ready"
        instance = dg.DagsterInstance.get()
        if not ready.exists():
            # The tables are made at first use, each store's own.
            instance.get_runs(limit=1)
            instance.all_asset_keys()
            instance.all_instigator_state()
            ready.touch()
        return instance
    finally:
        alone.release()


def set_pool_limits(instance: "dg.DagsterInstance", settings: Settings, *, keep: bool = False) -> None:
    """Give every pool the limit that the settings say, or the policy table.

    Args:
        instance: whose pools.
        settings: may name limits.
        keep: leave those alone that somebody has set otherwise, as `dagster instance concurrency set` does.
    """
    storage = instance.event_log_storage
    current = {limit.name: limit for limit in storage.get_pool_limits()}
    for pool, wanted in {**POOLS, **settings.pools}.items():
        limit = current.get(pool)
        somebody_s = limit is not None and not limit.from_default
        if somebody_s and keep and pool not in settings.pools:
            continue
        if limit is None or limit.from_default or limit.limit != wanted:
            storage.set_concurrency_slots(pool, wanted)


class Lock:
    """A lock of a file that the kernel releases when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file: IO[str] | None = None

    def take(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock; False if somebody else has it and `wait` is not set."""
        file = self._file or self._path.open("a")
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            if self._file is None:
                file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def engine_lock(settings: Settings) -> Lock:
    """Held by the one engine of a home for as long as it lives."""
    return Lock(engine_folder(settings) / "engine.lock")


def lease(settings: Settings) -> Lock:
    """Held, shared, by everybody who needs the engine; when nobody does, it ends."""
    return Lock(engine_folder(settings) / "lease.lock")


def engine_runs(settings: Settings) -> bool:
    """Whether an engine lives in this home."""
    lock = engine_lock(settings)
    if lock.take():
        lock.release()
        return False
    return True


def stands_by(settings: Settings, why: str) -> None:
    """Note that the home's engine waits, and why; with nothing to say, that it does not."""
    path = engine_folder(settings) / "standby"
    if why:
        path.write_text(why)
    else:
        path.unlink(missing_ok=True)


def why_standing_by(settings: Settings) -> str:
    """Why the home's engine waits for its turn; empty if it does not."""
    try:
        return (engine_folder(settings) / "standby").read_text()
    except OSError:
        return ""


def engine_host(settings: Settings, database: "Database") -> str:
    """The host whose engine makes the videos; empty if there is none."""
    if settings.on_postgres:
        from cm_assets.storage.leases import host_at_work

        return host_at_work(database)
    return socket.gethostname() if engine_runs(settings) else ""


def somebody_works(settings: Settings, database: "Database") -> bool:
    """Whether an engine works, or a sensor of Dagster's daemon does its work."""
    return (
        engine_runs(settings)
        or bool(settings.on_postgres and engine_host(settings, database))
        or time.time() - database.cursor(BACKSTOP) < BACKSTOP_LIMIT
    )


@contextmanager
def needing_engine(settings: Settings) -> Iterator[None]:
    """Keep an engine alive (which `Client.ensure_engine` starts) for as long as the block runs."""
    held = lease(settings)
    held.take(shared=True, wait=True)
    try:
        yield
    finally:
        held.release()


def _dagster_yaml(settings: Settings) -> str:
    import json

    # By reference: the address can hold a password.
    postgres = f"""\
custom:
    module: {_ON_POSTGRES}
    class: PostgresStorage
    config:
      postgres_url: {{env: {POSTGRES}}}"""
    sqlite = f"""\
custom:
    module: cm_assets.orchestration.sqlite
    class: SqliteStorage
    config:
      base_dir: {json.dumps(str(settings.home / "dagster"))}"""
    return f"""\
# Written by cm at every start; change the CM_* settings instead.
storage:
  {postgres if settings.on_postgres else sqlite}
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config:
    base_dir: {json.dumps(str(settings.home / "dagster"))}
# Capturing stdout would cost four processes for each step; what matters is in the event log.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
run_launcher:
  module: cm_assets.orchestration.launcher
  class: WarmRunLauncher
run_coordinator:
  module: cm_assets.orchestration.queue
  class: QuickQueue
concurrency:
  pools:
    granularity: op
    default_limit: {DEFAULT_POOL_LIMIT}
  runs:
    max_concurrent_runs: {settings.max_concurrent_runs}
    tag_concurrency_limits:
      # Runs of one video never overlap, wherever they were launched.
      - key: dagster/partition
        limit: 1
        value:
          applyLimitPerUniqueValue: true
run_monitoring:
  enabled: true
  poll_interval_seconds: 5
  max_resume_run_attempts: 0
  start_timeout_seconds: 90
  free_slots_after_run_end_seconds: 5
  cancel_timeout_seconds: 30
  max_runtime_seconds: {int(RUN_MAXIMUM)}
telemetry:
  enabled: false
nux:
  enabled: false
"""
