"""What videos remember of stock footage."""

import time
from collections.abc import Iterator

import pytest

from cm_assets.storage import footage
from cm_assets.storage.database import Database
from cm_assets.storage.footage import FORGOTTEN, FootageMemory


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        one = Database(f"sqlite:///{tmp_path_factory.mktemp('home') / 'cm.sqlite'}")
    else:
        from cm_assets_tests.postgres import new_database

        address = new_database(request.getfixturevalue("postgres"))
        one = Database(address.replace("postgresql://", "postgresql+psycopg://"))
    yield one
    one.dispose()


def test_a_video_remembers_its_choice_and_not_as_one_of_others(database: Database) -> None:
    memory = FootageMemory(database, "a")
    assert memory.earlier("s") is None
    memory.note("s", "pexels:1")
    assert memory.earlier("s") == "pexels:1"
    assert memory.last_shown(["pexels:1"]) == {}
    shown = FootageMemory(database, "b").last_shown(["pexels:1", "pexels:2"])
    assert list(shown) == ["pexels:1"]
    assert abs(shown["pexels:1"] - time.time()) < 60


def test_another_choice_takes_the_place_of_the_first(database: Database) -> None:
    memory = FootageMemory(database, "a")
    memory.note("s", "pexels:1")
    memory.note("s", "pexels:2")
    assert memory.earlier("s") == "pexels:2"
    assert list(FootageMemory(database, "b").last_shown(["pexels:1", "pexels:2"])) == ["pexels:2"]


def test_a_choice_that_is_repeated_is_no_newer(database: Database) -> None:
    memory, other = FootageMemory(database, "a"), FootageMemory(database, "b")
    memory.note("s", "pexels:1")
    first = other.last_shown(["pexels:1"])
    memory.note("s", "pexels:1")
    assert other.last_shown(["pexels:1"]) == first


def test_the_newest_of_several_counts(database: Database) -> None:
    FootageMemory(database, "a").note("s", "pexels:1")
    before = time.time()
    FootageMemory(database, "b").note("s", "pexels:1")
    assert FootageMemory(database, "c").last_shown(["pexels:1"])["pexels:1"] >= before


def test_what_is_older_than_a_year_is_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "FORGOTTEN", -1.0)
    FootageMemory(database, "a").note("s", "pexels:1")
    monkeypatch.setattr(footage, "FORGOTTEN", FORGOTTEN)
    assert FootageMemory(database, "a").earlier("s") is None
    FootageMemory(database, "a").note("s", "pexels:1")
    assert FootageMemory(database, "a").earlier("s") == "pexels:1"


def test_a_rest_is_known_to_all(database: Database) -> None:
    assert FootageMemory(database, "a").until("pexels") == 0.0
    FootageMemory(database, "a").rest("pexels", 123.5)
    FootageMemory(database, "a").rest("pexels", 124.5)
    assert FootageMemory(database, "b").until("pexels") == 124.5
    assert FootageMemory(database, "b").until("pixabay") == 0.0
