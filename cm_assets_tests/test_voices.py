"""Whole videos whose narration comes from a server, made by `cm` in processes of its own."""

import json
from pathlib import Path

import pytest

from cm_assets_tests.conftest import Home
from cm_assets_tests.emulators.speech_server import SERVER_ERROR, OpenTTSServer, SpeechServer

pytestmark = pytest.mark.live

KEY = "sk-test-5ecret5ecret"
GERMAN = [{"text": "Jeden Morgen greifen Millionen Menschen zum Kaffee."}, {"text": "Aber warum wirkt er so gut?"}]


def narration(home: Home, video: str) -> dict[str, object]:
    """What the newest `audio` says of itself."""
    code = (
        "{k: v.value for k, v in instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=dg.AssetKey('audio'), "
        f"asset_partitions=[{video!r}]), limit=1).records[0].asset_materialization.metadata.items()}}"
    )
    found: dict[str, object] = home.dagster(code)
    return found


def test_a_german_video_by_opentts_with_captions_that_follow(home: Home) -> None:
    with SpeechServer(key="another") as refuses, OpenTTSServer([SERVER_ERROR]) as speaks:
        home.variables |= {
            "CM_VOICES": "openai_speech,opentts,hibari",
            "CM_SPEECH_BASE_URL": refuses.base_url,
            "CM_SPEECH_API_KEY": KEY,
            "CM_OPENTTS_URL": speaks.address,
        }
        made = home.made(home.request(scenes=GERMAN, language="de"))
    assert made["state"] == "published"
    told = narration(home, made["id"])
    assert told["voice"] == "larynx:thorsten (opentts)"
    assert told["word times"] == "estimated"
    assert "CM_SPEECH_API_KEY" in str(told["to mend"])
    assert len(speaks.asked) == 3, "one failed and was tried again; each scene was spoken once"
    captions = Path(made["links"]["srt"]).read_text()
    shown = " ".join(line for line in captions.splitlines() if line and "-->" not in line and not line.isdigit())
    assert shown == " ".join(scene["text"] for scene in GERMAN)
    everything = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    assert KEY.encode() not in everything, "neither in logs nor in Dagster's storage"


def test_a_voice_that_no_server_can_have_is_refused_at_once(home: Home) -> None:
    home.variables |= {"CM_VOICES": "openai_speech,hibari", "CM_SPEECH_BASE_URL": "http://127.0.0.1:9/v1"}
    done = home.run("submit", home.request(voice="am_adam"), "--json")
    assert done.returncode == 2
    assert "openai_speech:NAME" in done.stdout + done.stderr
    done = home.run("submit", home.request(voice="openai_speech:am_adam"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["id"]
