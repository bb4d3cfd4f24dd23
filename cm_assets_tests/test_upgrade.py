"""From one version to the next: open videos of an old database are finished, and a newer one is left alone."""

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from cm_assets.lifecycle.documents import parse
from cm_assets.settings import Settings
from cm_assets.storage.database import HEAD
from cm_assets_tests.conftest import SHORT, Home, until
from cm_assets_tests.postgres import new_database
from cm_assets_tests.test_make import slots_taken

MIGRATIONS = Path(__file__).parents[1] / "cm_assets" / "storage" / "migrations"


def at_the_first_migration(url: str, videos: list[str]) -> None:
    """A database as the first version of this project left it, with requests that nobody has made yet."""
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["version_table"] = "alembic_version" if engine.dialect.name == "sqlite" else "cm_version"
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    names = ("id", "source", "key", "document", "content_sha256", "priority", "received_at", "wanted", "wanted_at")
    insert = sa.text(f"insert into requests ({', '.join(names)}) values ({', '.join(f':{name}' for name in names)})")
    with engine.begin() as connection:
        for number, video in enumerate(videos):
            request = parse(SHORT | {"id": video, "seed": number})
            row: dict[str, Any] = {"id": video, "source": "file", "key": request.content_sha256(), "priority": 10}
            row |= {"document": json.dumps(request.canonical()), "content_sha256": request.content_sha256()}
            at = datetime(2026, 1, 1, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            connection.execute(insert, row | {"received_at": at, "wanted_at": at, "wanted": True})
    engine.dispose()


def version(url: str) -> str:
    engine = sa.create_engine(url)
    table = "alembic_version" if engine.dialect.name == "sqlite" else "cm_version"
    with engine.connect() as connection:
        found = str(connection.scalar(sa.text(f"select version_num from {table}")))
    engine.dispose()
    return found


def set_version(url: str, number: str) -> None:
    engine = sa.create_engine(url)
    table = "alembic_version" if engine.dialect.name == "sqlite" else "cm_version"
    with engine.begin() as connection:
        connection.execute(sa.text(f"update {table} set version_num = :number"), {"number": number})
    engine.dispose()


def url_of(home: Home) -> str:
    return Settings(home=home.path, database_url=home.variables.get("CM_DATABASE_URL", "")).database


def published(home: Home, video: str) -> bool:
    return bool(home.told(video)["state"] == "published")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def old(request: pytest.FixtureRequest, home: Home) -> Home:
    """A home whose database the first version has made, with open videos."""
    if request.param == "postgres":
        home.variables["CM_DATABASE_URL"] = new_database(request.getfixturevalue("postgres"))
    home.path.mkdir()
    at_the_first_migration(url_of(home), ["old-a", "old-b"])
    return home


@pytest.mark.live
def test_open_videos_of_an_old_database_are_made_by_the_new_version(old: Home) -> None:
    process = old.start("up", "--port", "0", "--web-port", "0")
    for video in ("old-a", "old-b"):
        assert until(partial(published, old, video), 300, 1), old.log()
    assert version(url_of(old)) == HEAD
    process.terminate()
    assert process.wait(20) == 0


@pytest.mark.live
def test_many_who_start_at_once_upgrade_it_once(old: Home) -> None:
    code = "import sys; from cm_assets.storage.database import Database; print(Database(sys.argv[1]).count_open())"
    command_line = [sys.executable, "-c", code, url_of(old)]
    crowd = [
        subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)
    ]
    said = [one.communicate(timeout=120) for one in crowd]
    assert [out.strip() for out, _ in said] == ["2"] * 8, said
    assert version(url_of(old)) == HEAD


@pytest.mark.live
def test_a_newer_database_is_told_and_left_alone(old: Home) -> None:
    assert old.run("list").returncode == 0  # brings it up to date
    set_version(url_of(old), "9999")
    for arguments in (
        ["list"],
        ["make", old.request()],
        ["up", "--port", "0", "--web-port", "0"],
        ["serve", "--port", "0"],
    ):
        done = old.run(*arguments)
        assert done.returncode == 1, (arguments, done.stderr)
        assert "newer cm_assets (9999" in done.stderr
        assert "Traceback" not in done.stderr
    assert version(url_of(old)) == "9999"
    doctor = old.run("doctor")
    assert doctor.returncode == 1
    assert "newer cm_assets" in " ".join(doctor.stdout.split())


def dagsters(home: Home) -> dict[str, list[Any]]:
    """Dagster's migrations of each of its storages: the one that is there, and the newest."""
    found: dict[str, list[Any]] = home.dagster(
        "{name: list(getattr(instance, name + '_storage').alembic_version()) for name in "
        "['event_log', 'run', 'schedule']}"
    )
    return found


def one_back(home: Home) -> None:
    """Have Dagster's records be those of an older Dagster: one migration of its own undone."""
    if address := home.variables.get("CM_DATABASE_URL"):
        engine = sa.create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
        _downgrade(engine)
        return
    for path in (home.path / "dagster").rglob("*.db"):
        _downgrade(sa.create_engine(f"sqlite:///{path}"))


def _downgrade(engine: sa.Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "dagster:_core/storage/alembic")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    engine.dispose()


@pytest.mark.live
def test_dagsters_records_are_upgraded_by_the_engine_and_open_videos_go_on(old: Home) -> None:
    assert old.made(old.request(id="before"))["state"] == "published"
    one_back(old)
    assert any(there != newest for there, newest in dagsters(old).values())
    assert old.made(old.request(id="after", seed=9))["state"] == "published"
    assert all(there == newest for there, newest in dagsters(old).values())
    assert "brought up to date" in (old.path / "engine" / "engine.log").read_text()
    assert old.told("before")["state"] == "published"
    assert slots_taken(old) == 0


@pytest.mark.live
def test_records_of_a_newer_dagster_are_told_and_left_alone(home: Home) -> None:
    assert home.made(home.request())["state"] == "published"
    with sqlite3.connect(home.path / "dagster" / "history" / "runs.db") as connection:
        connection.execute("update alembic_version set version_num = 'of-tomorrow'")
    connection.close()
    done = home.run("make", home.request(id="other", seed=2))
    assert done.returncode == 1
    assert "newer version (of-tomorrow)" in (home.path / "engine" / "engine.log").read_text()
