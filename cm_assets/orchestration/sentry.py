"""The sentry of an engine on a shared database: it ends the engine's work in time before another engine may begin.

A process of its own, since an engine may hang or be stopped, and what it has started would go on working. It needs no
answer for its judgement: what was last known of the lease says until when the work is this host's.
"""

import logging
import os
import sys
import threading
import time

from cm_assets import logs
from cm_assets.models.base import Seconds
from cm_assets.orchestration.processes import sweep
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.leases import LEASE, EngineLease, elapsed

log = logging.getLogger("cm_assets.sentry")

LOOK: Seconds = 0.5
"""Between two questions for the lease."""

TICK: Seconds = 0.1
"""Between two looks at the clock."""

MARGIN: Seconds = 1.5
"""Before the lease's end, in which all is killed."""


class Sentry:
    """Watches the lease of the engine that is its parent.

    Args:
        settings: of the home.
        token: under which the engine holds the lease.
        engine: the engine's pid.
    """

    def __init__(self, settings: Settings, token: str, engine: int) -> None:
        self._settings = settings
        self._engine = engine
        self._lease = EngineLease(Database(settings.database), token)
        self._good_until = 0.0

    def run(self) -> None:
        """Watch until it is over, then kill all of the engine's, and it, and give up the lease."""
        # On a busy machine what it needs takes longer to load than a lease lasts.
        self._lease.prepare()
        self._good_until = elapsed() + LEASE
        # A thread, which may hang in a question to a server that is cut off.
        threading.Thread(target=self._ask, daemon=True).start()
        why = ""
        while not why:
            time.sleep(TICK)
            why = self._over()
        log.warning("%s: its work is ended", why)
        count = sweep(self._settings.home, but=frozenset([os.getpid()]))
        log.warning("killed %d processes", count)
        self._hand_over()

    def _over(self) -> str:
        """Why the work must end; empty if it need not."""
        if os.getppid() != self._engine:
            return "the engine is dead"
        if elapsed() > self._good_until - MARGIN:
            return "the engine could not say in time that it works"
        return ""

    def _ask(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        while True:
            try:
                self._good_until = self._lease.good_until()
            except SQLAlchemyError:
                log.debug("the database does not answer")
            time.sleep(LOOK)

    def _hand_over(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._lease.release()
        except SQLAlchemyError:
            log.warning("the lease was not given up: it runs out by itself")


def main() -> None:
    """Arguments: the token of the lease, the engine's pid."""
    settings = Settings()
    logs.configure(settings.log_format)
    Sentry(settings, sys.argv[1], int(sys.argv[2])).run()


if __name__ == "__main__":
    main()
