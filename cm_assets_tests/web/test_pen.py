"""Who writes together: each with an end of its own, and nobody is told of one before it is on the disk."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cm_assets.storage.database import Database, Taken
from cm_assets.web.pen import Pen
from cm_assets_tests.storage.test_database import ROW


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    database.count_open()
    yield database
    database.dispose()


def test_what_fails_spoils_nothing_that_was_written_with_it(database: Database) -> None:
    pen = Pen(database)
    gate = threading.Event()
    ends: dict[str, Any] = {}

    def add(video: str, key: str) -> None:
        try:
            pen.write(lambda: database.add(replace(ROW, id=video, key=key)))
            # Whoever is told that it is there finds it, by a connection of their own.
            ends[video] = database.get(video) is not None
        except Taken as error:
            ends[video] = error

    holder = threading.Thread(target=pen.write, args=(gate.wait,))
    holder.start()  # everything else waits behind it, and is written together
    writers = [threading.Thread(target=add, args=(f"v{n}", f"k{n % 8}")) for n in range(12)]
    for writer in writers:
        writer.start()
    gate.set()
    for thread in (holder, *writers):
        thread.join()
    assert sum(end is True for end in ends.values()) == 8
    assert sum(isinstance(end, Taken) for end in ends.values()) == 4
    assert database.count_open() == 8


def test_errors_of_the_transaction_reach_all_who_wait(tmp_path: Path) -> None:
    pen = Pen(Database(f"sqlite:///{tmp_path}"))  # a folder
    for _ in range(2):
        with pytest.raises(OperationalError, match="unable to open"):
            pen.write(lambda: None)
