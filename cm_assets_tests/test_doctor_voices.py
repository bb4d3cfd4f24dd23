"""`cm doctor` on voices: what is there, what answers, what to do; and it does not wait for the dead."""

import socket
from pathlib import Path

import pytest

from cm_assets import cli_doctor
from cm_assets.cli_doctor import Finding, examine
from cm_assets.settings import Settings
from cm_assets_tests.emulators.speech_server import OpenTTSServer, SpeechServer


def voices(folder: Path, names: tuple[str, ...]) -> Finding:
    return next(one for one in examine(Settings(home=folder, voices=names)) if one.name == "voices")


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CM_SPEECH_BASE_URL", "CM_SPEECH_API_KEY", "CM_OPENTTS_URL", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_installed_and_what_else_there_is(tmp_path: Path) -> None:
    found = voices(tmp_path, ("hibari",))
    assert found.fine
    assert found.said.splitlines() == [
        "hibari: af_heart",
        "not in CM_VOICES: kokoro, openai_speech, opentts; docs/voices.md says how to use them",
    ]


def test_servers_are_asked_and_their_voices_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer(kokoro=True) as speech, OpenTTSServer() as other:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", speech.base_url)
        monkeypatch.setenv("CM_OPENTTS_URL", other.address)
        found = voices(tmp_path, ("openai_speech", "opentts", "hibari"))
        assert not speech.asked, "nothing was spoken"
    assert found.fine, found.said
    lines = found.said.splitlines()
    assert lines[0].startswith(f"openai_speech: tts-1 at {speech.address}; af_bella, af_heart, am_adam")
    assert lines[1].startswith(f"opentts: {other.address}; larynx:harvard, larynx:thorsten, espeak:")


def test_a_key_that_is_refused_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer(key="another") as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        monkeypatch.setenv("CM_SPEECH_API_KEY", "sk-5ecret")
        found = voices(tmp_path, ("openai_speech", "hibari"))
    assert not found.fine
    assert "refuses the key: set CM_SPEECH_API_KEY" in found.said
    assert "hibari: af_heart" in found.said
    assert "5ecret" not in found.said


def test_what_is_not_configured_says_what_to_set(tmp_path: Path) -> None:
    found = voices(tmp_path, ("openai_speech", "opentts"))
    assert not found.fine
    assert "CM_SPEECH_BASE_URL" in found.said
    assert "CM_OPENTTS_URL" in found.said


def test_servers_that_never_answer_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_doctor, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("CM_SPEECH_BASE_URL", f"{address}/v1")
        monkeypatch.setenv("CM_OPENTTS_URL", address)
        found = voices(tmp_path, ("openai_speech", "opentts", "hibari"))
    assert not found.fine
    speech, opentts, hibari, *_ = found.said.splitlines()
    assert "answer" in speech
    assert "answer" in opentts
    assert hibari == "hibari: af_heart"
