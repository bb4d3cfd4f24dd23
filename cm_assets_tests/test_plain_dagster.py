"""The checkout without `cm`: `DAGSTER_HOME=$PWD dagster dev -w workspace.yaml`, then what the UI does."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

import cm_assets
from cm_assets_tests.conftest import SHORT, Home, Up, until
from cm_assets_tests.test_make import LONG

pytestmark = pytest.mark.live

CHECKOUT = Path(cm_assets.__file__).parents[1]
ALL = ["brief", "script", "audio", "background_clips", "render", "published_post/outbox"]


@dataclass
class Dev(Up):
    """`dagster dev`, and what it started."""

    def called(self, *words: str) -> list[psutil.Process]:
        """Its processes whose command line holds one of these words. Run workers are nobody's children."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                own = process.environ().get("DAGSTER_HOME") == str(self.home.folder)
                if own and any(word in " ".join(process.cmdline()) for word in words):
                    found.append(process)
        return found

    def kill(self, *words: str) -> None:
        for process in self.called(*words):
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def dev(home: Home) -> Iterator[Dev]:
    """`dagster dev` in a folder that holds what a fresh clone's top holds."""
    checkout = home.folder / "checkout"
    checkout.mkdir()
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
        shutil.copyfile(CHECKOUT / name, checkout / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {name: value for name, value in home.environment().items() if name != "CM_HOME"}
    with (checkout / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), "dev", "-w", "workspace.yaml", "-p", str(port)],
            cwd=checkout,
            env=variables | {"DAGSTER_HOME": str(checkout)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/server_info", timeout=5).is_success
        except httpx.HTTPError:
            return False

    family = []
    try:
        assert until(answers, 90, 0.5), (checkout / "dev.log").read_text()
        variables = {"CM_HOME": str(checkout / ".cm"), "CM_DAGSTER_HOME": str(checkout)}
        made = Dev(Home(checkout, variables), url)
        yield made
        made.kill("orchestration.warm")
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for one in psutil.wait_procs(family, 5)[1]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def test_materialize_all_makes_and_posts_a_video(dev: Dev) -> None:
    checkout = dev.home.folder
    assert dev.add("from-the-ui") == "AddDynamicPartitionSuccess"
    config = {"ops": {"brief": {"config": {"request": SHORT}}}}
    run = dev.ended(dev.launch("__ASSET_JOB", "from-the-ui", config, assets=ALL), 180)
    assert run["status"] == "SUCCESS", dev.home.log("dev.log")
    posts = list((checkout / ".cm" / "outbox" / "from-the-ui").glob("*.mp4"))
    assert len(posts) == 1
    again = dev.ended(dev.launch("__ASSET_JOB", "from-the-ui", assets=ALL[-1:]), 120)
    assert again["status"] == "SUCCESS"
    assert list((checkout / ".cm" / "outbox" / "from-the-ui").glob("*.mp4")) == posts


def test_what_is_submitted_is_made_and_posted_when_approved(dev: Dev) -> None:
    """As where `dagster-daemon` runs and no `cm up`: the sensor does what an engine would."""
    home = dev.home
    quick = home.run("submit", home.request(id="quick"))
    assert quick.returncode == 0, quick.stderr
    (home.path / "inbox").mkdir(exist_ok=True)
    (home.path / "inbox" / "reviewed.json").write_text(json.dumps(SHORT | {"id": "reviewed", "review": "required"}))
    assert until(lambda: home.told("quick")["state"] == "published", 120, 1), home.log("dev.log")
    assert until(lambda: home.told("reviewed")["state"] == "awaiting_review", 90, 1), home.log("dev.log")
    assert home.run("approve", "reviewed", "--by", "me").returncode == 0
    assert until(lambda: home.told("reviewed")["state"] == "published", 60, 1), home.log("dev.log")
    assert home.run("up").returncode == 2


def test_a_run_whose_processes_are_killed_is_resumed_and_a_cancelled_one_ends(dev: Dev) -> None:
    home = dev.home
    home.run("submit", home.request(scenes=LONG, id="killed"))

    def rendering() -> bool:
        return bool(dev.called("ffmpeg"))

    assert until(rendering, 120, 0.1), home.log("dev.log")
    dev.kill("orchestration.warm", "ffmpeg")
    assert until(lambda: home.told("killed")["attempts"] == 2 and rendering(), 120, 0.2), home.log("dev.log")
    assert home.run("cancel", "killed").returncode == 0
    assert until(lambda: not rendering(), 15, 0.1), home.log("dev.log")
    assert home.told("killed")["state"] == "cancelled"
