"""Whole videos under faults: a killed step, a full disk, hostile files, everybody at once."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cm_assets.media.ffmpeg import find
from cm_assets.orchestration.workers import WORKER_TAG, Worker
from cm_assets_tests.conftest import SHORT, Home, Up, called, until
from cm_assets_tests.emulators.openai_server import Fault, OpenAIServer
from cm_assets_tests.test_make import LONG, ONCE, materializations, slots_taken, unfinished

pytestmark = pytest.mark.live


def renderers(home: Home) -> list[psutil.Process]:
    """The ffmpeg processes of a home."""
    return called("ffmpeg", home.processes())


def test_a_step_that_is_killed_is_made_again_and_leaves_no_child(home: Home) -> None:
    process = home.start("make", home.request(scenes=LONG))
    assert until(lambda: "render: " in home.log() and renderers(home), 90, 0.02), home.log()
    children = renderers(home)
    parents = {parent.pid: parent for child in children if (parent := child.parent()) is not None}
    assert len(parents) == 1
    step = next(iter(parents.values()))
    step.kill()
    assert until(lambda: not any(child.is_running() for child in children), 5)
    assert process.wait(150) == 0, home.log()
    assert materializations(home) == ONCE
    assert slots_taken(home) == 0
    assert until(lambda: not home.processes(), 10)


def part(home: Home, word: str) -> psutil.Process:
    """The process of a home's engine whose command line holds a word."""
    return next(one for one in home.processes() if any(word in argument for argument in one.cmdline()))


def the_worker(home: Home) -> Worker:
    """Who works on the newest run."""
    found = Worker.parse(home.dagster(f"instance.get_runs(limit=1)[0].tags.get({WORKER_TAG!r}, '')"))
    assert found is not None
    return found


def test_a_run_goes_on_without_its_daemon_and_its_code_server(home: Home) -> None:
    process = home.start("make", home.request(scenes=LONG))
    assert until(lambda: "render: " in home.log(), 90), home.log()
    worker = the_worker(home)
    for word in ("orchestration.daemon", "grpc"):
        part(home, word).kill()
    assert process.wait(150) == 0, home.log()
    assert materializations(home) == ONCE
    assert slots_taken(home) == 0
    assert home.dagster(f"[r.tags.get({WORKER_TAG!r}) for r in instance.get_runs()][-1]") == str(worker)
    assert home.dagster("sorted({r.status.value for r in instance.get_runs()})") == ["SUCCESS"]


def test_a_worker_killed_with_its_guard_and_the_code_server_is_noticed(home: Home) -> None:
    process = home.start("make", home.request(scenes=LONG))
    assert until(lambda: "render: " in home.log(), 90), home.log()
    worker = the_worker(home)
    part(home, "grpc").kill()
    family = psutil.Process(worker.guard).children(recursive=True)
    for one in (psutil.Process(worker.guard), *family):
        one.kill()
    assert process.wait(150) == 0, home.log()
    assert materializations(home) == ONCE
    assert slots_taken(home) == 0
    assert unfinished(home) == 0


def test_a_full_disk_is_said_and_the_next_make_goes_on_from_there(home: Home) -> None:
    """The home lies on a file system of a few megabytes, which only a mount name space of our own can offer."""
    home.variables["CM_MIN_FREE"] = "0"  # else it would rightly begin nothing
    home.request(scenes=LONG, music="calm")
    script = f"""
    set -u
    mkdir -p "$CM_HOME" && mount -t tmpfs -o size=8m none "$CM_HOME"
    {sys.executable} -m cm_assets.cli make request.yaml --json > first.json 2> first.txt; echo $? > first.code
    find "$CM_HOME/artifacts" -type f > first.files
    mount -o remount,size=200m "$CM_HOME"
    {sys.executable} -m cm_assets.cli make request.yaml --json > second.json 2> second.txt; echo $? > second.code
    cp -r "$CM_HOME/outbox" outbox
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=home.folder,
        env=home.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert home.log("first.code").strip() == "1", home.log("first.txt")
    assert "the disk is full" in home.log("first.txt") + home.log("first.json")
    assert "/render/" not in home.log("first.files")
    assert home.log("second.code").strip() == "0", home.log("second.txt")
    status = json.loads(home.log("second.json"))
    assert status["state"] == "published"
    assert len(list((home.folder / "outbox").glob("*/*.mp4"))) == 1


@pytest.fixture
def footage(home: Home) -> Path:
    """A folder of clips that are not what their names say, and one that is."""
    folder = home.folder / "footage"
    folder.mkdir()
    ffmpeg = find()

    def made(name: str, *options: str, graph: str = "testsrc2=s=640x360:r=25:d=3") -> Path:
        ffmpeg.run(
            ["-f", "lavfi", "-i", graph, "-c:v", "libx264", "-preset", "ultrafast", *options, str(folder / name)]
        )
        return folder / name

    made("good sea.mp4")
    whole = made("truncated mountain.mp4", "-movflags", "+faststart").read_bytes()
    (folder / "truncated mountain.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "empty forest.mp4").write_bytes(b"")
    (folder / "playlist river.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    (folder / "concat river.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    made("tiny city.mp4", graph="testsrc2=s=2x2:r=25:d=3")
    ffmpeg.run(["-f", "lavfi", "-i", "sine=d=3", "-c:a", "aac", str(folder / "deaf train.mp4")])
    (folder / "not-a desert.jpg").write_bytes(b"\xff\xd8\xff" + b"\0" * 500)
    (folder / "etc moon.mp4").symlink_to("/etc/passwd")
    return folder


def test_hostile_clips_are_passed_over_and_the_right_video_is_made(home: Home, footage: Path) -> None:
    home.variables |= {"CM_FOOTAGE_FOLDER": str(footage)}
    subjects = ["sea", "mountain", "forest", "river", "city", "train", "desert", "moon"]
    scenes = [{"text": f"Look at the {name}.", "search_terms": [name]} for name in subjects]
    made = home.made(home.request(scenes=scenes))
    assert made["state"] == "published"
    clips = json.loads((home.path / "artifacts" / made["id"] / "background_clips.json").read_text())["clips"]
    assert [clip["credit"]["source"] for clip in clips] == ["folder"] + ["illustrated"] * 7
    assert "root:" not in "".join(path.read_text() for path in (home.path / "artifacts" / made["id"]).glob("*.json"))


def test_a_clip_that_must_be_shown_and_cannot_be_is_said(home: Home, footage: Path) -> None:
    home.variables |= {"CM_FOOTAGE_FOLDER": str(footage)}
    request = home.request(scenes=[{"text": "Look at it.", "clip": "truncated mountain.mp4"}])
    done = home.run("make", request)
    assert done.returncode == 1
    assert "truncated mountain.mp4" in " ".join(done.stderr.split())
    whole = footage / "good sea.mp4"
    shutil.copyfile(whole, footage / "truncated mountain.mp4")
    assert home.made(request)["state"] == "published"


def test_the_ui_and_the_engine_come_back_after_their_code_server_is_killed(home: Home) -> None:
    process = home.start("up", "--port", "0")
    assert until(lambda: "http://" in home.log(), 90), home.log()
    url = next(word for word in home.log().split() if word.startswith("http://"))
    for _ in range(2):
        server = next(one for one in home.processes() if "api" in one.cmdline() and "grpc" in one.cmdline())
        server.kill()
        query = {"query": "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"}

        def loaded(query: dict[str, str] = query, dead: int = server.pid) -> bool:
            try:
                answer = httpx.post(f"{url}/graphql", json=query, timeout=10).json()
            except httpx.HTTPError:
                return False
            alive = [one.pid for one in home.processes() if "grpc" in one.cmdline()]
            return bool(alive) and dead not in alive and answer["data"]["workspaceOrError"]["locationEntries"] != []

        assert until(loaded, 60, 0.5), home.log()
    assert Up(home, url).add("after-the-crash") == "AddDynamicPartitionSuccess"
    assert home.made(home.request(id="after-the-crash"))["state"] == "published"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert until(lambda: not home.processes(), 5)


def test_two_terminals_and_the_ui_make_one_video_one_after_the_other(up: Up) -> None:
    request = up.home.request("everybody.yaml", seed=11, id="everybody")
    terminals = [up.home.start("make", request, "--json", log=f"everybody-{number}.log") for number in range(2)]
    up.add("everybody")
    document: dict[str, Any] = SHORT | {"seed": 11, "id": "everybody"}
    launched = up.launch("produce_video", "everybody", {"ops": {"brief": {"config": {"request": document}}}})
    assert up.ended(launched, 180)["status"] == "SUCCESS"
    assert [terminal.wait(120) for terminal in terminals] == [0, 0], up.home.log("everybody-0.log")
    spans = up.home.dagster(
        "sorted([r.start_time, r.end_time] for r in instance.get_run_records("
        "dg.RunsFilter(tags={'dagster/partition': 'everybody'})) if r.start_time)"
    )
    assert len(spans) >= 2
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    posts = list((up.home.path / "outbox" / "everybody").glob("*.mp4"))
    assert len(posts) == 1


def test_a_topic_is_written_by_a_model_and_made(home: Home) -> None:
    with OpenAIServer() as server:
        home.variables |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-of-nobody", "CM_OPENAI_MODEL": "m"}
        made = home.made("why the sea is salty")
        assert made["state"] == "published"
        again = home.made("why the sea is salty")
        assert again["id"] == made["id"]
        assert len(server.requests) == 1
    everything = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    assert b"sk-of-nobody" not in everything


def test_a_cap_of_the_day_holds_up_what_it_caps_and_nothing_else(home: Home) -> None:
    with OpenAIServer() as server:
        home.variables |= {"OPENAI_BASE_URL": server.base_url, "CM_OPENAI_MODEL": "m", "CM_RATES": "openai=1/day"}
        process = home.start("up", "--port", "0")
        topics = [home.run("submit", f"why the sea is salty, part {number}").stdout.strip() for number in range(4)]

        def waiting() -> list[str]:
            states = [json.loads(home.run("status", one, "--json").stdout) for one in topics]
            return [one["id"] for one in states if "no call is left" in one["waiting_for"]]

        assert until(lambda: len(waiting()) == 3, 120, 0.5), home.run("list").stdout
        assert home.made(home.request())["state"] == "published"
        lucky = (set(topics) - set(waiting())).pop()
        assert home.run("watch", lucky, seconds=150).returncode == 0
        assert len(server.requests) == 1
        assert slots_taken(home) == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_long_wait_holds_no_run_and_no_place(home: Home) -> None:
    home.variables["CM_MAX_CONCURRENT_RUNS"] = "1"
    tomorrow = Fault(429, "You reached the limit of the day", "rate_limit_exceeded", {"Retry-After": "3600"})
    with OpenAIServer([tomorrow]) as server:
        home.variables |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-of-nobody", "CM_OPENAI_MODEL": "m"}
        process = home.start("up", "--port", "0")
        waits = home.run("submit", "why the sea is salty").stdout.strip()
        assert until(lambda: "script: " in home.run("status", waits, "--json").stdout, 90, 0.5), home.log()
        status = json.loads(home.run("status", waits, "--json").stdout)
        assert status["state"] == "queued"
        assert unfinished(home) == 0
        assert slots_taken(home) == 0
        assert home.made(home.request())["state"] == "published"
        assert json.loads(home.run("status", waits, "--json").stdout)["state"] == "queued"
        assert len(server.requests) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
