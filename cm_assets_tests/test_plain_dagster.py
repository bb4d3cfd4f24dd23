"""The checkout without `cm`: `DAGSTER_HOME=$PWD dagster dev -w workspace.yaml`, then what the UI does."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

import cm_assets
from cm_assets_tests.conftest import SHORT, Home, Up, until

pytestmark = pytest.mark.live

CHECKOUT = Path(cm_assets.__file__).parents[1]
ALL = ["brief", "script", "audio", "background_clips", "render", "published_post/outbox"]


@pytest.fixture
def dev(home: Home) -> Iterator[Up]:
    """`dagster dev` in a folder that holds what a fresh clone's top holds."""
    checkout = home.folder / "checkout"
    checkout.mkdir()
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
        shutil.copyfile(CHECKOUT / name, checkout / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {name: value for name, value in home.environment().items() if name != "CM_HOME"}
    with (home.folder / "dev.log").open("wb") as log:
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
        assert until(answers, 90, 0.5), home.log("dev.log")
        yield Up(Home(home.folder), url)
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        for one in psutil.wait_procs(family, 5)[1]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def test_materialize_all_makes_and_posts_a_video(dev: Up) -> None:
    checkout = dev.home.folder / "checkout"
    assert dev.add("from-the-ui") == "AddDynamicPartitionSuccess"
    config = {"ops": {"brief": {"config": {"request": SHORT}}}}
    run = dev.ended(dev.launch("__ASSET_JOB", "from-the-ui", config, assets=ALL), 180)
    assert run["status"] == "SUCCESS", dev.home.log("dev.log")
    posts = list((checkout / ".cm" / "outbox" / "from-the-ui").glob("*.mp4"))
    assert len(posts) == 1
    again = dev.ended(dev.launch("__ASSET_JOB", "from-the-ui", assets=ALL[-1:]), 120)
    assert again["status"] == "SUCCESS"
    assert list((checkout / ".cm" / "outbox" / "from-the-ui").glob("*.mp4")) == posts
