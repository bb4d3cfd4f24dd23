"""`cm doctor` on accounts: whether each consent holds, what to do where it does not, and no secret."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cm_assets import cli_doctor
from cm_assets.cli_doctor import Finding, examine
from cm_assets.resources import vault
from cm_assets.settings import Settings
from cm_assets_tests.emulators.tiktok_server import Fault as TikTokFault
from cm_assets_tests.emulators.tiktok_server import TikTokServer
from cm_assets_tests.emulators.youtube_server import Fault, YouTubeServer


@pytest.fixture
def youtube() -> Iterator[YouTubeServer]:
    with YouTubeServer() as server:
        yield server


@pytest.fixture
def tiktok() -> Iterator[TikTokServer]:
    with TikTokServer() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, youtube: YouTubeServer, tiktok: TikTokServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with an account of each platform."""
    monkeypatch.delenv("CM_SECRET_KEY", raising=False)
    settings = Settings(home=tmp_path, youtube_url=youtube.url, tiktok_url=tiktok.url)
    accounts = vault(settings)
    accounts.put("youtube", "@channel", youtube.connected())
    client = {"client_id": tiktok.client_key, "client_secret": tiktok.client_secret}
    accounts.put("tiktok", "main", client | tiktok.consent() | {"expires_at": 4e9})
    return settings


def platforms(settings: Settings) -> Finding:
    found = next(one for one in examine(settings) if one.name == "platforms")
    for platform in ("youtube", "tiktok"):
        for name in vault(settings).accounts(platform):
            secret: dict[str, Any] = vault(settings).get(platform, name) or {}
            assert not any(str(value) in found.said for key, value in secret.items() if key != "expires_at")
    return found


def test_accounts_are_asked_whose_they_are(home: Settings) -> None:
    found = platforms(home)
    assert found.fine
    assert found.said.splitlines()[1:] == ["youtube: @channel, connected", "tiktok: main, connected as salty.shorts"]


def test_an_account_that_is_not_connected_is_no_fault(tmp_path: Path) -> None:
    found = platforms(Settings(home=tmp_path))
    assert found.fine
    assert "youtube: not connected; cm connect youtube" in found.said


def test_tokens_that_ended_are_renewed_and_kept(home: Settings, youtube: YouTubeServer, tiktok: TikTokServer) -> None:
    youtube.access.clear()
    tiktok.end_tokens()
    assert platforms(home).fine
    for platform, account, server in (("youtube", "@channel", youtube), ("tiktok", "main", tiktok)):
        secret = vault(home).get(platform, account)
        assert secret is not None
        assert secret["access_token"] in server.access
        assert secret["refresh_token"] in server.refresh


def test_a_consent_that_was_withdrawn_says_what_to_do(home: Settings, tiktok: TikTokServer) -> None:
    tiktok.end_tokens()
    tiktok.refresh.clear()
    found = platforms(home)
    assert not found.fine
    assert "youtube: @channel, connected" in found.said
    assert "tiktok: main: TikTok does not accept the consent any more (invalid_grant): run cm connect tiktok" in (
        found.said
    )


def test_a_limit_is_no_fault_of_the_consent(home: Settings, tiktok: TikTokServer) -> None:
    tiktok.faults = [TikTokFault("info", 403, "spam_risk_too_many_posts")]
    found = platforms(home)
    assert found.fine
    assert "tiktok: main, connected; the account has posted as often as TikTok lets it" in found.said


def test_an_account_that_cannot_post_says_why(home: Settings, youtube: YouTubeServer, tiktok: TikTokServer) -> None:
    no_channel = Fault("channels", status=401, reason="youtubeSignupRequired")
    youtube.faults = [no_channel, no_channel]
    tiktok.faults = [TikTokFault("info", 401, "scope_not_authorized"), TikTokFault("info", 401, "scope_not_authorized")]
    found = platforms(home)
    assert not found.fine
    assert "youtube: @channel: YouTube refuses it (youtubeSignupRequired): the account has no channel" in found.said
    assert "tiktok: main: TikTok refuses it (scope_not_authorized)" in found.said


def test_a_platform_that_does_not_answer_is_not_waited_for(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_doctor, "PATIENCE", 3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        there = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        found = platforms(home.model_copy(update={"youtube_url": there}))
    assert not found.fine
    assert "youtube: @channel: no answer within 3 s" in found.said
    assert "tiktok: main, connected as salty.shorts" in found.said


def test_a_renewal_comes_to_its_end_after_the_report(
    home: Settings, tiktok: TikTokServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh token is taken once: whoever does not wait for the answer has lost the account."""
    monkeypatch.setattr(cli_doctor, "PATIENCE", 0.3)
    tiktok.end_tokens()
    go = threading.Event()

    def hold(_index: int, name: str) -> None:
        if name == "token processed":
            go.wait(20)

    tiktok.on_event = hold
    before = {thread for thread in threading.enumerate() if not thread.daemon}
    assert "tiktok: main: no answer within 0.3 s" in platforms(home).said
    at_work = [thread for thread in threading.enumerate() if not thread.daemon and thread not in before]
    go.set()
    assert at_work, "the process lives until they have ended"
    for thread in at_work:
        thread.join()
    secret = vault(home).get("tiktok", "main")
    assert secret is not None
    assert secret["refresh_token"] in tiktok.refresh
