"""Every part of `cm up` is restarted, one after the other, then all of it, while videos are made: each is made once."""

import signal
from collections import Counter
from contextlib import suppress

import psutil
import pytest

from cm_assets_tests.conftest import Home, until
from cm_assets_tests.serving import Served, serving
from cm_assets_tests.test_make import STAGES, slots_taken, unfinished

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

VIDEOS = 6

PARTS = ("cm_assets.web.serve", "dagster-webserver", "orchestration.daemon", "grpc", "orchestration.engine")


def parts(served: Served, word: str) -> list[psutil.Process]:
    """The processes of a part; the API's carries no mark of the engine."""
    all_of_it = [*served.home.processes(), *psutil.Process(served.up.pid).children(recursive=True)]
    found = []
    for one in {one.pid: one for one in all_of_it}.values():
        with suppress(psutil.Error):  # it may have just ended
            if any(word in part for part in one.cmdline()):
                found.append(one)
    return found


def restarted(served: Served, word: str) -> bool:
    """Ask a part to end, as whoever restarts it does; whether another one has taken its place."""
    before = parts(served, word)
    for one in before:
        one.terminate()
    assert until(lambda: not any(lives(one) for one in before), 60)
    return bool(until(lambda: [one for one in parts(served, word) if one not in before], 120, 0.2))


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def states(home: Home) -> set[str]:
    return {home.told(f"v{number}")["state"] for number in range(VIDEOS)}


def test_each_part_then_all_of_it(home: Home) -> None:
    for number in range(VIDEOS):
        assert home.run("submit", home.request(seed=number, id=f"v{number}")).returncode == 0
    with serving(home) as served:
        assert until((home.path / "engine" / "ready").exists, 120)
        for word in PARTS:
            assert until(lambda word=word: parts(served, word), 120, 0.2), word  # type: ignore[misc]
            assert restarted(served, word), word
            assert served.up.poll() is None, home.log()
        assert states(home) != {"published"}, "all were made before the end"
        served.up.terminate()
        assert served.up.wait(30) == 0
        assert until(lambda: not home.processes(), 10)
    with serving(home) as served:
        assert until((home.path / "engine" / "ready").exists, 120)
        served.up.send_signal(signal.SIGINT)
        assert served.up.wait(30) == 0
    with serving(home):
        assert until(lambda: states(home) == {"published"}, 600, 2), home.run("list").stdout
        made = home.dagster(
            "[[stage, r.partition_key] for stage in "
            f"{STAGES!r} for r in instance.fetch_materializations(dg.AssetRecordsFilter("
            "asset_key=dg.AssetKey(stage.split('/'))), limit=500).records]"
        )
        assert set(Counter(map(tuple, made)).values()) == {1}
        assert len(made) == VIDEOS * len(STAGES)
        assert until(lambda: slots_taken(home) == 0, 30, 1)
        assert until(lambda: unfinished(home) == 0, 30, 1)
    for number in range(VIDEOS):
        assert len(list((home.path / "outbox" / f"v{number}").glob("*.mp4"))) == 1
