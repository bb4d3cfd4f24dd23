"""Databases that do not answer now: telling such errors from others, and waiting where a step would be lost."""

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from cm_assets.models.base import Seconds

Connection = TypeVar("Connection")

NAMES = frozenset({"OperationalError", "InterfaceError", "PendingRollbackError", "DagsterPostgresException"})
"""Of such errors, of whichever driver. Dagster hands names on, too; the last is its own."""

PAUSE: Seconds = 0.5
"""Between two tries to connect."""

_patience: list[Seconds] = []


def is_away(error: BaseException) -> bool:
    """Whether an error says no more than that a database does not answer now, so that the same can succeed later.

    A file is never away: where SQLite fails its disk is full, or worse.
    """
    if isinstance(getattr(error, "orig", error), sqlite3.Error):
        return False
    return any(one.__name__ in NAMES for one in type(error).__mro__)


def be_patient(seconds: Seconds) -> None:
    """Have this process and its forks wait for a server that takes no connections, as one does that is restarted."""
    _patience[:] = [seconds]


def connected(connect: Callable[[], Connection]) -> Connection:
    """A new connection, waited for as long as this process has patience."""
    deadline = time.monotonic() + sum(_patience)
    while True:
        try:
            return connect()
        except Exception as error:
            if not is_away(error) or time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE)
