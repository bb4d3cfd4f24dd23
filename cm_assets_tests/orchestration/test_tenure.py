"""Who works on a shared database: one at a time, and whoever loses his turn has stopped before the next one begins."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from cm_assets.orchestration import home as homes
from cm_assets.orchestration.home import MARKER
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.leases import LEASE, EngineLease, host_at_work
from cm_assets_tests.conftest import KEPT_OUT, until
from cm_assets_tests.emulators.relay import Relay
from cm_assets_tests.postgres import new_database

pytestmark = pytest.mark.postgres

ENGINE = """
import subprocess, sys, time
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.tenure import Tenure
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
settings = Settings()
homes.prepare(settings)
tenure = Tenure(settings, Database(settings.database))
assert tenure.begin(lambda: False)
subprocess.Popen(["sleep", "1000"], start_new_session=True)
print("works", flush=True)
while True:
    tenure.keep()
    time.sleep(0.25)
"""
"""What an engine is here: somebody with a turn, and with work that goes on by itself."""


@dataclass
class Host:
    """A home with such an engine."""

    home: Path
    process: subprocess.Popen[str]

    def at_work(self) -> list[psutil.Process]:
        found = []
        for one in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if one.name() == "sleep" and one.environ().get(MARKER) == str(self.home):
                    found.append(one)
        return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]

    def sentries(self) -> list[psutil.Process]:
        found = []
        for one in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # it may have just ended
                if "sentry" in " ".join(one.cmdline()):
                    found.append(one)
        return found


def begin(home: Path, address: str) -> Host:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(KEPT_OUT)}
    mine = {"CM_HOME": str(home), "CM_DATABASE_URL": address, MARKER: str(home)}
    process = subprocess.Popen([sys.executable, "-c", ENGINE], env=kept | mine, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "works\n"
    return Host(home, process)


@pytest.fixture
def shared(postgres: str) -> Iterator[tuple[str, Database]]:
    address = new_database(postgres)
    database = Database(address.replace("postgresql:", "postgresql+psycopg:"))
    database.count_open()
    yield address, database
    database.dispose()


def end(host: Host) -> None:
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if one.environ().get(MARKER) == str(host.home):
                one.kill()
    host.process.wait(10)
    if host.process.stdout is not None:
        host.process.stdout.close()


def taken_when_nobody_works(host: Host, database: Database, seconds: float) -> float:
    """Wait as another engine does; how long that took. It must not begin while the first one's work goes on."""
    other, began = EngineLease(database, "other"), time.monotonic()
    while not other.take():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    took = time.monotonic() - began
    assert host.at_work() == []
    other.close()
    return took


def test_one_holds_it_at_a_time(shared: tuple[str, Database]) -> None:
    _, database = shared
    one, other = EngineLease(database, "one"), EngineLease(database, "other")
    assert host_at_work(database) == ""
    assert one.take()
    assert one.take(), "the same home comes again"
    assert not other.take()
    assert host_at_work(database) == os.uname().nodename
    assert 0 < one.good_until() - time.monotonic() <= LEASE
    assert other.good_until() == 0
    assert one.renew()
    assert not other.renew()
    other.release()
    assert not other.take(), "what is another's cannot be given up"
    one.release()
    assert other.take()
    assert one.good_until() == 0
    assert not one.renew()
    for lease in (one, other):
        lease.close()


@pytest.mark.parametrize("blow", ["kill", "stop", "cut"])
def test_the_work_has_ended_before_another_begins(blow: str, shared: tuple[str, Database], tmp_path: Path) -> None:
    address, database = shared
    with Relay(urlsplit(address).port or 0) as relay:
        host = begin(tmp_path / "home", address.replace(f":{urlsplit(address).port}/", f":{relay.port}/"))
        try:
            assert until(host.sentries, 60)
            time.sleep(LEASE)  # longer than what it had at first: it is renewed
            assert host.at_work()
            other = EngineLease(database, "other")
            assert not other.take()
            other.close()
            if blow == "cut":
                relay.cut()
            else:
                host.process.send_signal({"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[blow])
            took = taken_when_nobody_works(host, database, 60)
            print(f"{blow}: another one could begin after {took:.1f} s")
        finally:
            relay.mend()
            end(host)


def test_a_sentry_that_dies_is_replaced(shared: tuple[str, Database], tmp_path: Path) -> None:
    host = begin(tmp_path / "home", shared[0])
    try:
        (first,) = until(host.sentries, 60)
        first.kill()
        assert until(lambda: [one for one in host.sentries() if one.pid != first.pid], 60)
        assert host.at_work()
    finally:
        end(host)


def test_who_waits_says_for_whom(shared: tuple[str, Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = begin(tmp_path / "first", shared[0])
    monkeypatch.setenv("CM_HOME", str(tmp_path / "second"))
    settings = Settings(home=tmp_path / "second", database_url=shared[0])
    command = [sys.executable, "-c", ENGINE]
    mine = {"CM_HOME": str(settings.home), "CM_DATABASE_URL": shared[0], MARKER: str(settings.home)}
    waiting = subprocess.Popen(command, env=os.environ | mine, stdout=subprocess.PIPE, text=True)
    try:
        assert until(lambda: homes.why_standing_by(settings), 60) == f"the engine on {os.uname().nodename} works"
        assert homes.somebody_works(settings, shared[1])
        end(host)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "works\n"
        assert homes.why_standing_by(settings) == ""
    finally:
        end(Host(settings.home, waiting))
