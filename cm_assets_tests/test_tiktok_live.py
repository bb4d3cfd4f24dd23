"""A TikTok account, from its consent to its post: through `cm`, an engine that is killed, and moderation."""

import re

import httpx
import pytest

from cm_assets_tests.conftest import Home, until
from cm_assets_tests.emulators.tiktok_server import TikTokServer

pytestmark = pytest.mark.live


def test_an_account_s_post_outlives_its_engine(home: Home) -> None:
    with TikTokServer(moderation=2, id_after=1) as server:
        home.variables |= {
            "CM_TIKTOK_URL": server.url,
            "CM_TIKTOK_CLIENT_ID": server.client_key,
            "CM_TIKTOK_CLIENT_SECRET": server.client_secret,
            "CM_NO_BROWSER": "1",
        }
        connecting = home.start("connect", "tiktok", log="connect.log")
        address = until(lambda: re.search(r"^http\S+", home.log("connect.log"), re.MULTILINE), 30)
        assert address
        assert "can be closed" in httpx.get(address[0], follow_redirects=True).text
        assert connecting.wait(30) == 0, home.log("connect.log")
        assert "tiktok: salty.shorts" in home.run("connect").stdout

        uploading: list[str] = []

        def event(_index: int, name: str) -> None:
            if name == "upload half":
                uploading.append(name)

        server.on_event = event
        request = home.request(id="salt", platforms=["tiktok"], review="auto")
        first = home.start("make", request, log="first.log")
        assert until(lambda: uploading, 120, 0.005), home.log("first.log")
        home.kill_everything(first)

        done = home.run("make", request, "--json")
        assert done.returncode == 0, done.stderr
        (upload,) = server.posts
        assert len(server.uploads) == 1
        assert home.told("salt")["links"]["tiktok"] == f"https://www.tiktok.com/@salty.shorts/video/{upload.post_id}"
        assert upload.info is not None
        assert upload.info["is_aigc"] is True
        assert upload.info["video_cover_timestamp_ms"] > 0
        for text in (home.log("first.log"), done.stdout, done.stderr):
            assert upload.key not in text
            assert "act." not in text
