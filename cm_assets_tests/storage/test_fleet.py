"""What is known of step workers: those that are there, those that went lately, and no others."""

import pytest
import sqlalchemy as sa

from cm_assets.storage.database import Database
from cm_assets.storage.fleet import REMEMBERED, SILENCE, Presence, StepWorker, places_by_queue, step_workers_of
from cm_assets.storage.leases import server_time
from cm_assets.storage.tables import step_workers
from cm_assets_tests.postgres import new_database

pytestmark = pytest.mark.postgres


def silent(database: Database, places: int, seconds: float) -> None:
    with database.writing() as connection:
        heard = {"heard_at": server_time() - seconds}
        connection.execute(sa.update(step_workers).where(step_workers.c.places == places).values(heard))


def seen(database: Database) -> list[tuple[int, bool]]:
    return sorted((one.places, one.alive) for one in step_workers_of(database))


def rows(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(step_workers)) or 0)


def test_a_worker_that_is_silent_counts_no_more_and_one_that_went_long_ago_is_forgotten(postgres: str) -> None:
    database = Database(new_database(postgres))
    one, two = (Presence(database, ["render", "audio"], places, places) for places in (1, 2))
    one.tell()
    two.tell()
    assert seen(database) == [(1, True), (2, True)]
    assert places_by_queue(step_workers_of(database)) == {
        "script": 0,
        "audio": 3,
        "clips": 0,
        "render": 3,
        "publish": 0,
    }
    silent(database, 1, SILENCE + 1)
    assert seen(database) == [(1, False), (2, True)]
    assert places_by_queue(step_workers_of(database))["render"] == 2
    silent(database, 1, REMEMBERED + 1)
    assert seen(database) == [(2, True)]
    assert rows(database) == 2
    two.tell()
    assert rows(database) == 1
    two.leave()
    assert seen(database) == []
    assert rows(database) == 0


def test_without_a_server_there_are_none() -> None:
    assert step_workers_of(Database("sqlite://")) == []
    assert places_by_queue([StepWorker("host", ("render",), 2, alive=False)])["render"] == 0
