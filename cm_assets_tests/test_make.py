"""`cm make` as people use it, and as it is killed."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cm_assets_tests.conftest import SHORT, Home, until

LONG = [{"text": f"Scene {n} tells a rather long story about the sea, and it goes on for a while."} for n in range(8)]


def test_a_request_becomes_a_video(home: Home, tmp_path: Path) -> None:
    body = {
        "scenes": [{"text": "Hello world", "searchTerms": ["technology"]}],
        "config": {"music": "chill", "voice": "af_heart"},
    }
    done = home.run("make", "-", "--output", "out.mp4", "--json", stdin=json.dumps(body))
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["state"] == "published"
    assert (tmp_path / "out.mp4").read_bytes() == home.artifact(status["links"]["video"]).read_bytes()
    assert "Hello world" in home.artifact(status["links"]["srt"]).read_text()
    assert home.artifact(status["links"]["cover"]).read_bytes().startswith(b"\xff\xd8")
    assert until(lambda: not home.processes(), 10)

    again = home.run("make", "-", stdin=json.dumps(body))
    assert again.returncode == 0
    assert status["links"]["video"] in again.stdout
    assert all(len(line) <= 200 for line in again.stdout.splitlines())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"voice": "nobody"}, "voice"),
        ({"music": "polka"}, "music"),
        ({"platforms": ["myspace"]}, "platforms"),
        ({"colour": "red"}, "colour"),
        ({"publish_at": "2020-01-01T00:00:00Z"}, "publish_at"),
        ({"id": "No Slug"}, "id"),
        ({"topic": "tides"}, "topic and scenes"),
        ({"scenes": []}, "scenes"),
    ],
)
def test_bad_input_names_the_field_and_spends_nothing(home: Home, change: dict[str, Any], field: str) -> None:
    done = home.run("make", home.request(**change))
    assert done.returncode == 2
    assert field in done.stderr
    assert done.stdout == ""
    assert not (home.path / "engine" / "engine.log").exists()


def test_bad_input_is_json_where_json_is_asked_for(home: Home) -> None:
    done = home.run("make", home.request(speed=9), "--json")
    assert done.returncode == 2
    assert [error["field"] for error in json.loads(done.stdout)["errors"]] == ["speed"]


def test_a_topic_without_a_model_says_the_three_ways_on(home: Home) -> None:
    done = home.run("make", "AI trends")
    assert done.returncode == 2
    assert all(way in done.stderr for way in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "scenes", "source_text"))


@pytest.mark.parametrize(
    "arguments", [["nowhere.yaml"], ["request.yaml", "--output", "x.avi"], ["request.yaml", "--output", "no/x.mp4"], []]
)
def test_wrong_arguments_are_bad_input(home: Home, arguments: list[str]) -> None:
    home.request()
    assert home.run("make", *arguments).returncode == 2


def test_a_setting_that_is_wrong_is_named(home: Home) -> None:
    home.variables["CM_MAX_CONCURRENT_RUNS"] = "many"
    done = home.run("make", home.request())
    assert done.returncode == 2
    assert "CM_MAX_CONCURRENT_RUNS" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("CM_VOICES", "hibari,parrot"), ("CM_FOOTAGE", "pixels")])
def test_a_setting_that_names_what_is_not_there_is_refused_before_anything(home: Home, name: str, value: str) -> None:
    home.variables[name] = value
    done = home.run("make", home.request(), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["errors"][0]["field"] == name
    assert home.run("doctor").returncode == 1
    assert not (home.path / "engine" / "engine.log").exists()


def test_a_home_that_cannot_be_written_is_said(home: Home) -> None:
    home.folder.joinpath("home").write_text("a file")
    done = home.run("make", home.request())
    assert done.returncode == 1
    assert str(home.path) in done.stderr
    assert "Traceback" not in done.stderr


SLOTS = (
    "sum(instance.event_log_storage.get_concurrency_info(pool.name).active_slot_count"
    " for pool in instance.event_log_storage.get_pool_limits())"
)
WORKER = (
    "[e.dagster_event.engine_event_data.metadata['pid'].value for r in instance.get_runs(limit=1)"
    " for e in instance.all_logs(r.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)"
    " if 'pid' in e.dagster_event.engine_event_data.metadata][0]"
)


def slots_taken(home: Home) -> int:
    return int(home.dagster(SLOTS))


def unfinished(home: Home) -> int:
    return int(home.dagster("len([r for r in instance.get_runs() if not r.is_finished])"))


def materializations(home: Home) -> dict[str, int]:
    """How often each stage was made."""
    counts = home.dagster(
        "[len(instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=dg.AssetKey(stage.split('/'))), limit=9)"
        f".records) for stage in {STAGES!r}]"
    )
    return dict(zip(STAGES, counts, strict=True))


STAGES = ("brief", "script", "audio", "background_clips", "render", "published_post/outbox")
ONCE = dict.fromkeys(STAGES, 1)


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_and_the_next_make_goes_on(home: Home, number: signal.Signals) -> None:
    request = home.request(scenes=LONG)
    process = home.start("make", request)
    assert until(lambda: "render: " in home.log(), 90), home.log()
    start = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == 130
    assert until(lambda: not home.processes(), 5 - (time.monotonic() - start))
    assert unfinished(home) == 0
    assert slots_taken(home) == 0
    assert home.made(request)["state"] == "published"
    assert materializations(home) == ONCE


@pytest.mark.live
def test_a_signal_stops_a_step_that_waits_for_its_pool(home: Home) -> None:
    request = home.request()
    process = home.start("make", request)
    assert until((home.path / "engine" / "ready").exists, 60)
    # Somebody else holds the only place to render.
    home.dagster("instance.event_log_storage.set_concurrency_slots('render', 0)")
    assert until(lambda: "background_clips: done" in home.log() and "audio: done" in home.log(), 90), home.log()
    time.sleep(2)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert until(lambda: not home.processes(), 5 - (time.monotonic() - start))
    assert unfinished(home) == 0
    assert home.made(request)["state"] == "published"


@pytest.mark.live
def test_after_a_kill_of_everything_the_next_make_resumes(home: Home) -> None:
    request = home.request(scenes=LONG)
    process = home.start("make", request)
    assert until(lambda: "render: " in home.log(), 90), home.log()
    home.kill_everything(process)
    assert slots_taken(home) > 0
    process = home.start("make", request, log="second.log")
    assert process.wait(150) == 0, home.log("second.log")
    assert slots_taken(home) == 0
    assert materializations(home) == ONCE
    assert list((home.path / "work").iterdir()) == []
    assert not [key for key in home.artifacts() if ".part" in key and not Path(key).name.startswith(".")]


@pytest.mark.live
def test_an_engine_that_nobody_needs_ends_by_itself(home: Home) -> None:
    process = home.start("make", home.request(scenes=LONG))
    assert until(lambda: "audio: " in home.log(), 90), home.log()
    process.kill()
    process.wait()
    assert until(lambda: not home.processes(), 10)
    assert unfinished(home) == 0


@pytest.mark.live
def test_a_worker_that_is_killed_costs_its_step_and_nothing_else(home: Home) -> None:
    process = home.start("make", home.request(scenes=LONG))
    assert until(lambda: "render: " in home.log(), 90), home.log()
    pid = home.dagster(WORKER)
    import psutil

    psutil.Process(int(pid)).kill()
    assert process.wait(150) == 0, home.log()
    assert materializations(home) == ONCE


@pytest.mark.live
def test_a_time_in_the_future_is_waited_for(home: Home) -> None:
    done = home.run("make", home.request(publish_at="2099-01-01T00:00:00Z"), "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["state"] == "scheduled"
    assert "2099" in status["waiting_for"]
    assert Path(status["links"]["video"]).is_file()
    assert "outbox" not in status["links"]


def test_the_doctor_finds_a_new_home_fit(home: Home) -> None:
    done = home.run("doctor")
    assert done.returncode == 0, done.stdout
    assert all(word in done.stdout for word in ("ffmpeg", "af_heart", "calm"))
    # Brackets are not markup, and long paths are not cut.
    home.variables["CM_KOKORO_MODEL"] = f"/nowhere/{'long/' * 20}[model].onnx"
    done = home.run("doctor")
    assert done.returncode == 1
    assert home.variables["CM_KOKORO_MODEL"] in "".join(done.stdout.split())
    del home.variables["CM_KOKORO_MODEL"]
    report = json.loads(home.run("doctor", "--json").stdout)
    assert report["ok"] is True
    home.variables["CM_FFMPEG"] = "/nowhere/ffmpeg"
    done = home.run("doctor")
    assert done.returncode == 1
    assert "CM_FFMPEG" in done.stdout


@pytest.mark.live
def test_hostile_text_makes_an_ordinary_video(home: Home) -> None:
    texts = [
        r"{\an8\fs200}Hi {\p1}m 0 0 l 9 9{\p0} \N \h",
        "100% 'quoted' \"text\" %s %(x)s ${HOME} `ls`; a:b\\c=d[e],f",
        "שלום עולם hello 🚀🎉 naïve",
        "x" * 9000,
    ]
    made = home.made(home.request(scenes=[{"text": text} for text in texts], post={"title": "<b>$(id)</b> ../x"}))
    assert made["state"] == "published"
    assert SHORT["music"] == "none"
