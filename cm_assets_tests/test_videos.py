"""The commands for videos that there are: submit, status, list, watch, cancel, retry, reprioritise, reindex."""

import json
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from cm_assets_tests.conftest import Home, called, until
from cm_assets_tests.test_make import LONG, ONCE, materializations, slots_taken, unfinished


def submitted(home: Home, *options: str, **changes: Any) -> str:
    done = home.run("submit", home.request(**changes), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def listed(home: Home, *options: str) -> list[dict[str, Any]]:
    done = home.run("list", "--json", *options)
    assert done.returncode == 0, done.stderr
    videos: list[dict[str, Any]] = json.loads(done.stdout)["videos"]
    return videos


def test_a_request_is_taken_in_once_and_waits_for_an_engine(home: Home) -> None:
    video = submitted(home, seed=1)
    assert submitted(home, seed=1) == video
    assert submitted(home, "--new", seed=1) != video
    status = home.told(video)
    assert (status["state"], status["waiting_for"]) == ("queued", "an engine: start one with cm up")
    assert not (home.path / "engine" / "engine.log").exists()
    assert {one["id"] for one in listed(home)} >= {video}


def test_bad_input_is_refused_as_make_refuses_it(home: Home) -> None:
    done = home.run("submit", home.request(speed=9), "--json")
    assert done.returncode == 2
    assert [error["field"] for error in json.loads(done.stdout)["errors"]] == ["speed"]
    assert listed(home) == []


@pytest.mark.parametrize("command", ["status", "watch", "cancel", "retry"])
def test_an_unknown_id_is_said_to_be_unknown(home: Home, command: str) -> None:
    done = home.run(command, "nobody")
    assert done.returncode == 2
    assert "nobody is unknown" in done.stderr
    assert json.loads(home.run(command, "nobody", "--json").stdout)["errors"][0]["field"] == "video"


def test_a_list_goes_on_where_a_page_ended_and_knows_its_states(home: Home) -> None:
    assert "no videos yet" in home.run("list").stderr
    videos = [submitted(home, seed=number) for number in range(3)]
    assert [one["id"] for one in listed(home)] == videos[::-1]
    assert [one["id"] for one in listed(home, "--limit", "2")] == videos[:0:-1]
    assert [one["id"] for one in listed(home, "--before", videos[1])] == [videos[0]]
    assert listed(home, "--failed") == []
    assert home.run("cancel", videos[1]).returncode == 0
    assert [one["id"] for one in listed(home, "--state", "cancelled")] == [videos[1]]
    assert [one["id"] for one in listed(home, "--state", "queued")] == [videos[2], videos[0]]
    done = home.run("list", "--state", "lost")
    assert done.returncode == 2
    assert "awaiting_review" in done.stderr
    shown = home.run("list").stdout
    assert all(video in shown for video in videos)


def test_a_video_that_waits_is_cancelled_and_asked_for_again(home: Home) -> None:
    video = submitted(home)
    assert "cancelled" in home.run("cancel", video).stderr
    assert home.told(video)["state"] == "cancelled"
    assert "was not in the making" in home.run("cancel", video).stderr
    assert "is asked for again" in home.run("retry", video).stderr
    assert home.told(video)["state"] == "queued"
    assert "has nothing to retry" in home.run("retry", video).stderr


def test_priorities_can_change_while_a_video_waits(home: Home) -> None:
    video = submitted(home)
    assert json.loads(home.run("reprioritise", video, "1", "--json").stdout)["priority"] == 1
    for wrong in ("0", "11", "high"):
        assert home.run("reprioritise", video, wrong).returncode == 2
    home.run("cancel", video)
    assert "does not wait any more" in home.run("reprioritise", video, "2").stderr
    assert home.told(video)["priority"] == 1


def test_status_and_list_are_answered_without_dagster() -> None:
    code = (
        "import sys\nfrom cm_assets.client import Client\nfrom cm_assets.settings import Settings\n"
        "import tempfile, pathlib\nclient = Client(Settings(home=pathlib.Path(tempfile.mkdtemp())))\n"
        "assert client.videos() == []\nassert 'dagster' not in sys.modules, 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.live
def test_the_backlog_runs_in_order_and_status_tells_the_truth(home: Home) -> None:
    home.variables["CM_MAX_CONCURRENT_RUNS"] = "1"
    last = [submitted(home, seed=number) for number in range(3)]
    first = submitted(home, seed=9, priority=1)
    assert home.run("reprioritise", last[2], "2").returncode == 0
    process = home.start("up", "--port", "0")
    assert home.run("watch", last[1], seconds=200).returncode == 0
    began = home.dagster(
        "[r.dagster_run.tags['dagster/partition'] for r in sorted(instance.get_run_records("
        "dg.RunsFilter(job_name='produce_video')), key=lambda r: r.start_time)]"
    )
    assert began == [first, last[2], last[0], last[1]]
    assert until(lambda: {one["state"] for one in listed(home)} == {"published"}, 60, 0.5)
    assert "is to be taken down on outbox" in home.run("take-down", first).stderr
    assert until(lambda: home.told(first)["state"] == "taken_down", 30, 0.5), home.told(first)
    assert not (home.path / "outbox" / first).exists()
    assert "outbox" not in home.told(first)["links"]
    again = home.run("take-down", first)
    assert again.returncode == 2
    assert "not posted" in again.stderr
    before = listed(home)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert "4 videos" in home.run("reindex").stderr
    assert listed(home) == before


@pytest.mark.live
def test_cancel_stops_the_work_and_retry_goes_on_from_there(home: Home) -> None:
    process = home.start("up", "--port", "0")
    video = submitted(home, scenes=LONG)
    assert until(lambda: home.told(video)["stages"][4]["share"] > 0, 90, 0.3)
    status = home.told(video)
    assert status["state"] == "producing"
    assert status["stages"][4]["state"] == "running"
    start = time.monotonic()
    assert home.run("cancel", video).returncode == 0
    assert time.monotonic() - start < 6
    assert not called("ffmpeg", home.processes())
    assert unfinished(home) == 0
    assert home.told(video)["state"] == "cancelled"
    assert home.run("retry", video).returncode == 0
    assert home.run("watch", video, seconds=150).returncode == 0
    assert materializations(home) == ONCE
    assert slots_taken(home) == 0
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
