"""`cm calendar` as people use it, and an entry under `cm up`."""

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cm_assets_tests.conftest import SHORT, Home, until

ENTRY: dict[str, Any] = {"name": "fact", "cron": "0 7 * * *", "start": "2026-01-01", "request": SHORT}


def write(home: Home, *entries: dict[str, Any], text: str | None = None) -> Path:
    home.path.mkdir(exist_ok=True)
    file = home.path / "calendar.yaml"
    file.write_text(json.dumps({"entries": entries}) if text is None else text)
    return file


def test_what_is_due_and_what_was_the_last(home: Home) -> None:
    write(home, ENTRY, ENTRY | {"name": "over", "end": "2026-01-02"})
    shown = home.run("calendar", "--days", "10")
    assert shown.returncode == 0, shown.stderr
    assert "and 7 more" in shown.stdout
    assert "nothing" in shown.stdout
    done = home.run("calendar", "--backfill", "fact", "--from", "2026-01-01", "--to", "2026-01-03", "--json")
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["dates"], json.loads(done.stdout)["new"]) == (3, 3)
    again = home.run("calendar", "--backfill", "fact", "--from", "2026-01-03", "--to", "2026-01-04")
    assert again.returncode == 0
    assert "2 dates, 1 of them new" in again.stderr
    fact, over = json.loads(home.run("calendar", "--days", "10", "--json").stdout)["entries"]
    assert (len(fact["next"]), over["next"]) == (10, [])
    assert (fact["last"], fact["last_video"]) == ("2026-01-04T07:00:00Z", again.stdout.strip())
    assert over["last"] is None


def test_no_calendar_is_none_and_no_error(home: Home) -> None:
    assert home.run("calendar").returncode == 0
    assert home.run("doctor").returncode == 0


def test_what_is_wrong_is_named_by_calendar_and_doctor(home: Home) -> None:
    write(home, ENTRY, ENTRY | {"name": "bad", "cron": "0 7 30 2 *"}, ENTRY | {"name": "odd", "request": {"a": "b"}})
    shown = home.run("calendar", "--json")
    assert shown.returncode == 2
    found = json.loads(shown.stdout)
    assert [one["name"] for one in found["entries"]] == ["fact", "odd"]
    assert "bad.cron: " in shown.stderr
    assert "odd.request.a: " in shown.stderr
    doctor = home.run("doctor", "--json")
    assert doctor.returncode == 1
    (wrong,) = [one for one in json.loads(doctor.stdout)["findings"] if not one["fine"]]
    assert wrong["name"] == "calendar"
    assert "bad.cron: " in wrong["said"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backfill", "nobody", "--from", "2026-01-01", "--to", "2026-01-02"], "--backfill: 'nobody' is no entry"),
        (["--backfill", "fact", "--from", "2026-01-01"], "--to: nothing is no day"),
        (["--backfill", "fact", "--from", "yesterday", "--to", "2026-01-01"], "--from: yesterday is no day"),
        (["--backfill", "fact", "--from", "2026-01-02", "--to", "2026-01-01"], "--from: 2026-01-02 is after"),
        (["--backfill", "fact", "--from", "2026-01-02", "--to", "2999-01-01"], "--to: 2999-01-01 is to come"),
        (["--from", "2026-01-01"], "--backfill: is missing"),
        (["--days", "0"], "--days"),
    ],
)
def test_bad_input_is_named(home: Home, arguments: list[str], said: str) -> None:
    write(home, ENTRY)
    done = home.run("calendar", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert json.loads(home.run("list", "--json").stdout)["videos"] == []


def test_a_broken_file_is_said(home: Home) -> None:
    write(home, text="entries: [")
    done = home.run("calendar", "--backfill", "fact", "--from", "2026-01-01", "--to", "2026-01-01")
    assert done.returncode == 2
    assert "calendar: is not valid YAML" in done.stderr
    assert home.run("calendar").returncode == 2


def test_another_place(home: Home) -> None:
    home.variables["CM_CALENDAR"] = "plan.yaml"
    (home.folder / "plan.yaml").write_text(json.dumps({"entries": [ENTRY]}))
    found = json.loads(home.run("calendar", "--json").stdout)
    assert (found["file"], len(found["entries"])) == (str(home.folder / "plan.yaml"), 1)


def test_the_example_is_a_calendar_without_a_fault(home: Home) -> None:
    home.variables["CM_CALENDAR"] = str(Path(__file__).parents[1] / "examples" / "calendar.yaml")
    done = home.run("calendar", "--json", "--days", "366")
    assert done.returncode == 0, done.stderr
    fact, season = json.loads(done.stdout)["entries"]
    assert len(fact["next"]) == 100
    assert season["name"] == "season"


@pytest.mark.live
def test_an_entry_under_cm_up_makes_its_video_once_and_a_restart_does_not_repeat_it(home: Home) -> None:
    def soon(name: str, seconds: float) -> dict[str, Any]:
        # The start lies in the past, so that a machine that is slow to read the file misses nothing.
        now = datetime.now(UTC)
        date, start = now + timedelta(seconds=seconds), now - timedelta(minutes=1)
        times = {"dates": [date.isoformat(timespec="seconds")], "start": start.isoformat()}
        return {"name": name, "missed": "catch_up", "request": SHORT} | times

    def videos() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(home.run("list", "--json").stdout)["videos"]
        return found

    def up(log: str) -> subprocess.Popen[bytes]:
        process = home.start("up", "--port", "0", log=log)
        assert until(lambda: "http://" in home.log(log), 90), home.log(log)
        return process

    process = up("first.log")
    first = soon("first", 4)
    file = write(home, first)
    assert until(lambda: [one["state"] for one in videos()] == ["published"], 150, 0.5), videos()
    process.send_signal(signal.SIGKILL)
    home.kill_everything(process)

    process = up("second.log")
    write(home, first, soon("second", 1))
    long_ago = time.time() - 60
    os.utime(file, (long_ago, long_ago))
    assert until(lambda: len(videos()) > 1, 60, 0.5)
    process.send_signal(signal.SIGINT)
    process.wait(15)
    assert len(videos()) == 2
