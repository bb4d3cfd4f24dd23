"""Which address and key a speech server gets: a key never goes to another server than its own."""

from pathlib import Path

import pytest

from cm_assets.resources import Speakers, speakers
from cm_assets.settings import Settings

OPENAI, MINE, WRITER = "https://api.openai.com/v1", "http://localhost:8880/v1", "http://localhost:11434/v1"


@pytest.mark.parametrize(
    ("variables", "url", "key"),
    [
        ({}, "", ""),
        ({"OPENAI_API_KEY": "sk-o"}, "", "sk-o"),  # OpenAI for everything
        ({"OPENAI_API_KEY": "sk-o", "CM_SPEECH_BASE_URL": MINE}, MINE, ""),  # OpenAI writes, one's own speaks
        ({"OPENAI_API_KEY": "sk-o", "CM_SPEECH_BASE_URL": MINE, "CM_SPEECH_API_KEY": "sk-k"}, MINE, "sk-k"),
        ({"OPENAI_BASE_URL": WRITER, "CM_SPEECH_API_KEY": "sk-o"}, "", "sk-o"),  # one's own writes, OpenAI speaks
        ({"OPENAI_BASE_URL": WRITER, "OPENAI_API_KEY": "sk-w"}, WRITER, "sk-w"),  # one gateway for everything
        ({"OPENAI_BASE_URL": WRITER, "OPENAI_API_KEY": "sk-w", "CM_SPEECH_BASE_URL": MINE}, MINE, ""),
        ({"OPENAI_API_KEY": "sk-o", "CM_SPEECH_BASE_URL": OPENAI + "/"}, OPENAI + "/", "sk-o"),  # the same server
        ({"OPENAI_API_KEY": "sk-o", "CM_SPEECH_BASE_URL": "https://api.openai.com.evil.example/v1"}, None, ""),
        ({"OPENAI_API_KEY": "sk-o", "CM_SPEECH_BASE_URL": "http://api.openai.com/v1"}, None, ""),  # not encrypted
        ({"OPENAI_API_KEY": "sk-o", "CM_SPEECH_BASE_URL": "http://[::1"}, None, ""),
    ],
)
def test_a_key_goes_with_its_address(
    variables: dict[str, str], url: str | None, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CM_SPEECH_BASE_URL", "CM_SPEECH_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    resource = speakers(Settings(home=tmp_path))
    secrets = [value for name, value in variables.items() if name.endswith("KEY")]
    assert not any(secret in str(resource.model_dump()) for secret in secrets), (
        "only their names are in the definitions"
    )
    made: Speakers = resource.process_config_and_initialize()
    assert made.speech_url == (variables["CM_SPEECH_BASE_URL"] if url is None else url)
    assert made.speech_key == key


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, {"openai_speech", "opentts"}),
        ({"CM_SPEECH_BASE_URL": MINE}, {"opentts"}),
        ({"OPENAI_API_KEY": "sk-o"}, {"opentts"}),
        ({"CM_OPENTTS_URL": "http://localhost:5500"}, {"openai_speech"}),
    ],
)
def test_a_server_counts_when_it_is_configured(
    variables: dict[str, str], missing: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CM_SPEECH_BASE_URL", "CM_SPEECH_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY", "CM_OPENTTS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings(home=tmp_path).missing_servers == missing
