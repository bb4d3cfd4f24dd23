"""One post, though two hosts are at it, with clocks of their own and one database."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cm_assets.storage.credentials import KEY_FILE
from cm_assets_tests import postgres as servers
from cm_assets_tests.emulators.youtube_server import YouTubeServer
from cm_assets_tests.posting import Place, attempt, begin

pytestmark = pytest.mark.postgres

HOUR = 3600.0


def two_hosts(folder: Path, postgres: str, server: YouTubeServer) -> tuple[Place, Place]:
    """Places with folders of their own, the same files and key in them, and one database."""
    here = Place(folder / "here", {"youtube": server.url}, servers.new_database(postgres))
    here.folder.mkdir()
    here.connect("youtube", server.connected())
    there = replace(here, folder=folder / "there")
    there.folder.mkdir()
    shutil.copy(here.folder / KEY_FILE, there.folder)
    there.files()
    return here, there


def is_whole(server: YouTubeServer, place: Place) -> None:
    (video,) = server.videos.values()
    assert video.sha256 == place.draft().video.sha256
    entry = place.entry("youtube")
    assert entry is not None
    assert entry.post is not None
    assert entry.post.post_id == video.id


@pytest.mark.parametrize("ahead", [0.0, HOUR, -HOUR])
def test_two_hosts_at_once_make_one_post(ahead: float, postgres: str, tmp_path: Path) -> None:
    with YouTubeServer() as server:
        here, there = two_hosts(tmp_path, postgres, server)
        said = sorted(one.end() for one in (begin(here, "youtube"), begin(there, "youtube", clock=ahead)))
        assert said[0] == "posted"
        assert said[1] == "posted" or "another process is posting" in said[1]
        assert server.opened == 1
        assert attempt(there, "youtube") == "posted"
        is_whole(server, here)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_host_whose_clock_is_wrong_does_not_take_what_another_one_holds(
    ahead: float, postgres: str, tmp_path: Path
) -> None:
    with YouTubeServer() as server:
        here, there = two_hosts(tmp_path, postgres, server)
        others: list[str] = []

        def look(_index: int, name: str) -> None:
            if name == "put: half of the body" and not others:
                others.append(begin(there, "youtube", clock=ahead).end())

        server.on_event = look
        assert attempt(here, "youtube") == "posted"
        assert "another process is posting" in others[0]
        is_whole(server, here)


def test_what_a_host_left_when_it_died_another_one_finishes(postgres: str, tmp_path: Path) -> None:
    with YouTubeServer() as server:
        here, there = two_hosts(tmp_path, postgres, server)
        first = begin(here, "youtube")

        def kill(_index: int, name: str) -> None:
            if name == "put: half of the body":
                server.on_event = lambda _index, _name: None
                first.kill()

        server.on_event = kill
        assert first.end() == ""
        said = attempt(there, "youtube")
        assert "another process is posting" in said  # for as long as it may be alive
        import psycopg

        with psycopg.connect(here.server) as connection:
            connection.execute("update posts set held_until = 0")
        assert attempt(there, "youtube") == "posted"
        assert server.opened == 1
        is_whole(server, there)
