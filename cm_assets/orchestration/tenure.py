"""An engine's time at work on a database that several hosts share: waited for as a standby, kept, given up.

On SQLite the lock of the home is enough, since nobody else has its files.
"""

import hashlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from cm_assets.models.base import Seconds
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.processes import start
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.hosts import here
from cm_assets.storage.leases import EngineLease, host_at_work

log = logging.getLogger("cm_assets.tenure")

BEAT: Seconds = 1.0
"""Between two renewals of the lease."""

LOOK: Seconds = 0.5
"""Between two looks of a standby."""


class Tenure:
    """One engine's turn.

    Args:
        settings: of its home, whose lock it holds.
        database: the shared one.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lease = EngineLease(database, _token(settings.home))
        self._sentry: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()

    def begin(self, stopped: Callable[[], bool]) -> bool:
        """Wait, as a standby, until no other engine works; False if `stopped` says so before."""
        told = ""
        try:
            while not self._taken():
                if stopped():
                    return False
                said = self._reason()
                if said != told:
                    told = said
                    homes.stands_by(self._settings, said)
                    log.info("standing by: %s", said)
                time.sleep(LOOK)
        finally:
            homes.stands_by(self._settings, "")
        if told:
            log.info("taking over")
        threading.Thread(target=self._beat, name="lease", daemon=True).start()
        self.keep()
        return True

    def keep(self) -> None:
        """Have a sentry watch. Call it now and then."""
        if self._sentry is None or self._sentry.poll() is not None:
            if self._sentry is not None:
                log.error("the sentry died with code %s; a new one starts", self._sentry.returncode)
            self._sentry = start(
                ["-m", "cm_assets.orchestration.sentry", self._lease.token, str(os.getpid())],
                self._settings.home,
                homes.engine_folder(self._settings) / "sentry.log",
            )

    def end(self) -> None:
        """Let another engine begin at once. The work has ended before."""
        self._over.set()
        if self._sentry is not None:
            self._sentry.wait(5)
        try:
            self._lease.release()
        except SQLAlchemyError:
            log.warning("the database does not answer; another engine can begin when the lease runs out")
        self._lease.close()

    def _taken(self) -> bool:
        try:
            self._database.count_open()  # brings a database that an older version made up to date
            return self._lease.take()
        except SQLAlchemyError:
            return False

    def _reason(self) -> str:
        try:
            host = host_at_work(self._database)
        except SQLAlchemyError:
            return "the database does not answer"
        return f"the engine on {host} works" if host else "another engine has just worked"

    def _beat(self) -> None:
        """Hold the lease. What happens to whoever does not is the sentry's matter."""
        while not self._over.wait(BEAT):
            try:
                if not self._lease.renew():
                    log.error("another engine has taken over")
            except SQLAlchemyError as error:
                log.warning("the lease could not be renewed (%s)", type(error).__name__)


def _token(home: Path) -> str:
    """Of this home on this machine since it was booted: a copy of the home elsewhere has another one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return hashlib.sha256(f"{here()}|{boot}|{home}".encode()).hexdigest()[:32]
