"""One writer for all who ask for videos at once: those who wait together are written in one transaction.

A commit waits for the disk. One for each request, and a slow disk is the limit; writers of SQLite's that meet, besides,
sleep and try again, some of them for long.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from cm_assets.storage.database import Database

MOST = 100
"""Pieces of work in one transaction."""

Value = TypeVar("Value")


class Pen:
    """Does pieces of work that write, in the order in which they come."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="pen", daemon=True).start()

    def write(self, work: Callable[[], Value]) -> Value:
        """Have work done, and wait until what it wrote is on the disk; what it returns or raises."""
        done: Future[Value] = Future()
        self._work.put((work, done))
        return done.result()

    def _write(self) -> None:
        while True:
            batch = [self._work.get()]
            while len(batch) < MOST and not self._work.empty():
                batch.append(self._work.get())
            ends: list[Callable[[], None]] = []
            try:
                with self._database.together():
                    ends = [_attempt(work, done) for work, done in batch]
            except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who wait
                for _, done in batch:
                    done.set_exception(error)
            else:
                for end in ends:
                    end()


def _attempt(work: Callable[[], Any], done: Future[Any]) -> Callable[[], None]:
    """Do a piece of work; how whoever waits for it is told of its end."""
    try:
        value = work()
    except Exception as error:  # noqa: BLE001 - as above
        return lambda error=error: done.set_exception(error)  # type: ignore[misc]
    return lambda: done.set_result(value)
