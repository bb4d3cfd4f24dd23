"""Dagster's records across versions of Dagster: the one engine brings them up to date before anything else runs."""

import contextlib
import logging
import sys
from typing import Any

import dagster as dg
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from dagster._core.storage.sql import ALEMBIC_SCRIPTS_LOCATION

from cm_assets.models.base import PermanentFailure

log = logging.getLogger("cm_assets.records")


def upgrade_records(instance: dg.DagsterInstance) -> None:
    """Do what `dagster instance migrate` does, if there is something to do. For whoever works alone.

    Raises:
        PermanentFailure: a newer Dagster has made them; nothing was changed.
    """
    storages: list[Any] = [instance.event_log_storage, instance.run_storage, instance.schedule_storage]
    versions = [one.alembic_version() for one in storages]
    if all(there == newest for there, newest in versions):
        return
    config = Config()
    config.set_main_option("script_location", ALEMBIC_SCRIPTS_LOCATION)
    scripts = ScriptDirectory.from_config(config)
    for there, _ in versions:
        try:
            scripts.get_revision(there)
        except CommandError:
            raise PermanentFailure(
                f"Dagster's records are those of a newer version ({there}): install the newer cm_assets again; "
                "nothing was changed"
            ) from None
    log.info("Dagster's records are brought up to date")
    with contextlib.redirect_stdout(sys.stderr):
        instance.upgrade(log.info)
