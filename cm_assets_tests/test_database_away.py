"""The database server goes away in the middle of a render and comes back: nothing is lost, nothing is made twice."""

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from cm_assets_tests.conftest import Home, called, until
from cm_assets_tests.postgres import Server, a_server, new_database
from cm_assets_tests.serving import serving
from cm_assets_tests.test_make import LONG, ONCE, materializations, slots_taken, unfinished

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(900)]


@pytest.fixture
def own() -> Iterator[Server]:
    with a_server() as server:
        yield server


def status_of(url: str, path: str) -> int:
    try:
        return httpx.get(url + path, timeout=30).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("seconds", [2, 30])
def test_a_video_is_finished_when_the_server_is_back(seconds: int, own: Server, home: Home) -> None:
    """Two seconds are shorter than an engine's lease, thirty are longer: then its work is ended and begun again."""
    home.variables["CM_DATABASE_URL"] = new_database(own.address)
    with serving(home) as served:
        assert home.run("submit", home.request(scenes=LONG, id="sea")).returncode == 0
        assert until(lambda: called("ffmpeg", home.processes()), 300, 0.1), home.log()
        own.stop()
        assert until(lambda: status_of(served.url, "/videos/sea") == 503, 30, 0.2)
        assert status_of(served.url, "/healthz") == 204
        assert status_of(served.url, "/readyz") == 503
        assert "does not answer" in httpx.get(f"{served.url}/videos/sea", timeout=30).json()["detail"]
        time.sleep(seconds)
        own.start()
        assert until(lambda: status_of(served.url, "/readyz") == 200, 60, 0.5)
        served.reaches("sea", "published", seconds=400)
        assert served.up.poll() is None
        assert materializations(home) == ONCE
        assert until(lambda: slots_taken(home) == 0, 30, 1)
        assert unfinished(home) == 0
        assert len(list((home.path / "outbox" / "sea").glob("*.mp4"))) == 1
        served.up.send_signal(signal.SIGINT)
        assert served.up.wait(30) == 0
