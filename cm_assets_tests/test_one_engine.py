"""Two homes, as on two hosts, that share a Postgres database: one engine works, the other one waits and takes over."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from cm_assets.orchestration.processes import marked
from cm_assets_tests.conftest import Home, called, until
from cm_assets_tests.emulators.relay import Relay
from cm_assets_tests.postgres import new_database
from cm_assets_tests.test_make import LONG, ONCE, materializations, slots_taken, unfinished

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(900)]

SOON = 120
"""Seconds until another engine works, on a machine that has much else to do; on one that has not, it is `LEASE`."""

LATE = 300
"""Seconds in which a video is made on such a machine."""


@dataclass
class Host:
    """A home, and the `cm up` that runs in it."""

    home: Home
    up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.up = self.home.start("up", "--port", "0", "--web-port", "0", log=f"up-{time.time_ns()}.log")

    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.home.folder.glob("up-*.log")))

    @property
    def works(self) -> bool:
        return (self.home.path / "engine" / "ready").exists() and bool(self.home.processes())

    def renders(self) -> bool:
        return bool(called("ffmpeg", self.home.processes()))

    def engine(self) -> psutil.Process:
        return next(
            one for one in marked(self.home.path) if "cm_assets.orchestration.engine" in " ".join(one.cmdline())
        )

    def workers(self) -> list[psutil.Process]:
        """Whoever makes videos: forks of the warm parent, with what they have started."""
        found = []
        for one in self.home.processes():
            with suppress(psutil.Error):
                line = " ".join(one.cmdline())
                if "orchestration.warm" in line or "ffmpeg" in line:
                    found.append(one)
        return found


def host(folder: Path, address: str, shared: Path) -> Host:
    folder.mkdir()
    variables = {"CM_DATABASE_URL": address, "CM_ARTIFACTS_URL": str(shared / "artifacts")}
    return Host(Home(folder, variables | {"CM_OUTBOX": str(shared / "outbox")}))


@pytest.fixture
def hosts(tmp_path: Path, postgres: str) -> Iterator[tuple[Host, Host, Relay]]:
    """Two hosts; the first one's line to the database can be cut."""
    address = new_database(postgres)
    with Relay(urlsplit(address).port or 0) as relay:
        by_relay = address.replace(f":{urlsplit(address).port}/", f":{relay.port}/")
        first, second = host(tmp_path / "first", by_relay, tmp_path), host(tmp_path / "second", address, tmp_path)
        yield first, second, relay
        relay.mend()
        for one in (first, second):
            for process in one.home.processes():
                with suppress(psutil.Error):
                    process.resume()
            one.home.kill_everything(*([one.up] if one.up else []))


def rendering(first: Host, second: Host) -> str:
    """Have the first host work and the second wait; a video in the middle of its render."""
    first.start()
    assert until(lambda: first.works, LATE), first.said()
    second.start()
    assert until(lambda: "standing by: the engine on " in second.said() and "the board" in second.said(), SOON)
    assert not second.works
    assert first.home.run("submit", first.home.request(scenes=LONG, id="sea")).returncode == 0
    assert until(first.renders, LATE, 0.3), first.said()
    return "sea"


def is_finished_by(second: Host, video: str, first: Host) -> None:
    """The second host takes over, and what the first began is finished once."""
    assert until(lambda: second.works, SOON, 0.05), second.said()
    assert first.workers() == []
    assert until(lambda: second.home.told(video)["state"] == "published", LATE, 0.5), second.said()
    assert materializations(second.home) == ONCE
    assert slots_taken(second.home) == 0
    assert unfinished(second.home) == 0
    outbox = Path(second.home.variables["CM_OUTBOX"])
    assert len(list((outbox / video).glob("*.mp4"))) == 1
    assert (outbox / "feed.xml").read_text().count("<item>") == 1


def test_a_host_that_dies_is_followed_by_the_other(hosts: tuple[Host, Host, Relay]) -> None:
    first, second, _ = hosts
    video = rendering(first, second)
    assert first.up is not None
    first.home.kill_everything(first.up)
    is_finished_by(second, video, first)
    # And it comes back as the one that waits.
    first.start()
    assert until(lambda: first.said().count("standing by: the engine on ") == 1, SOON), first.said()
    assert first.home.run("doctor").stdout.count("stands by: the engine on ") == 1


def test_the_work_of_an_engine_that_is_killed_alone_ends_within_seconds(hosts: tuple[Host, Host, Relay]) -> None:
    first, second, _ = hosts
    video = rendering(first, second)
    engine = first.engine()
    assert first.up is not None
    first.up.kill()
    engine.kill()
    assert until(lambda: not first.workers(), 20, 0.05)
    is_finished_by(second, video, first)


def test_an_engine_that_is_stopped_loses_its_work_before_the_other_begins(hosts: tuple[Host, Host, Relay]) -> None:
    first, second, _ = hosts
    video = rendering(first, second)
    first.engine().send_signal(signal.SIGSTOP)
    assert first.up is not None
    first.up.send_signal(signal.SIGSTOP)
    is_finished_by(second, video, first)
    first.up.send_signal(signal.SIGCONT)
    assert until(lambda: "standing by: the engine on " in first.said(), SOON), first.said()


def test_a_host_that_is_cut_off_ends_its_work_before_the_other_begins(hosts: tuple[Host, Host, Relay]) -> None:
    first, second, relay = hosts
    video = rendering(first, second)
    relay.cut()
    is_finished_by(second, video, first)
    relay.mend()
    assert until(lambda: "standing by: the engine on " in first.said(), SOON), first.said()
    assert not first.works


def test_a_host_that_is_frozen_whole_ends_its_work_when_it_thaws(hosts: tuple[Host, Host, Relay]) -> None:
    first, second, _ = hosts
    video = rendering(first, second)
    assert first.up is not None
    frozen = [psutil.Process(first.up.pid), *first.home.processes()]
    for one in frozen:
        with suppress(psutil.Error):
            one.suspend()
    assert until(lambda: second.works, SOON, 0.05), second.said()
    for one in frozen:
        with suppress(psutil.Error):
            one.resume()
    assert until(lambda: not first.workers(), 20, 0.05)
    is_finished_by(second, video, first)
