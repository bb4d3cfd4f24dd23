"""Tokens are renewed by one process at a time, whatever becomes of it, and nobody loses a refresh token."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from cm_assets.engines.platforms import oauth, tiktok, youtube
from cm_assets.engines.platforms.oauth import Tokens
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.storage.credentials import LEASE, Credentials
from cm_assets.storage.database import Database
from cm_assets.storage.tables import credentials
from cm_assets_tests.emulators.tiktok_server import Fault, TikTokServer
from cm_assets_tests.emulators.youtube_server import YouTubeServer
from cm_assets_tests.posting import Place, kill

_processes = multiprocessing.get_context("forkserver")


@pytest.fixture
def server() -> Iterator[TikTokServer]:
    with TikTokServer() as server:
        yield server


class Desk:
    """An account whose access token has ended, and those who want another one."""

    def __init__(self, folder: Path, server: TikTokServer) -> None:
        self.folder, self.server = folder, server
        self.place = Place(folder, {"tiktok": server.url})
        self.place.connect("tiktok", self.secret(expires_at=0))
        self.database = Database(self.place.url)
        self.vault = Credentials(self.database, folder)

    def secret(self, **changes: Any) -> dict[str, Any]:
        """What a new consent gives."""
        return {
            "client_id": self.server.client_key,
            "client_secret": self.server.client_secret,
            "expires_at": 4e9,
            **self.server.consent(),
        } | changes

    def tokens(self) -> Tokens:
        return Tokens(tiktok.service({"tiktok": self.server.url}), self.vault)

    def stored(self) -> dict[str, Any]:
        found = self.vault.get("tiktok", "channel")
        assert found is not None
        return found

    def asked(self) -> int:
        """How often the server was asked for a token."""
        return self.server.events.count("token processed")

    def at(self, name: str, act: Callable[[], object]) -> None:
        """Do something in the first moment in which this happens on the network."""

        def event(_index: int, happened: str) -> None:
            if happened == name:
                self.server.on_event = lambda _index, _name: None
                act()

        self.server.on_event = event

    def let_the_claim_run_out(self) -> None:
        with self.database.writing() as connection:
            connection.execute(credentials.update().values(renewed_until=time.time() - 1))


@pytest.fixture
def desk(tmp_path: Path, server: TikTokServer) -> Iterator[Desk]:
    desk = Desk(tmp_path, server)
    yield desk
    desk.database.dispose()


def works(desk: Desk, token: str) -> bool:
    return token in desk.server.access and token == desk.stored()["access_token"]


def test_of_many_threads_one_renews_and_all_have_its_token(desk: Desk) -> None:
    desk.at("token processed", lambda: time.sleep(0.5))  # so that all others come meanwhile
    start = threading.Barrier(8)

    def ask(_number: int) -> str:
        start.wait()
        return desk.tokens()("channel")

    with ThreadPoolExecutor(8) as pool:
        (token,) = set(pool.map(ask, range(8)))
    assert works(desk, token)
    assert desk.asked() == 1
    assert desk.stored()["refresh_token"] in desk.server.refresh


def test_who_read_the_time_before_the_holder_did_does_not_take_its_claim(desk: Desk) -> None:
    with desk.vault.renewing("tiktok", "channel") as first, time_machine.travel(timedelta(seconds=-5), tick=True):
        assert first is not None
        with desk.vault.renewing("tiktok", "channel") as second:
            assert second is None
    with desk.vault.renewing("tiktok", "channel") as third:
        assert third is not None


def _ask(place: Place, address: str, pipe: Any) -> None:
    database = Database(place.url)
    tokens = Tokens(tiktok.service({"tiktok": address}), Credentials(database, place.folder))
    pipe.send(tokens("channel"))
    database.dispose()


def begin(desk: Desk) -> tuple[Any, Any]:
    here, there = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_ask, args=(desk.place, desk.server.url, there))
    process.start()
    there.close()
    return process, here


def test_of_many_processes_one_renews_and_all_have_its_token(desk: Desk) -> None:
    desk.at("token read", lambda: time.sleep(1))
    begun = [begin(desk) for _ in range(4)]
    found = {pipe.recv() for _, pipe in begun}
    for process, pipe in begun:
        process.join(30)
        assert process.exitcode == 0
        pipe.close()
    (token,) = found
    assert works(desk, token)
    assert desk.asked() == 1


def test_one_who_died_at_it_is_overtaken_after_its_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "PATIENCE", 0.3)
    begun: list[tuple[Any, Any]] = []
    came = threading.Event()

    def die() -> None:
        came.wait()
        kill(begun[0][0])

    desk.server.faults = [Fault("token", 500)]  # so that what the dead one had sent came to nothing
    desk.at("token head", die)
    begun.append(begin(desk))
    came.set()
    begun[0][0].join(30)
    assert begun[0][0].exitcode == -signal.SIGKILL
    begun[0][1].close()
    with pytest.raises(AskedToWait, match="another process is renewing"):
        desk.tokens()("channel")
    with desk.database.reading() as connection:
        until = connection.scalar(sa.select(credentials.c.renewed_until)) or 0
    assert 0 < until - time.time() <= LEASE
    desk.let_the_claim_run_out()
    assert works(desk, desk.tokens()("channel"))


def test_a_clock_that_was_ahead_keeps_nobody_out(desk: Desk) -> None:
    with desk.database.writing() as connection:
        connection.execute(credentials.update().values(renewer="dead", renewed_until=9e9))
    assert works(desk, desk.tokens()("channel"))


def test_who_was_refused_takes_what_somebody_else_has_stored_meanwhile(desk: Desk) -> None:
    first, second = desk.tokens(), desk.tokens()
    assert first("channel") == second("channel")
    desk.server.end_tokens()
    renewed = first("channel", True)
    assert works(desk, renewed)
    assert desk.asked() == 2
    assert second("channel", True) == renewed
    assert desk.asked() == 2
    assert second("channel", True) != renewed, "this one was refused, too"
    assert desk.asked() == 3


def test_nothing_is_locked_while_the_platform_is_asked(desk: Desk) -> None:
    noted: list[bool] = []

    def write() -> None:
        database = Database(desk.place.url)
        database.note("somebody", {"runs": 1})
        noted.append(True)
        database.dispose()

    desk.at("token read", write)
    assert works(desk, desk.tokens()("channel"))
    assert noted == [True]


def test_a_new_consent_that_comes_meanwhile_is_not_overwritten(desk: Desk) -> None:
    new = desk.secret()
    desk.at("token processed", lambda: desk.vault.put("tiktok", "channel", new))
    assert desk.tokens()("channel") == new["access_token"]
    assert desk.stored() == new


def test_who_is_refused_for_an_old_refresh_token_takes_what_others_stored(desk: Desk) -> None:
    """Somebody whose claim had run out came back and stored first."""
    old, new = desk.stored(), desk.secret()

    def another() -> None:
        del desk.server.refresh[old["refresh_token"]]
        desk.vault.put("tiktok", "channel", new)

    desk.at("token read", another)
    assert desk.tokens()("channel") == new["access_token"]
    assert desk.stored() == new


def test_one_who_was_overtaken_and_comes_back_loses_nothing(desk: Desk) -> None:
    def overtake() -> None:
        desk.let_the_claim_run_out()
        with pytest.raises(PermanentFailure, match="cm connect tiktok"):
            desk.tokens()("channel")

    desk.at("token processed", overtake)
    token = desk.tokens()("channel")
    assert works(desk, token)
    assert desk.tokens()("channel") == token
    desk.server.end_tokens()
    assert works(desk, desk.tokens()("channel", True))


def test_a_consent_that_was_withdrawn_is_a_person_s_to_give(desk: Desk) -> None:
    desk.server.refresh.clear()
    for _ in range(2):
        with pytest.raises(PermanentFailure, match="cm connect tiktok"):
            desk.tokens()("channel")


@pytest.mark.parametrize(
    "fault", [Fault("token", 500), Fault("token", 400), Fault("token", cut=True), Fault("token", 403)]
)
def test_a_renewal_that_broke_off_is_tried_again_at_once(desk: Desk, fault: Fault) -> None:
    desk.server.faults = [fault]
    with pytest.raises(TransientFailure):
        desk.tokens()("channel")
    assert works(desk, desk.tokens()("channel"))


def test_a_token_that_ends_soon_is_taken_as_it_is(desk: Desk) -> None:
    desk.server.expires_in = 30
    assert works(desk, desk.tokens()("channel"))
    assert desk.asked() == 1


def test_whose_key_is_another_one_is_told_so(desk: Desk) -> None:
    from cryptography.fernet import Fernet

    vault = Credentials(desk.database, desk.folder, Fernet.generate_key().decode())
    with pytest.raises(PermanentFailure, match="CM_SECRET_KEY"):
        Tokens(tiktok.service({"tiktok": desk.server.url}), vault)("channel")


def test_the_repr_of_a_renewal_shows_no_secret(desk: Desk) -> None:
    with desk.vault.renewing("tiktok", "channel") as renewal, desk.vault.renewing("tiktok", "channel") as other:
        assert other is None
        assert renewal is not None
        assert renewal.secret["refresh_token"] not in repr(renewal)
    with desk.vault.renewing("tiktok", "nobody") as none:
        assert none is None


def test_a_platform_that_keeps_its_refresh_token_and_one_that_does_not(tmp_path: Path) -> None:
    for rotates in (False, True):
        with YouTubeServer() as server:
            server.rotates = rotates
            folder = tmp_path / str(rotates)
            folder.mkdir()
            place = Place(folder, {"youtube": server.url})
            place.connect("youtube", server.connected() | {"expires_at": 0})
            database = Database(place.url)
            vault = Credentials(database, folder)
            tokens = Tokens(youtube.service({"youtube": server.url}), vault)
            first = vault.get("youtube", "channel")
            for renewed in (False, True):
                assert tokens("channel", renewed) in server.access
            second = vault.get("youtube", "channel")
            assert first is not None
            assert second is not None
            assert (first["refresh_token"] != second["refresh_token"]) is rotates
            assert second["refresh_token"] in server.refresh
            database.dispose()
