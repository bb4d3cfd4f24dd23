"""A host's step worker, `cm worker`: takes steps from queues of the broker and has them executed.

    supervisor ── Celery's worker ── its children, each the guard of one step ── step ── ffmpeg

Whichever of these is killed, nothing of what was below it stays: steps die with their guards, guards with their
worker, and what steps had started is adopted by the supervisor and ended.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import psutil
from sqlalchemy.exc import SQLAlchemyError

from cm_assets.orchestration import broker
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.processes import adopt_orphans, end_descendants, kill_tree, reaped
from cm_assets.orchestration.program import log_as_configured
from cm_assets.orchestration.workers import returned
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.fleet import BEAT, Presence
from cm_assets.storage.work import sweep_work

log = logging.getLogger("cm_assets.worker")

LOOK = 0.1
"""Seconds between two looks of the supervisor."""

LEAVE = 3.0
"""Seconds that a worker's end waits until that is noted."""

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that the worker understands: the first two have it finish what it has begun, the last hands that back."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2): a signal for this process when its parent ends."""


def serve(settings: Settings, queues: Sequence[str], concurrency: int, *, lease: int = broker.LEASE) -> int:
    """Take steps until a signal says otherwise; the exit code.

    Args:
        settings: of this host.
        queues: from which steps are taken.
        concurrency: steps at once.
        lease: seconds that the broker leaves a step to a worker.
    """
    homes.prepare(settings)
    log_as_configured(settings.log_format)
    adopt_orphans()
    told: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    supervisor = os.getpid()
    worker = os.fork()
    if worker == 0:
        os._exit(returned(lambda: sys.exit(_work(supervisor, queues, concurrency, lease))))
    over = threading.Event()
    presence = Presence(Database(settings.database), queues, concurrency, worker)
    telling = threading.Thread(target=_tell, args=(presence, over), name="presence", daemon=True)
    telling.start()
    code: int | None = None
    while code is None:
        while told:
            os.kill(worker, told.pop(0))
        code = reaped(worker)
        for orphan in psutil.Process().children():
            if orphan.pid != worker:
                kill_tree(orphan.pid)
        time.sleep(0 if code is not None else LOOK)
    over.set()
    end_descendants()
    sweep_work(settings.home / "work")
    telling.join(LEAVE)
    if code != 0:
        sys.stderr.write(f"cm: the worker ended with code {code}: start it again\n")
    return 0 if code == 0 else 1


def _tell(presence: Presence, over: threading.Event) -> None:
    """Say every few seconds that this worker is there, and in the end that it is not."""
    try:
        while True:
            try:
                presence.tell()
            except SQLAlchemyError as error:
                log.warning("that this worker is there could not be noted (%s)", type(error).__name__)
            if over.wait(BEAT):
                presence.leave()
                return
    except SQLAlchemyError:
        return  # it is taken for gone soon


def _work(supervisor: int, queues: Sequence[str], concurrency: int, lease: int) -> int:
    """Be Celery's worker."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        return 1
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_DFL)
    sweep_work(Settings().home / "work")
    _warm()
    app = app_with_task(lease=lease)
    name = f"{'-'.join(queues)}-{os.getpid()}@%h"
    arguments = ["--queues", ",".join(queues), "--concurrency", str(concurrency), "--hostname", name]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
    return int(app.worker_main(["worker", "--pool", "prefork", "-O", "fair", *arguments, *quiet]) or 0)


def app_with_task(*, lease: int = broker.LEASE) -> Any:
    """The broker's app with the task that executes steps."""
    from celery.exceptions import Reject
    from celery.signals import setup_logging

    from cm_assets.orchestration.step_guard import HandBack, execute

    app = broker.celery_app(broker.address(), lease=lease)
    # Who listens to this has Celery leave the logs as they are.
    setup_logging.connect(_logs_are_configured)

    def step(run_id: str, step: str, known_state: str) -> None:
        try:
            execute(run_id, step, known_state)
        except HandBack as why:
            raise Reject(str(why), requeue=True) from None

    app.task(name=broker.TASK)(step)
    return app


def _logs_are_configured(**_: object) -> None:
    """They are, by `serve`."""


def _warm() -> None:
    """Have imported what steps need, before there are children and threads."""
    from importlib import import_module

    from cm_assets.orchestration.launcher import PRELOAD

    for name in PRELOAD:
        getattr(import_module(name), "warm", lambda: None)()
    import_module("cm_assets.orchestration.step_guard").open_records()
