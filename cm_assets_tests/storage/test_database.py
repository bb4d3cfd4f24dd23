import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cm_assets import storage
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


NOW = datetime(2026, 1, 2, tzinfo=UTC)


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


def test_the_greatest_key_that_begins_so(url: str) -> None:
    database = Database(url)
    for number, key in enumerate(["fact:2026", "fact:2025", "fact-two:2027", "fa%:2028"]):
        database.add(replace(ROW, id=f"v{number}", key=key))
    database.add(replace(ROW, id="other", source="api", key="fact:2029"))
    found = database.last_key("file", "fact:")
    assert found is not None
    assert found.key == "fact:2026"
    assert database.last_key("file", "f%:") is None


def test_the_backlog_is_in_the_order_of_its_ranks(url: str) -> None:
    database = Database(url)
    for name, rank in (("a", 3.0), ("b", 1.0), ("c", 1.0), ("d", 2.0)):
        database.add(replace(ROW, id=name, key=name, rank=rank))
    database.close("d", "done")
    assert [row.id for row in database.backlog(NOW, 10)] == ["b", "c", "a"]
    assert [row.id for row in database.backlog(NOW, 2)] == ["b", "c"]
    last = database.get("a")
    assert last is not None
    assert database.before_in_backlog(last, NOW) == 2
    assert database.reprioritise("a", 1, 0.5)
    assert not database.reprioritise("d", 1, 0.5)
    assert [row.id for row in database.backlog(NOW, 10)] == ["a", "b", "c"]


def test_what_waits_for_a_time_is_not_in_the_backlog(url: str) -> None:
    database = Database(url)
    database.add(ROW)
    database.postpone("a", NOW + timedelta(hours=1), "its time")
    assert database.backlog(NOW, 10) == []
    assert [row.waiting_for for row in database.backlog(NOW + timedelta(hours=2), 10)] == ["its time"]
    database.close("a", "failed", "no")
    database.want("a")
    assert [row.id for row in database.backlog(NOW, 10)] == ["a"]


def test_pages_of_the_newest_hold_every_request_once(url: str) -> None:
    database = Database(url)
    for number in range(7):  # some came in the very same moment
        moment = datetime(2026, 1, 1 + number // 3, tzinfo=UTC)
        database.add(replace(ROW, id=f"v{number}", key=str(number), received_at=moment))
    seen: list[str] = []
    before = None
    while page := database.newest(limit=2, before=before):
        seen += [row.id for row in page]
        before = page[-1]
    assert seen == ["v6", "v3", "v4", "v5", "v0", "v1", "v2"]
    database.close("v3", "failed", "no")
    assert [row.id for row in database.newest(limit=9, outcome="failed")] == ["v3"]
    assert len(database.newest(limit=9, wanted=True)) == 6


def test_facts_and_cursors_are_overwritten(url: str) -> None:
    database = Database(url)
    database.note("a", {"runs": 1})
    database.note("a", {"runs": 2})
    assert database.noted(["a", "b"]) == {"a": {"runs": 2}}
    assert database.cursor("assets") == 0
    database.move_cursor("assets", 5)
    database.move_cursor("assets", 9)
    assert database.cursor("assets") == 9


def test_a_home_of_the_first_version_keeps_its_requests_and_ranks_them(url: str) -> None:
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir()
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "insert into requests (id, source, key, document, content_sha256, priority, received_at, wanted, wanted_at)"
            " values ('old', 'file', 'k', '{}', '0', 3, '2026-01-01 00:00:00', 1, '2026-01-01 00:00:00')"
        )
        connection.commit()
    found = Database(url).get("old")
    assert found is not None
    assert found.rank == datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 1800
    assert found.resume_at is None


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
    assert database.progress(["a"]) == {"a": {"render": 0.7}}
    database.close("a", "done")
    assert database.progress(["a"]) == {}


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
    assert len(Database(url).backlog(NOW, 9)) == 4


def test_the_migrations_make_the_tables_that_the_code_expects(url: str) -> None:
    import sqlalchemy as sa

    from cm_assets.storage.tables import metadata

    database = Database(url)
    database.get("a")
    there = sa.inspect(sa.create_engine(url))
    for table in metadata.sorted_tables:
        assert {column["name"] for column in there.get_columns(table.name)} == set(table.columns.keys())
