import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cm_assets import storage
from cm_assets.lifecycle.status import facts_of
from cm_assets.storage.database import Database, Step, StoredRequest, Taken

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
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'home' / 'cm.sqlite'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
    else:
        from cm_assets_tests.postgres import new_database

        address = new_database(request.getfixturevalue("postgres"))
        yield address.replace("postgresql://", "postgresql+psycopg://")
    while _opened:
        _opened.pop().dispose()


_opened: list[Database] = []


def opened(url: str) -> Database:
    """A database, closed when the test ends."""
    _opened.append(Database(url))
    return _opened[-1]


def test_a_request_reads_back_as_it_was(url: str) -> None:
    opened(url).add(ROW)
    assert opened(url).get("a") == ROW
    assert opened(url).find("file", "k") == ROW
    assert opened(url).get("b") is None


def test_an_id_and_a_key_are_taken_once(url: str) -> None:
    database = opened(url)
    database.add(ROW)
    with pytest.raises(Taken):
        database.add(replace(ROW, key="k2"))
    with pytest.raises(Taken):
        database.add(replace(ROW, id="b"))
    database.add(replace(ROW, id="b", source="api"))


def test_what_is_written_together_is_seen_by_what_comes_after_in_it_and_fails_alone(url: str) -> None:
    database = opened(url)
    database.count_open()
    with database.together():
        database.add(ROW)
        assert database.get("a") == ROW
        assert database.find("file", "k") == ROW
        with pytest.raises(Taken):
            database.add(replace(ROW, id="b"))
        database.add(replace(ROW, id="c", key="k2"))
        assert opened(url).get("a") is None
    assert opened(url).count_open() == 2


def _fail_together(database: Database) -> None:
    with database.together():
        database.add(ROW)
        raise ArithmeticError


def test_nothing_of_what_is_written_together_is_there_if_its_end_fails(url: str) -> None:
    database = opened(url)
    with pytest.raises(ArithmeticError):
        _fail_together(database)
    assert database.get("a") is None
    database.add(ROW)


def claimed(database: Database, seen: StoredRequest | None, *, after: int = 0, lost: bool = False) -> int | None:
    assert seen is not None
    now = NOW + timedelta(seconds=after)
    return database.claim(seen, now, now + timedelta(seconds=30), lost=lost)


def test_a_launch_is_claimed_by_one(url: str) -> None:
    database = opened(url)
    database.add(ROW)
    seen = database.get("a")
    assert claimed(database, seen) == 1
    assert claimed(database, seen) is None
    assert claimed(database, database.get("a"), after=29) is None
    assert claimed(database, database.get("a"), after=30, lost=True) == 2
    again = database.get("a")
    assert again is not None
    assert (again.attempt, again.lost_runs) == (2, 1)
    database.release("a", 1)
    assert claimed(database, database.get("a"), after=31) is None
    database.release("a", 2)
    assert claimed(database, database.get("a"), after=31) == 3
    database.release()
    database.close("a", "cancelled")
    assert claimed(database, database.get("a"), after=99) is None


def test_the_greatest_key_that_begins_so(url: str) -> None:
    database = opened(url)
    for number, key in enumerate(["fact:2026", "fact:2025", "fact-two:2027", "fa%:2028"]):
        database.add(replace(ROW, id=f"v{number}", key=key))
    database.add(replace(ROW, id="other", source="api", key="fact:2029"))
    found = database.last_key("file", "fact:")
    assert found is not None
    assert found.key == "fact:2026"
    assert database.last_key("file", "f%:") is None


def test_the_backlog_is_in_the_order_of_its_ranks(url: str) -> None:
    database = opened(url)
    for name, rank in (("a", 3.0), ("b", 1.0), ("c", 1.0), ("d", 2.0)):
        database.add(replace(ROW, id=name, key=name, rank=rank))
    database.close("d", "done")
    assert [row.id for row in database.backlog(NOW, 10)] == ["b", "c", "a"]
    assert [row.id for row in database.backlog(NOW, 2)] == ["b", "c"]
    assert database.places(["a", "c", "d"], NOW) == {"a": 2, "c": 0}
    assert database.reprioritise("a", 1, 0.5)
    assert not database.reprioritise("d", 1, 0.5)
    assert [row.id for row in database.backlog(NOW, 10)] == ["a", "b", "c"]


def test_what_waits_for_a_time_is_not_in_the_backlog(url: str) -> None:
    database = opened(url)
    database.add(ROW)
    database.postpone("a", NOW + timedelta(hours=1), "its time")
    assert database.backlog(NOW, 10) == []
    assert [row.waiting_for for row in database.backlog(NOW + timedelta(hours=2), 10)] == ["its time"]
    database.close("a", "failed", "no")
    database.want("a")
    assert [row.id for row in database.backlog(NOW, 10)] == ["a"]


def test_pages_of_the_newest_hold_every_request_once(url: str) -> None:
    database = opened(url)
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
    database = opened(url)
    database.note("a", {"runs": 1})
    database.note("a", {"runs": 2})
    assert database.noted(["a", "b"]) == {"a": {"runs": 2}}
    assert database.cursor("assets") == 0
    database.move_cursor("assets", 5)
    database.move_cursor("assets", 9)
    assert database.cursor("assets") == 9


def test_a_home_of_the_first_version_keeps_its_requests_and_ranks_them(sqlite: str) -> None:
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    path = Path(sqlite.removeprefix("sqlite:///"))
    path.parent.mkdir()
    engine = sa.create_engine(sqlite)
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes |= {"connection": connection, "version_table": "alembic_version"}
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "insert into requests (id, source, key, document, content_sha256, priority, received_at, wanted, wanted_at)"
            " values ('old', 'file', 'k', '{}', '0', 3, '2026-01-01 00:00:00', 1, '2026-01-01 00:00:00')"
        )
        connection.commit()
    found = opened(sqlite).get("old")
    assert found is not None
    assert found.rank == datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 1800
    assert found.resume_at is None
    assert found.closed_at is None


def test_what_an_earlier_version_closed_was_closed_when_it_was_last_heard_of(sqlite: str) -> None:
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    path = Path(sqlite.removeprefix("sqlite:///"))
    path.parent.mkdir()
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    with sa.create_engine(sqlite).connect() as connection:
        config.attributes |= {"connection": connection, "version_table": "alembic_version"}
        command.upgrade(config, "0002")
        for name, outcome in (("posted", "done"), ("refused", "failed"), ("open", "")):
            connection.exec_driver_sql(
                "insert into requests (id, source, key, document, content_sha256, priority, received_at, wanted,"
                f" wanted_at, outcome) values ('{name}', 'file', '{name}', '{{}}', '0', 3, '2026-01-01 00:00:00',"
                f" {int(not outcome)}, '2026-01-02 00:00:00', '{outcome}')"
            )
        connection.exec_driver_sql(
            "insert into facts (video_id, facts, updated_at) values ('posted', '{}', '2026-01-03 00:00:00')"
        )
        connection.commit()
    database = opened(sqlite)
    closed = {row.id: row.closed_at for row in database.newest(limit=9)}
    assert closed == {
        "posted": datetime(2026, 1, 3, tzinfo=UTC),
        "refused": datetime(2026, 1, 2, tzinfo=UTC),
        "open": None,
    }
    assert database.sizes("", 9) == [("posted", None)]


def test_a_home_of_the_second_version_takes_its_renders_for_told(sqlite: str) -> None:
    import json

    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    path = Path(sqlite.removeprefix("sqlite:///"))
    path.parent.mkdir()
    engine = sa.create_engine(sqlite)
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    facts = {
        "done": {"made": {"render": 7}},
        "busy": {"made": {"render": 7}, "active": True},
        "unfit": {"made": {"render": 7}, "failed_checks": ["loudness"]},
        "new": {"made": {"brief": 1}},
    }
    with engine.connect() as connection:
        config.attributes |= {"connection": connection, "version_table": "alembic_version"}
        command.upgrade(config, "0002")
        for video, known in facts.items():
            connection.exec_driver_sql(
                "insert into facts values (?, ?, '2026-01-01 00:00:00')", (video, json.dumps(known))
            )
        connection.commit()
    engine.dispose()
    noted = opened(sqlite).noted(list(facts))
    assert {video: facts_of(one).rendered for video, one in noted.items()} == {
        "done": 7,
        "busy": -1,
        "unfit": -1,
        "new": -1,
    }


def test_a_video_is_closed_once_and_can_be_asked_for_again(url: str) -> None:
    database = opened(url)
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
    database = opened(url)
    database.add(ROW)
    for share in (0.0, 0.5, 0.7):
        database.report_progress("a", "render", Step(share))
    assert database.progress(["a"]) == {"a": {"render": Step(0.7)}}
    assert database.at_work() == {"render": 1}
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
    assert len(opened(url).backlog(NOW, 9)) == 4


def test_the_migrations_make_the_tables_that_the_code_expects(url: str) -> None:
    import sqlalchemy as sa

    from cm_assets.storage.tables import metadata

    database = opened(url)
    database.get("a")
    there = sa.inspect(database._engine)
    for table in metadata.sorted_tables:
        assert {column["name"] for column in there.get_columns(table.name)} == set(table.columns.keys())


def test_closed_requests_come_in_the_order_of_their_ends(url: str) -> None:
    database = opened(url)
    for number in range(5):
        database.add(replace(ROW, id=f"v{number}", key=str(number)))
    for number in (3, 1, 4):
        database.close(f"v{number}", "done" if number != 4 else "failed")
    far = datetime(2999, 1, 1, tzinfo=UTC)

    def found(*outcomes: str, until: datetime = far, after: StoredRequest | None = None) -> list[str]:
        rows = database.closed(outcomes=outcomes, kept=["all"], until=until, limit=2, after=after)
        return [row.id for row in rows]

    assert found("done", "failed") == ["v3", "v1"]
    assert found("done", "failed", after=database.get("v1")) == ["v4"]
    assert found("failed") == ["v4"]
    first = database.get("v3")
    assert first is not None
    assert first.closed_at is not None
    assert found("done", until=first.closed_at) == ["v3"]
    assert found("done", until=NOW) == []
    database.note_kept("v3", "results")
    assert found("done") == ["v1"]
    database.want("v4")
    assert found("failed") == []


def test_a_tombstone_is_final(url: str) -> None:
    database = opened(url)
    database.add(ROW)
    stone = {"id": "a", "title": "Tides", "links": {}}
    assert not database.retire("a", "", stone, "on request")  # it is open
    database.close("a", "failed", "no")
    assert not database.retire("a", "done", stone, "on request")  # it ended otherwise than was thought
    assert database.retire("a", "failed", stone, "on request")
    assert not database.want("a")
    assert not database.close("a", "done")
    found = database.get("a")
    assert found is not None
    assert (found.outcome, found.document, found.reason) == ("retired", stone, "on request")
    assert found.content_sha256 == ROW.content_sha256
    database.note("a", {"runs": 1})
    database.note_kept("a", "nothing")
    assert database.noted(["a"]) == {}
