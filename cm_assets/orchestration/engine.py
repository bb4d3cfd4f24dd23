"""The engine of a home: code server, daemon, and the intake that launches what is wanted. One per home.

It lives as long as somebody holds a lease on it (`cm make`, `cm up`) and takes everything it started with it.
"""

import hashlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import dagster as dg
import psutil

from cm_assets.lifecycle.projection import cursor_of, other_instances
from cm_assets.lifecycle.worklog import ACTIVE, STOPPED_TAG, WorkLog
from cm_assets.models.base import Failure
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.code_server import CodeServer
from cm_assets.orchestration.launching import LOCATION, Launcher
from cm_assets.orchestration.notifications import Notifier
from cm_assets.orchestration.processes import start, sweep
from cm_assets.orchestration.program import log_as_configured
from cm_assets.orchestration.records import upgrade_records
from cm_assets.orchestration.rounds import Rounds
from cm_assets.orchestration.sqlite import kept_open, shared_files
from cm_assets.orchestration.tenure import Tenure
from cm_assets.settings import Settings
from cm_assets.storage.away import is_away
from cm_assets.storage.database import Database
from cm_assets.storage.work import sweep_work

log = logging.getLogger("cm_assets.engine")

TICK = 0.25
"""Seconds between two looks at what is wanted."""

LOCK_LIMIT = 0.5
"""Seconds after which the lock is another engine's."""

AWAY_LIMIT = 60.0
"""Seconds for which an engine lives without its database; a new one can wait as well, and holds nothing old."""

AWAY_EVERY = 10.0
"""Seconds between two complaints about that."""

LAST_WORDS = 2.0
"""Seconds in which an engine that ends tells what is left to tell; the next one tells the rest."""


class Engine:
    """Supervises the processes of one home."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = homes.engine_folder(settings)
        self._sockets = _socket_folder(settings.home)
        self._socket = self._sockets / "code.sock"
        self._code_server = CodeServer(self._socket, settings.home, self._folder / "code-server.log")
        self._daemon: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._away_since = 0.0
        self._complained = -AWAY_EVERY

    def run(self) -> int:
        """Run until nobody needs the engine; the exit code. 3: the home has an engine already."""
        lock = homes.engine_lock(self._settings)
        if not _taken(lock):
            return 3
        lease = homes.lease(self._settings)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        database = Database(self._settings.database)
        tenure = Tenure(self._settings, database) if self._settings.on_postgres else None
        try:
            swept = sweep(self._settings.home, but=_self_and_parents())
            if swept:
                log.warning("killed %d processes that an earlier engine had left", swept)
            sweep_work(self._settings.home / "work")
            if tenure is not None and not tenure.begin(lambda: self._stopping or lease.take()):
                return 0
            self._work(lease, database, tenure)
        finally:
            self._kill_all()
            if tenure is not None:
                tenure.end()
            shutil.rmtree(self._sockets, ignore_errors=True)
            (self._folder / "ready").unlink(missing_ok=True)
            lock.release()
            lease.release()
            log.info("stopped")
        return 0

    def _work(self, lease: homes.Lock, database: Database, tenure: Tenure | None) -> None:
        """Be the engine until nobody needs one."""
        with ExitStack() as stack:
            instance = stack.enter_context(homes.open_instance(self._settings))
            upgrade_records(instance)
            stack.enter_context(kept_open(shared_files(self._settings.home / "dagster")))
            homes.set_pool_limits(instance, self._settings)
            self._start()
            worklog = WorkLog(instance)
            self._bury_the_dead(worklog)
            self._code_server.wait(lambda: self._stopping)
            launcher = stack.enter_context(Launcher(instance, self._socket))
            database.forget_progress()
            # Whoever had claimed a launch was swept away.
            database.release()
            if other_instances(database, cursor_of(worklog)):
                log.warning("another Dagster instance has made videos of this home: what is open is made anew")
            rounds = Rounds(self._settings, database, instance, launcher, home=self._settings.home)
            notifier, told_enough = Notifier(database, self._settings.notify), threading.Event()
            # A thread: whom it tells may be slow, and it need not hold up what is made.
            telling = threading.Thread(target=notifier.run, args=(told_enough,), name="notifier", daemon=True)
            telling.start()
            (self._folder / "ready").touch()
            log.info("ready")
            while not self._stopping and not lease.take():
                self._supervise()
                if tenure is not None:
                    tenure.keep()
                self._go(rounds)
                time.sleep(TICK)
            told_enough.set()
            try:
                self._shut_down(worklog)
                rounds.settle()
                telling.join(1.0)
                notifier.tick(LAST_WORDS)
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("the database does not answer (%s): the next engine ends the runs", _name(error))

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _go(self, rounds: Rounds) -> None:
        """One look at everything; a database that is away is asked again."""
        try:
            rounds.go()
        except Exception as error:
            if not is_away(error):
                raise
            now = time.monotonic()
            self._away_since = self._away_since or now
            if now - self._away_since > AWAY_LIMIT:
                raise
            if now - self._complained > AWAY_EVERY:
                self._complained = now
                log.error("the database does not answer (%s); it is asked again", _name(error))  # noqa: TRY400
        else:
            if self._away_since:
                log.info("the database answers again")
            self._away_since, self._complained = 0.0, -AWAY_EVERY

    def _start(self) -> None:
        workspace = self._folder / "workspace.yaml"
        workspace.write_text(
            f"load_from:\n  - grpc_server: {{socket: {str(self._socket)!r}, location_name: {LOCATION}}}\n"
        )
        self._code_server.start()
        self._daemon = start(
            ["-m", "cm_assets.orchestration.daemon", str(self._socket), "run", "-w", str(workspace)],
            self._settings.home,
            self._folder / "daemon.log",
        )

    def _supervise(self) -> None:
        assert self._daemon is not None
        self._code_server.supervise(lambda: self._stopping)
        if self._daemon.poll() is not None:
            log.error("the daemon died with code %s; a new one starts", self._daemon.returncode)
            self._daemon = start(
                [
                    *("-m", "cm_assets.orchestration.daemon", str(self._socket)),
                    *("run", "-w", str(self._folder / "workspace.yaml")),
                ],
                self._settings.home,
                self._folder / "daemon.log",
            )

    def _bury_the_dead(self, worklog: WorkLog) -> None:
        """End the runs whose workers are gone, and free their slots. No worker outlives its engine."""
        instance = worklog.instance
        for run in instance.get_runs(dg.RunsFilter(statuses=[s for s in ACTIVE if s != dg.DagsterRunStatus.QUEUED])):
            if run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Its worker was gone.")
            else:
                instance.report_run_failed(run, "Its worker was lost.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)

    def _shut_down(self, worklog: WorkLog) -> None:
        """Stop the work; what is unfinished goes on when the next engine starts."""
        self._kill_all()
        instance = worklog.instance
        for run in instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE))):
            instance.add_run_tags(run.run_id, {STOPPED_TAG: "engine"})
            instance.report_run_canceled(run, "The engine was stopped; the video goes on when it starts again.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)

    def _kill_all(self) -> None:
        """Kill all at once: nothing is lost by it, and a polite end would take its time from the five seconds."""
        sweep(self._settings.home, but=_self_and_parents())
        self._code_server.wait_gone(5)
        if self._daemon is not None:
            self._daemon.wait(5)


def _socket_folder(home: Path) -> Path:
    """A short path of our own, always the same for a home: a Unix socket's has room for about a hundred characters."""
    name = f"cm-{os.getuid()}-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise SystemExit(f"{folder} is somebody else's: remove it")
    return folder


def _name(error: BaseException) -> str:
    """A database's words may hold its address."""
    return type(error).__name__


def _taken(lock: homes.Lock) -> bool:
    """Take the engine's lock; False if another engine has it. Whoever asks whether one runs has it for a moment."""
    deadline = time.monotonic() + LOCK_LIMIT
    while not lock.take():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _self_and_parents() -> frozenset[int]:
    me = psutil.Process()
    return frozenset([me.pid, *(parent.pid for parent in me.parents())])


def main() -> None:
    """Run the engine of the home that the settings name."""
    settings = Settings()
    homes.prepare(settings, engine=True)
    log_as_configured(settings.log_format)
    os.environ[homes.MARKER] = str(settings.home)
    try:
        sys.exit(Engine(settings).run())
    except Failure as failure:
        log.error("%s", failure)  # noqa: TRY400 - the message is the whole story
        sys.exit(1)


if __name__ == "__main__":
    main()
