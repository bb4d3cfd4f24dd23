"""Accounts: who renews them, what counts of two who store, and homes of earlier versions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from cm_assets import storage
from cm_assets.models.base import PermanentFailure
from cm_assets.orchestration.rounds import _reseal
from cm_assets.settings import Settings
from cm_assets.storage.credentials import Credentials
from cm_assets.storage.database import Database
from cm_assets.storage.tables import credentials


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'cm.sqlite'}"
    else:
        from cm_assets_tests.postgres import new_database

        url = new_database(request.getfixturevalue("postgres")).replace("postgresql:", "postgresql+psycopg:")
    database = Database(url)
    yield database
    database.dispose()


def test_one_at_a_time_renews_an_account_and_each_account_is_its_own(database: Database, tmp_path: Path) -> None:
    vault = Credentials(database, tmp_path)
    for name in ("a", "b"):
        vault.put("tiktok", name, {"access_token": name})
    with vault.renewing("tiktok", "a") as first, vault.renewing("tiktok", "a") as second:
        assert first is not None
        assert first.secret == {"access_token": "a"}
        assert second is None
        with vault.renewing("tiktok", "b") as other, vault.renewing("youtube", "a") as none:
            assert other is not None
            assert none is None
        assert first.store({"access_token": "a2"})
        assert not first.store({"access_token": "a3"}), "another one is there by now"
    with vault.renewing("tiktok", "a") as again:
        assert again is not None
        assert again.secret == {"access_token": "a2"}


def test_one_who_was_overtaken_gives_nothing_back_that_is_not_his(database: Database, tmp_path: Path) -> None:
    vault = Credentials(database, tmp_path)
    vault.put("tiktok", "a", {"access_token": "a"})
    late = vault.renewing("tiktok", "a")
    assert late.__enter__() is not None
    with database.writing() as connection:
        connection.execute(credentials.update().values(renewed_until=1))
    with vault.renewing("tiktok", "a") as second:
        assert second is not None
        late.__exit__(None, None, None)
        with vault.renewing("tiktok", "a") as third:
            assert third is None


def test_a_home_of_the_eighth_version_keeps_its_accounts(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    url = f"sqlite:///{tmp_path / 'cm.sqlite'}"
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    sealer = Credentials(Database(url), tmp_path)
    with sa.create_engine(url).connect() as connection:
        config.attributes |= {"connection": connection, "version_table": "alembic_version"}
        command.upgrade(config, "0008")
        connection.exec_driver_sql(
            "insert into credentials (platform, account, sealed, updated_at) values ('tiktok', 'a', ?, '2026-01-01')",
            (sealer._sealed({"access_token": "old"}),),
        )
        connection.commit()
    database = Database(url)
    with Credentials(database, tmp_path).renewing("tiktok", "a") as renewal:
        assert renewal is not None
        assert renewal.secret == {"access_token": "old"}
    database.dispose()


def test_after_the_accounts_are_sealed_anew_the_old_key_can_go(database: Database, tmp_path: Path) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    before = Credentials(database, tmp_path, old)
    for name in ("a", "b"):
        before.put("youtube", name, {"access_token": name})
    both = Credentials(database, tmp_path, f"{new},{old}")
    assert both.outdated() == [("youtube", "a"), ("youtube", "b")]
    with both.renewing("youtube", "b") as renewal:
        assert both.reseal() == 1, "one that is just renewed is its renewer's"
        assert renewal is not None
        assert renewal.store({"access_token": "b2"}), "and what that one stores counts"
    assert both.outdated() == []
    assert both.reseal() == 0
    after = Credentials(database, tmp_path, new)
    assert [after.get("youtube", name) for name in ("a", "b")] == [{"access_token": "a"}, {"access_token": "b2"}]
    with pytest.raises(PermanentFailure, match="another key"):
        before.get("youtube", "a")


def test_an_engine_seals_them_anew_when_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings = Settings(home=tmp_path / "home")
    Credentials(Database(settings.database), settings.home, old).put("youtube", "a", {"access_token": "a"})
    monkeypatch.setenv("CM_SECRET_KEY", f"{new},{old}")
    _reseal(settings)
    assert Credentials(Database(settings.database), settings.home, new).get("youtube", "a") == {"access_token": "a"}
