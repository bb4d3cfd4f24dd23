"""Homes whose artifacts are in a bucket and whose records are in Postgres: one host, and two.

What must hold of any home is tested where it is for those of files, and once more here, through the fixture `home`.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cm_assets_tests.conftest import Home
from cm_assets_tests.emulators.s3_proxy import S3Proxy
from cm_assets_tests.postgres import new_database
from cm_assets_tests.s3 import S3, SECRET
from cm_assets_tests.serving import serving
from cm_assets_tests.test_make import (
    test_a_request_becomes_a_video,  # noqa: F401
    test_after_a_kill_of_everything_the_next_make_resumes,  # noqa: F401
)
from cm_assets_tests.test_uploads import (
    test_a_video_of_ones_own_clip_and_voice,  # noqa: F401
    test_the_command_says_what_it_is_and_how_to_name_it,  # noqa: F401
)

pytestmark = pytest.mark.s3

MOST = {"PUT": 24, "GET": 0, "HEAD": 0, "LIST": 1}
"""Requests that a video with one illustrated scene may take on one host, until it waits for its review."""


@pytest.fixture
def home(home: Home, postgres: str, s3: S3) -> Home:
    home.variables |= s3.variables
    home.variables["CM_DATABASE_URL"] = new_database(postgres)
    home.variables["CM_ARTIFACTS_URL"] = f"s3://{s3.new_bucket()}/videos"
    return home


@pytest.fixture
def other(home: Home) -> Iterator[Home]:
    """Another host of the same videos."""
    folder = home.folder / "other"
    folder.mkdir()
    one = Home(folder, dict(home.variables))
    yield one
    one.kill_everything()


def test_what_one_host_made_another_one_shows_approves_and_posts(home: Home, other: Home, s3: S3) -> None:
    with S3Proxy(s3.endpoint) as proxy:
        home.variables["AWS_ENDPOINT_URL"] = proxy.address
        status = home.made(home.request(review="required", id="v"))
        assert status["state"] == "awaiting_review"
        print(f"requests of a video: {dict(proxy.counts)}")
        assert all(proxy.counts.get(kind, 0) <= most for kind, most in MOST.items()), proxy.requests
    with S3Proxy(s3.endpoint) as proxy, serving(other) as there:
        # What follows is done by hosts that have nothing of it but what lies in the bucket.
        whole = httpx.get(f"{there.url}/videos/v/video", timeout=60).raise_for_status()
        assert hashlib.sha256(whole.content).hexdigest() == status["render_sha256"]
        assert whole.headers["etag"] == f'"{status["render_sha256"]}"'
        part = httpx.get(f"{there.url}/videos/v/video", headers={"Range": "bytes=100-199"}, timeout=60)
        assert (part.status_code, part.content) == (206, whole.content[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
        known = {"If-None-Match": whole.headers["etag"]}
        assert httpx.get(f"{there.url}/videos/v/video", headers=known, timeout=60).status_code == 304
        assert httpx.get(f"{there.url}/videos/v/cover", timeout=60).content.startswith(b"\xff\xd8")
        assert httpx.get(f"{there.url}/videos/v/captions", timeout=60).text.startswith("WEBVTT")
        assert "Hello from a small robot" in httpx.get(f"{there.url}/review/v", timeout=60).text
        body = {"render_sha256": status["render_sha256"]}
        httpx.post(f"{there.url}/videos/v/approve", json=body, timeout=60).raise_for_status()
        assert there.reaches("v", "published")
    (posted,) = (other.path / "outbox" / "v").glob("*.mp4")
    assert posted.read_bytes() == whole.content
    assert home.told("v")["state"] == "published"
    assert not (home.path / "outbox" / "v").exists()
    for host in (home, other):
        assert not (host.path / "artifacts").exists()
        logs = [path.read_bytes() for end in ("log", "yaml") for path in host.folder.rglob(f"*.{end}")]
        assert logs
        assert not any(SECRET.encode() in one for one in logs)


def test_a_retired_video_leaves_nothing_in_the_bucket(home: Home) -> None:
    video = home.made(home.request())["id"]
    assert home.artifacts()
    done = home.run("retire", video)
    assert done.returncode == 0, done.stderr
    assert home.told(video)["state"] == "retired"
    assert home.artifacts() == []
    assert list((home.path / "outbox" / video).glob("*.mp4"))


def test_the_doctor_tries_the_store_and_says_what_is_wrong(home: Home) -> None:
    def said() -> str:
        return " ".join(home.run("doctor").stdout.split())

    assert f"ok artifacts {home.variables['CM_ARTIFACTS_URL']}" in said()
    assert home.artifacts() == []
    home.variables["AWS_SECRET_ACCESS_KEY"] = "wrong"
    assert "check AWS_SECRET_ACCESS_KEY" in said()
    home.variables["CM_ARTIFACTS_URL"] = "s3://key:secret@bucket/x"
    done = home.run("doctor")
    assert done.returncode == 2
    assert "CM_ARTIFACTS_URL: must be as in s3://bucket/folder" in " ".join(done.stderr.split())
    assert "secret@" not in done.stderr


def test_a_store_that_was_away_is_waited_for(home: Home, s3: S3, tmp_path: Path) -> None:
    from cm_assets_tests.emulators.s3_proxy import Loss

    # More than a request's own attempts: the step is tried again.
    away = [Loss("PUT", "/render/", status=503, times=7)]
    with S3Proxy(s3.endpoint, away) as proxy:
        home.variables["AWS_ENDPOINT_URL"] = proxy.address
        assert home.made(home.request())["state"] == "published"
        assert len([one for one in proxy.requests if "/render/" in one]) > 7
