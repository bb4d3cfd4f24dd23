import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cm_assets.storage.database import Database, StoredRequest, Taken

ROW = StoredRequest(
    id="a",
    source="file",
    key="k",
    document={"topic": "tides"},
    content_sha256="0" * 64,
    priority=10,
    received_at=datetime(2026, 1, 1, tzinfo=UTC),
    wanted=True,
    wanted_at=datetime(2026, 1, 1, tzinfo=UTC),
    outcome="",
    reason="",
    lost_runs=0,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'home' / 'cm.sqlite'}"


def test_a_request_reads_back_as_it_was(url: str) -> None:
    Database(url).add(ROW)
    assert Database(url).get("a") == ROW
    assert Database(url).find("file", "k") == ROW
    assert Database(url).get("b") is None


def test_an_id_and_a_key_are_taken_once(url: str) -> None:
    database = Database(url)
    database.add(ROW)
    with pytest.raises(Taken):
        database.add(replace(ROW, key="k2"))
    with pytest.raises(Taken):
        database.add(replace(ROW, id="b"))
    database.add(replace(ROW, id="b", source="api"))


def test_the_most_urgent_come_first_then_the_oldest(url: str) -> None:
    database = Database(url)
    database.add(ROW)
    database.add(replace(ROW, id="b", key="b", priority=1, received_at=datetime(2026, 1, 3, tzinfo=UTC)))
    database.add(replace(ROW, id="c", key="c", priority=1, received_at=datetime(2026, 1, 2, tzinfo=UTC)))
    database.add(replace(ROW, id="d", key="d", wanted=False))
    assert [row.id for row in database.wanted()] == ["c", "b", "a"]


def test_a_video_is_closed_once_and_can_be_asked_for_again(url: str) -> None:
    database = Database(url)
    database.add(ROW)
    assert database.close("a", "failed", "the sea was rough")
    assert not database.close("a", "done")
    closed = database.get("a")
    assert closed is not None
    assert (closed.wanted, closed.outcome, closed.reason) == (False, "failed", "the sea was rough")
    assert database.want("a")
    assert not database.want("a")
    again = database.get("a")
    assert again is not None
    assert (again.wanted, again.outcome, again.reason) == (True, "", "")
    assert again.wanted_at > ROW.wanted_at


def test_progress_is_overwritten_and_forgotten(url: str) -> None:
    database = Database(url)
    database.add(ROW)
    for share in (0.0, 0.5, 0.7):
        database.report_progress("a", "render", share)
    assert database.progress("a") == {"render": 0.7}
    database.close("a", "done")
    assert database.progress("a") == {}


def _add(url: str, number: int) -> None:
    Database(url).add(replace(ROW, id=f"v{number}", key=str(number)))


def test_processes_that_meet_a_new_home_together_all_find_it_ready(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add, args=(url, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert len(Database(url).wanted()) == 4


def test_the_migrations_make_the_tables_that_the_code_expects(url: str) -> None:
    import sqlalchemy as sa

    from cm_assets.storage.tables import metadata

    database = Database(url)
    database.wanted()
    there = sa.inspect(sa.create_engine(url))
    for table in metadata.sorted_tables:
        assert {column["name"] for column in there.get_columns(table.name)} == set(table.columns.keys())
