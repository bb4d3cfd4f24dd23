"""Jobs whose steps say what they do in a file, for tests of the queues. In a module of their own: workers import it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg

from cm_assets.assets.stage import TimeLimitReached, _time_limit
from cm_assets.orchestration.queues import queued_executor
from cm_assets.policies import QUEUE_TAG

LONG = 60
"""Seconds that a step takes which is to be killed."""


def note(word: str) -> None:
    """Add a word to what steps have said."""
    with notes().open("a") as file:
        file.write(f"{word}\n")


def notes() -> Path:
    """The file of what steps have said."""
    return Path(os.environ["CM_HOME"]) / "notes"


def said() -> list[str]:
    """What steps have said."""
    return notes().read_text().split() if notes().exists() else []


@dg.op(tags={QUEUE_TAG: "script"})
def written() -> str:
    note("written")
    return "text"


@dg.op(tags={QUEUE_TAG: "render"})
def rendered(context: dg.OpExecutionContext, text: str) -> None:
    note(f"rendered-{context.retry_number}")
    if context.retry_number == 0:
        raise dg.RetryRequested(max_retries=3, seconds_to_wait=2)
    assert text == "text"


@dg.job(executor_def=queued_executor)
def two_stages() -> None:
    """A step of one queue, then one of another that asks to be tried again."""
    rendered(written())


@dg.op(tags={QUEUE_TAG: "render"})
def long() -> None:
    """Start a process and wait for it; the second time it is quick."""
    again = "began" in said()
    note("began")
    if again:
        note("again")
        return
    with subprocess.Popen(["sleep", str(LONG)], start_new_session=True) as child:
        note(f"child={child.pid}")
        child.wait()
    note("ended")


@dg.job(executor_def=queued_executor)
def one_long() -> None:
    """A step that can be killed."""
    long()


@dg.op(tags={QUEUE_TAG: "render"})
def slow() -> None:
    note("began")
    time.sleep(8)
    note("ended")


@dg.job(executor_def=queued_executor)
def one_slow() -> None:
    """A step of some seconds."""
    slow()


@dg.op(tags={QUEUE_TAG: "render"})
def slower() -> None:
    note("began")
    time.sleep(25)
    note("ended")


@dg.job(executor_def=queued_executor)
def one_slower() -> None:
    """A step that is longer than a broker's look for what was left lying."""
    slower()


@dg.op(tags={QUEUE_TAG: "render"})
def deadly() -> None:
    note("began")
    os.kill(os.getpid(), signal.SIGKILL)


@dg.job(executor_def=queued_executor)
def one_deadly() -> None:
    """A step that kills whoever executes it."""
    deadly()


@dg.op(tags={QUEUE_TAG: "render"})
def late() -> None:
    try:
        with _time_limit(0.5):
            time.sleep(LONG)
    except TimeLimitReached:
        note("limited")


@dg.job(executor_def=queued_executor)
def one_late() -> None:
    """A step whose time limit comes."""
    late()
