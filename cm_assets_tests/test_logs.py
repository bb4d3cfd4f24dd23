"""Logs that a machine reads: a real video, and every line of every process of its home."""

import json
import logging
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cm_assets import logs
from cm_assets.settings import Settings
from cm_assets_tests.conftest import SHORT, Home, until
from cm_assets_tests.emulators.openai_server import Fault, OpenAIServer

FIELDS = {"timestamp", "level", "logger", "event"}

STORY = [f"{stage} {what}" for stage in ("brief", "script", "render") for what in ("begins", "is done")]


def lines(home: Home) -> dict[str, list[dict[str, Any]]]:
    """The lines of each log of a home's engine; each is an object with the fields that all have."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((home.path / "engine").glob("*.log")):
        for line in path.read_text().splitlines():
            said = json.loads(line)
            assert said.keys() >= FIELDS, line
            when = datetime.fromisoformat(said["timestamp"])
            assert when.utcoffset() is not None, line
            assert said["timestamp"].endswith("Z"), line
            found.setdefault(path.name, []).append(said)
    return found


@pytest.mark.live
def test_every_line_is_an_object_and_those_of_a_video_tell_its_story(home: Home) -> None:
    home.variables["CM_LOG_FORMAT"] = "json"
    process = home.start("up", "--port", "0", "--web-port", "0")
    assert until(lambda: "the board" in home.log(), 180), home.log()
    (board,) = [line.split()[0] for line in home.log().splitlines() if line.endswith("the board")]
    assert httpx.post(f"{board}/videos", json=SHORT | {"id": "sea"}).status_code == 202
    assert httpx.get(f"{board}/videos/nobody?token=of-somebody").status_code == 404
    (home.path / "inbox" / "other.yaml").write_text(json.dumps(SHORT | {"id": "other", "seed": 3}))
    assert until(lambda: home.told("sea")["state"] == "published", 300, 0.5)
    assert until(lambda: home.told("other")["state"] == "published", 300, 0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    found = lines(home)
    assert {"engine.log", "daemon.log", "web.log"} <= set(found)
    everything = [line for each in found.values() for line in each]
    of_sea = [line for line in everything if line.get("video") == "sea"]
    assert not [line for line in everything if "sea" in line["event"].split() and line not in of_sea]
    told = [line["event"] for line in of_sea if line["logger"] == "cm_assets.stage"]
    assert [event for event in told if event in STORY] == STORY
    ends = [line for line in of_sea if line.get("ended") == "done"]
    assert {line["stage"] for line in ends} >= {
        "script",
        "audio",
        "background_clips",
        "render",
        "published_post/outbox",
    }
    assert all(line["seconds"] >= 0 and line["run"] for line in ends)
    assert "of-somebody" not in json.dumps(everything)
    assert not [line for line in everything if line["event"].startswith(("Checking for new runs", "Collected "))]
    # What Dagster says of the run has the same form, and names the same.
    assert any(line["logger"] == "cm_assets.intake" and line["event"].startswith("produce_video") for line in of_sea)
    assert any(line.get("video") == "other" and line["logger"] == "cm_assets.inbox" for line in everything)
    assert all(json.loads(line) for line in home.log().splitlines() if line.startswith("{"))


@pytest.mark.live
def test_a_failure_names_its_video_its_stage_and_its_class(home: Home) -> None:
    home.variables["CM_LOG_FORMAT"] = "json"
    with OpenAIServer([Fault(401, "Incorrect API key provided", "invalid_api_key")]) as server:
        home.variables |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-of-nobody", "CM_OPENAI_MODEL": "m"}
        (home.folder / "topic.yaml").write_text("id: sea\ntopic: why the sea is salty\n")
        done = home.run("make", home.folder / "topic.yaml", seconds=300)
    assert done.returncode == 1
    found = [line for each in lines(home).values() for line in each]
    failed = [line for line in found if line.get("ended") not in {None, "done"}]
    assert failed
    assert {line["video"] for line in failed} == {"sea"}
    assert failed[0]["level"] == "warning"
    assert failed[0]["ended"] == "permanent"
    assert failed[0]["stage"] == "script"
    assert "sk-of-nobody" not in json.dumps(found)
    # Dagster's own word for it, with the run and the step that it is about.
    theirs = [line for line in found if line["logger"] == "dagster" and line["level"] == "error"]
    assert theirs
    assert all(line["video"] == "sea" and line["run"] for line in theirs)


def test_an_exception_is_a_field_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.Logger("cm_assets.test")
    log.addHandler(logs.handler("json"))
    with logs.about(video="sea", stage=""):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            log.exception("went wrong with %s", "it")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said["event"] == "went wrong with it"
    assert said["video"] == "sea"
    assert "stage" not in said
    assert "ValueError: two\nlines" in said["exception"]


def test_text_is_short_and_names_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.Logger("cm_assets.stage")
    log.addHandler(logs.handler("text"))
    with logs.about(video="why-the-sea"):
        log.info("render is done", extra={"seconds": 12.345})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("[info] render is done [stage] seconds=12.345 video=why-the-sea")
    assert len(line) <= 100


def test_what_nobody_caught_is_an_object_too(tmp_path: Path) -> None:
    code = (
        "import threading, warnings\nfrom cm_assets import logs\nlogs.configure('json')\n"
        "warnings.warn('old')\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\n"
        "raise RuntimeError('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in said] == ["warning", "error", "critical"]
    assert "ZeroDivisionError" in said[1]["exception"]


def test_there_are_two_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_LOG_FORMAT", "xml")
    with pytest.raises(ValueError, match="log_format"):
        Settings()
