"""`cm make` with keys of stock sites set, and nothing else: a request becomes a video of their clips."""

import html
import json
from pathlib import Path

import pytest

from cm_assets_tests.conftest import Home, Mp4
from cm_assets_tests.emulators.media_server import MediaFault
from cm_assets_tests.emulators.pexels_server import PexelsServer
from cm_assets_tests.emulators.pixabay_server import PixabayServer

pytestmark = pytest.mark.live


def test_a_key_is_all_that_it_takes(home: Home, mp4: Mp4) -> None:
    size = (1080, 1920)
    with PexelsServer() as pexels, PixabayServer() as pixabay:
        pexels.video("a goat", [(*size, mp4(*size, 4, "orange"))], faults=[MediaFault(cut=100_000)])
        pixabay.video("tram", {"large": (*size, mp4(*size, 4, "purple"))}, user="coverr <b>")
        home.variables |= {"PEXELS_API_KEY": pexels.key, "PIXABAY_API_KEY": pixabay.key}
        home.variables |= {"CM_PEXELS_URL": pexels.search_url, "CM_PIXABAY_URL": pixabay.search_url}
        home.variables["CM_ALLOW_PRIVATE_HOSTS"] = "true"
        scenes = [
            {"text": "Goats found coffee first.", "search_terms": ["goat"]},
            {"text": "Trams came later.", "search_terms": ["tram"]},
        ]
        status = home.made(home.request(scenes=scenes, post={"description": "Two facts."}))
    assert status["state"] == "published"
    record = json.loads((home.path / "outbox" / status["id"] / "post.json").read_text())
    assert [credit["source"] for credit in record["credits"]] == ["pexels", "pixabay"]
    feed = html.unescape(html.unescape((home.path / "outbox" / "feed.xml").read_text()))
    assert "Two facts." in feed
    assert "Video by Ana Lima on Pexels: https://www.pexels.com/video/a-goat-3000000/" in feed
    assert "Video by coverr b on Pixabay: https://pixabay.com/videos/id-125/" in feed
    # Nothing that the engine wrote, its database and logs included, has a key in it.
    home.kill_everything()  # whoever still ends takes files away while they are listed
    keys = (pexels.key.encode(), pixabay.key.encode())
    written = [path for path in home.path.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert not [path for path in written if any(key in Path(path).read_bytes() for key in keys)]
