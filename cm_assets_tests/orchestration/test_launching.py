"""Launches against a code server that comes and goes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import pytest

from cm_assets.client import Client
from cm_assets.orchestration.daemon import answers
from cm_assets.orchestration.launching import CodeServerAway, Launcher, LaunchFailed
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets_tests.conftest import until

pytestmark = pytest.mark.live

STAGES = ("brief", "script")


@contextmanager
def code_server(socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["-m", "dagster", "api", "grpc", "-m", "cm_assets.definitions", "-s", str(socket)]
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        socket.unlink(missing_ok=True)


def launched(launcher: Launcher, stages: tuple[str, ...], seconds: float = 60) -> str:
    """A launch that is tried until somebody is there, as the intake does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return launcher.launch("produce_video", stages, "robot", {}, {})
        except CodeServerAway:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize("stages", [(), STAGES], ids=["all", "some"])
def test_a_code_server_that_is_away_is_no_refusal(tmp_path: Path, stages: tuple[str, ...]) -> None:
    Client(Settings(home=tmp_path / "home"))
    socket = tmp_path / "code.sock"
    with dg.DagsterInstance.get() as instance, ExitStack() as stack:
        instance.add_dynamic_partitions(PARTITIONS, ["robot"])
        with code_server(socket) as server:
            assert until(lambda: answers(socket), 60)
            launcher = stack.enter_context(Launcher(instance, socket))
            first = launched(launcher, stages)
            server.kill()
            server.wait()
            # It knows the definitions, and finds nobody behind them.
            with pytest.raises(CodeServerAway):
                launcher.launch("produce_video", stages, "robot", {}, {})
        with code_server(socket):
            second = launched(launcher, stages)
            with pytest.raises(LaunchFailed, match="nothing_of_this_name"):
                launcher.launch("produce_video", ("nothing_of_this_name",), "robot", {}, {})
        assert {run.run_id for run in instance.get_runs()} == {first, second}
