"""`integrations/autotube`, end to end: its settings with other addresses, a signed webhook, one video on YouTube."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cm_assets_tests.conftest import Home, until
from cm_assets_tests.emulators.openai_server import OpenAIServer
from cm_assets_tests.emulators.speech_server import OpenTTSServer
from cm_assets_tests.emulators.youtube_server import CLIENT_ID, CLIENT_SECRET, YouTubeServer
from cm_assets_tests.serving import serving
from cm_assets_tests.test_voices import narration

pytestmark = pytest.mark.live

FOLDER = Path(__file__).parent.parent / "integrations" / "autotube"

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, or ").decode()


def settings() -> dict[str, str]:
    """The file, as a shell reads it."""
    command = ["env", "-i", "sh", "-c", 'set -a; . "$0"; exec env', str(FOLDER / "autotube.env")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = dict(line.split("=", 1) for line in lines)
    return {name: value for name, value in found.items() if name.startswith(("CM_", "OPENAI_"))}


def test_the_file_means_the_same_to_a_shell_to_systemd_and_to_docker() -> None:
    lines = [line for line in (FOLDER / "autotube.env").read_text().splitlines() if line and not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == settings()


def test_a_signed_webhook_becomes_one_video_on_youtube(home: Home) -> None:
    chosen = settings()
    with (
        OpenAIServer(models=[chosen["CM_OPENAI_MODEL"]]) as ollama,
        OpenTTSServer() as opentts,
        YouTubeServer() as youtube,
    ):
        addresses = {"OPENAI_BASE_URL": ollama.base_url, "CM_OPENTTS_URL": opentts.address}
        filled_in = {
            "CM_YOUTUBE_CLIENT_ID": CLIENT_ID,
            "CM_YOUTUBE_CLIENT_SECRET": CLIENT_SECRET,
            "CM_WEBHOOK_SECRET": SECRET,
        }
        assert set(addresses) | set(filled_in) <= set(chosen)
        assert not any(chosen[name] for name in filled_in)
        home.variables |= chosen | addresses | filled_in | {"CM_YOUTUBE_URL": youtube.url, "CM_NO_BROWSER": "1"}
        connecting = home.start("connect", "youtube", log="connect.log")
        address = until(lambda: re.search(r"^http\S+", home.log("connect.log"), re.MULTILINE), 30)
        assert address
        assert "can be closed" in httpx.get(address[0], follow_redirects=True).text
        assert connecting.wait(30) == 0, home.log("connect.log")

        with serving(home) as served:
            sent = subprocess.run(
                [sys.executable, str(FOLDER / "send.py"), "why the sea is salty"],
                env=home.environment() | {"CM_URL": served.url},
                capture_output=True,
                text=True,
                check=False,
            )
            assert sent.returncode == 0, sent.stdout + sent.stderr
            video = json.loads(sent.stdout)["id"]
            told = served.reaches(video, "published", "failed")
            assert told["state"] == "published", told["reason"]
            assert len(served.get("/videos")["videos"]) == 1

        (posted,) = youtube.videos.values()
        assert told["posts"]["youtube"].endswith(posted.id)
        assert posted.sha256 == told["render_sha256"]
        assert posted.resource["status"]["containsSyntheticMedia"] is True
        assert ollama.requests[0].body["model"] == chosen["CM_OPENAI_MODEL"]
        assert narration(home, video)["voice"] == f"{chosen['CM_OPENTTS_VOICE']} (opentts)"
        assert told["cost"] == 0
        everything = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
        assert SECRET.encode() not in everything


def test_who_signs_with_another_secret_gets_no_video(home: Home) -> None:
    home.variables["CM_WEBHOOK_SECRET"] = SECRET
    with serving(home) as served:
        sent = subprocess.run(
            [sys.executable, str(FOLDER / "send.py"), "why the sea is salty"],
            env=home.environment() | {"CM_URL": served.url, "CM_WEBHOOK_SECRET": SECRET[:-8] + "AAAAAAA="},
            capture_output=True,
            text=True,
            check=False,
        )
        assert sent.returncode == 1
        assert "signature is not right" in sent.stdout
        assert served.get("/videos")["videos"] == []
