"""Retention and the bound on the disk, as users meet them."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from cm_assets_tests.conftest import Home, until


def told(home: Home, video: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(home.run("status", video, "--json").stdout)
    return status


def media(home: Home, video: str) -> set[str]:
    keys = [Path(key).parts for key in home.artifacts() if not key.endswith(".json")]
    return {asset for whose, asset, *_ in keys if whose == video}


def test_what_must_stay_is_refused_with_the_reason(home: Home) -> None:
    video = home.run("submit", home.request()).stdout.strip()
    refused = home.run("retire", video, "--json")
    assert refused.returncode == 2
    assert f"cm cancel {video}" in json.loads(refused.stdout)["errors"][0]["message"]
    unknown = home.run("retire", video, "nobody")
    assert unknown.returncode == 2
    assert "nobody is unknown" in unknown.stderr
    assert home.run("cancel", video).returncode == 0
    retired = home.run("retire", video, "--json")
    assert retired.returncode == 0, retired.stderr
    assert [one["state"] for one in json.loads(retired.stdout)["videos"]] == ["retired"]
    shown = home.run("status", video).stdout
    assert "retired" in shown
    assert "on request" in shown
    again = home.run("submit", home.request())
    assert again.returncode == 2
    assert "--new makes another one" in again.stderr
    assert home.run("submit", home.request(), "--new").returncode == 0
    assert "it is retired" in home.run("retry", video).stderr


def test_a_full_disk_refuses_and_the_doctor_shows_what_takes_it(home: Home) -> None:
    first = home.run("submit", home.request())
    home.variables["CM_MAX_DISK"] = "10kB"
    doctor = home.run("doctor", "--json")
    assert doctor.returncode == 1
    said = next(one for one in json.loads(doctor.stdout)["findings"] if one["name"] == "disk")
    assert not said["fine"]
    assert "of CM_MAX_DISK=10.0 kB are taken: other" in said["said"]
    ballast = home.path / "ballast"
    ballast.write_bytes(b"x" * 3_000_000)
    refused = home.run("submit", home.request(seed=2))
    assert re.search(r": 3\.\d MB of", refused.stderr), refused.stderr
    assert refused.returncode == 1
    assert "raise CM_MAX_DISK" in refused.stderr
    assert home.run("submit", home.request()).stdout == first.stdout
    assert told(home, first.stdout.strip())["waiting_for"].startswith("disk space: ")
    # Room that was made by hand is seen although no engine runs.
    home.variables["CM_MAX_DISK"] = "2MB"
    assert home.run("submit", home.request(seed=2)).returncode == 1
    ballast.unlink()
    assert home.run("submit", home.request(seed=2)).returncode == 0
    home.variables["CM_MAX_DISK"] = "much"
    wrong = home.run("submit", home.request())
    assert wrong.returncode == 2
    assert "CM_MAX_DISK" in wrong.stderr


@pytest.mark.live
def test_results_expire_and_a_full_disk_holds_what_is_new(home: Home) -> None:
    first = home.made(home.request(seed=1))
    video = first["id"]
    assert {"audio", "background_clips", "render"} <= media(home, video)
    assert until(lambda: not home.processes(), 10)
    second = home.run("submit", home.request("second.yaml", seed=2)).stdout.strip()

    home.variables |= {"CM_KEEP_INTERMEDIATES_DAYS": "0", "CM_MAX_DISK": "100kB"}
    up = home.start("up", "--port", "0")
    assert until(lambda: media(home, video) == {"render"}, 90), home.log()
    home.request("inbox.yaml", seed=3).rename(home.path / "inbox" / "third.yaml")
    assert until(lambda: told(home, second)["waiting_for"].startswith("disk space: "), 90, 0.5), told(home, second)
    assert until(lambda: "third.yaml waits" in (home.path / "engine" / "engine.log").read_text(), 30)
    assert (home.path / "inbox" / "third.yaml").exists()
    assert home.run("submit", home.request(seed=4)).returncode == 1
    assert told(home, video) | {"waiting_for": ""} == first

    assert home.run("retire", video).returncode == 0
    assert told(home, video)["state"] == "retired"
    assert told(home, video)["links"] == {"outbox": first["links"]["outbox"]}
    assert list((home.path / "outbox" / video).glob("*.mp4"))
    assert media(home, video) == set()
    assert home.dagster("[len(instance.get_runs()), len(instance.get_dynamic_partitions('videos'))]") == [0, 0]
    up.send_signal(signal.SIGINT)
    assert up.wait(15) == 0

    del home.variables["CM_MAX_DISK"]
    done = home.run("make", home.folder / "second.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["id"] == second
    assert home.artifact(json.loads(done.stdout)["links"]["video"]).is_file()
