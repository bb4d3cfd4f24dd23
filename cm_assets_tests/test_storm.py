"""Twenty videos while everything is killed at random: each is published, once, and nothing is made twice."""

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from cm_assets_tests.conftest import Home, until
from cm_assets_tests.test_make import STAGES, slots_taken, unfinished

pytestmark = pytest.mark.faults

VIDEOS = 20
BLOWS = 16
LIMIT = 600


def holding(home: Home, *words: str) -> list[psutil.Process]:
    """The processes of a home whose command line holds all of these words."""
    found = []
    for process in home.processes():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if all(word in line for word in words):
            found.append(process)
    return found


def killed(processes: list[psutil.Process]) -> int:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return len(processes)


class Storm:
    """Blows against a home in which `cm up` runs."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home = home
        self.random = random.Random(seed)
        self.up = self._start()
        self.dealt: Counter[str] = Counter()

    def _start(self) -> "subprocess.Popen[bytes]":
        return self.home.start("up", "--port", "0", log=f"up-{time.time_ns()}.log")

    def _workers(self) -> list[psutil.Process]:
        """Guards, workers and steps: all look like the warm parent that they are forks of."""
        return holding(self.home, "orchestration.warm")

    def a_fork(self) -> list[psutil.Process]:
        forks = self._workers()
        return self.random.sample(forks, 1) if forks else []

    def a_daemon(self) -> list[psutil.Process]:
        return holding(self.home, "orchestration.daemon")

    def a_webserver(self) -> list[psutil.Process]:
        return holding(self.home, "dagster-webserver")

    def a_code_server(self) -> list[psutil.Process]:
        return holding(self.home, "grpc")

    def a_code_server_with_all_workers(self) -> list[psutil.Process]:
        servers, workers = holding(self.home, "grpc"), self._workers()
        return servers + workers if servers and workers else []

    def an_engine(self) -> list[psutil.Process]:
        return holding(self.home, "orchestration.engine")

    def a_power_cut(self) -> list[psutil.Process]:
        return self.home.processes() if self._workers() else []

    def blow(self) -> None:
        """Choose what to kill, and kill it as soon as it is there."""
        choices: list[Callable[[], list[psutil.Process]]] = [
            *(self.a_fork, self.a_fork, self.a_daemon, self.a_webserver, self.a_code_server),
            *(self.a_code_server_with_all_workers, self.an_engine, self.a_power_cut),
        ]
        one = self.random.choice(choices)
        targets = until(one, 40, 0.1)
        if targets and one == self.a_power_cut:
            self.up.kill()
        if targets and killed(targets):
            self.dealt[one.__name__] += 1
        if self.up.poll() is not None or one == self.a_power_cut:
            self.up.wait()
            self.up = self._start()


def test_every_video_is_published_once(home: Home) -> None:
    seed = int(os.environ.get("CM_STORM_SEED") or random.SystemRandom().randrange(10**6))
    print(f"\nCM_STORM_SEED={seed}")
    home.variables |= {"CM_MAX_LOST_RUNS": "100"}
    for number in range(VIDEOS):
        done = home.run("submit", home.request(seed=number, id=f"v{number:02}"))
        assert done.returncode == 0, done.stderr
    storm = Storm(home, seed)
    assert until((home.path / "engine" / "ready").exists, 60)
    for _ in range(BLOWS):
        time.sleep(storm.random.uniform(0.2, 4))
        storm.blow()
    print(dict(storm.dealt))
    assert storm.dealt.total() > BLOWS / 2, "it hit hardly anything"

    def listed() -> list[dict[str, Any]]:
        if storm.up.poll() is not None:
            storm.up = storm._start()
        videos: list[dict[str, Any]] = json.loads(home.run("list", "--json").stdout)["videos"]
        return videos

    last = time.monotonic()
    assert until(lambda: {one["state"] for one in listed()} == {"published"}, LIMIT, 2), home.run("list").stdout
    print(f"the last was published {time.monotonic() - last:.0f} s after the last blow")
    assert unfinished(home) == 0
    assert until(lambda: slots_taken(home) == 0, 30, 1)
    for number in range(VIDEOS):
        assert len(list((home.path / "outbox" / f"v{number:02}").glob("*.mp4"))) == 1
    feed = (home.path / "outbox" / "feed.xml").read_text()
    assert feed.count("<item>") == VIDEOS
    made = home.dagster(
        "[[stage, r.partition_key] for stage in "
        f"{STAGES!r} for r in instance.fetch_materializations(dg.AssetRecordsFilter("
        "asset_key=dg.AssetKey(stage.split('/'))), limit=500).records]"
    )
    again = {tuple(pair): count for pair, count in Counter(map(tuple, made)).items() if count > 1}
    assert again == {}
    assert len(made) == VIDEOS * len(STAGES)
    storm.up.terminate()
    assert storm.up.wait(10) == 0
    assert until(lambda: not home.processes(), 10)
