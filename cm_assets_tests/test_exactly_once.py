"""One post, whatever happens: YouTube's client is killed everywhere, meets every fault, and is run twice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cm_assets.engines.platforms.youtube import EXTRA_TRIES, FINAL, FORGOTTEN, LOOKS
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.post import Post
from cm_assets_tests.emulators.youtube_server import Fault, Video, YouTubeServer
from cm_assets_tests.posting import Attempt, Place, attempt, begin

pytestmark = pytest.mark.exactly_once


def place_with(folder: Path, server: YouTubeServer) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder, {"youtube": server.url})
    place.connect("youtube", server.connected())
    return place


def follow(place: Place, tries: int = 12) -> str:
    """Try again as the stages do, waits and all, until it is posted or refused for good."""
    for _ in range(tries):
        try:
            place.publish("youtube")
        except (AskedToWait, TransientFailure):
            continue
        except PermanentFailure as failure:
            return str(failure)
        return "posted"
    return "never"


def whole(server: YouTubeServer, place: Place) -> None:
    """There is one video, it is the one that was sent, and all that belongs to it is there."""
    (video,) = server.videos.values()
    assert video.sha256 == place.draft().video.sha256
    assert len(video.captions) == 1
    assert video.cover
    entry = place.entry("youtube")
    assert entry is not None
    assert entry.post is not None
    assert entry.post.post_id == video.id


def events_of_a_post(folder: Path) -> list[str]:
    with YouTubeServer() as server:
        place = place_with(folder, server)
        assert attempt(place, "youtube") == "posted"
        return server.events


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return events_of_a_post(tmp_path_factory.mktemp("recorded"))


def test_what_is_recorded_is_a_whole_upload(events: list[str]) -> None:
    steps = ("open: head", "open: processed", "put: head", "put: half of the body", "put: processed", "put: answered")
    assert [event for event in events if event in steps] == list(steps)
    assert {"captions: answered", "cover: answered"} <= set(events)


def kill_at(server: YouTubeServer, place: Place, index: int, last: int) -> None:
    """Post in a process that is killed at an event of the network."""
    begun: list[Attempt] = []
    came = threading.Event()

    def kill(at: int, _name: str) -> None:
        if at == index:
            came.wait()
            begun[0].kill()

    server.on_event = kill
    begun.append(begin(place, "youtube"))
    came.set()
    said = begun[0].end()
    # Whoever has its last answer has nothing left to be killed at.
    assert said == "" or (said == "posted" and index == last), (index, said)
    server.on_event = lambda _index, _name: None


def test_killed_at_every_event_of_the_network_it_is_posted_once(events: list[str], tmp_path: Path) -> None:
    for index, name in enumerate(events):
        with YouTubeServer() as server:
            place = place_with(tmp_path / str(index), server)
            kill_at(server, place, index, len(events) - 1)
            assert follow_lease(place) == "posted", name
            whole(server, place)
            assert attempt(place, "youtube") == "posted", name
            whole(server, place)


def test_killed_at_every_event_of_the_network_it_can_be_taken_down(events: list[str], tmp_path: Path) -> None:
    """Whoever cancels in the middle of a post has it removed, though nobody here has heard of it yet."""
    begun = 0
    for index, name in enumerate(events):
        with YouTubeServer() as server:
            place = place_with(tmp_path / str(index), server)
            kill_at(server, place, index, len(events) - 1)
            release(place)
            for _ in range(LOOKS):
                with suppress(AskedToWait):
                    begun += place.take_down("youtube") is not None
                    break
            else:
                raise AssertionError(name)
            assert not server.videos, name
            entry = place.entry("youtube")
            assert entry is None or not entry.session, name
    assert 0 < begun < len(events)


def follow_lease(place: Place) -> str:
    """Go on where somebody died: at once, since its row is taken from the dead by hand."""
    release(place)
    return attempt(place, "youtube")


def release(place: Place) -> None:
    """Let the time of a dead holder pass."""
    import sqlalchemy as sa

    engine = sa.create_engine(place.url)
    with engine.begin() as connection:
        connection.execute(sa.text("update posts set held_until = 0"))
    engine.dispose()


@pytest.mark.parametrize("module", ["platforms/youtube.py", "storage/ledger.py"])
def test_killed_at_every_line_it_is_posted_once(module: str, tmp_path: Path) -> None:
    with YouTubeServer() as server:
        place = place_with(tmp_path / "all", server)
        watched = begin(place, "youtube", module=module)
        assert watched.end() == "posted"
    lines = watched.lines
    assert len(set(lines)) > 30
    # Each line when it is executed for the first and for the last time.
    chosen = {lines.index(line) for line in lines} | {len(lines) - 1 - lines[::-1].index(line) for line in lines}
    for line in sorted(one + 1 for one in chosen):
        with YouTubeServer() as server:
            place = place_with(tmp_path / str(line), server)
            assert begin(place, "youtube", die_at=line, module=module).end() == "", line
            assert len(server.videos) <= 1
            assert follow_lease(place) == "posted", line
            whole(server, place)


FAULTS = st.one_of(
    st.builds(
        Fault,
        on=st.sampled_from(["open", "put", "state", "captions", "cover", "list"]),
        status=st.sampled_from([500, 502, 503]),
    ),
    st.builds(
        Fault,
        on=st.sampled_from(["open", "put", "state", "captions", "cover"]),
        status=st.just(429),
        reason=st.just("rateLimitExceeded"),
        headers=st.just({"Retry-After": "3"}),
    ),
    st.builds(
        Fault, on=st.just("open"), status=st.just(403), reason=st.sampled_from(["quotaExceeded", "rateLimitExceeded"])
    ),
    st.builds(Fault, on=st.just("put"), cut=st.floats(0, 0.99), gone=st.booleans()),
    *[
        st.builds(Fault, on=st.just(extra), status=st.sampled_from([429, 500, 503]), reason=st.just("neverHeardOf"))
        | st.builds(Fault, on=st.just(extra), cut=st.floats(0, 0.99))
        for extra in ("captions", "cover")
    ],
    st.builds(Fault, on=st.sampled_from(["open", "put", "captions", "cover"]), lost=st.just(True)),
    st.builds(Fault, on=st.just("put"), lost=st.just(True), gone=st.just(True), unlisted=st.integers(0, 2 * LOOKS)),
    st.builds(Fault, on=st.just("state"), empty=st.just(True)),
    st.builds(Fault, on=st.just("state"), gone=st.just(True)),
    st.builds(Fault, on=st.just("open"), status=st.just(400), reason=st.sampled_from(sorted(FINAL))),
)


@pytest.fixture
def numbered(tmp_path: Path) -> Iterator[Path]:
    def folders() -> Iterator[Path]:
        number = 0
        while True:
            number += 1
            yield tmp_path / str(number)

    return folders()


def says_what_was_not_taken(post: Post, video: Video, faults: list[Fault]) -> None:
    """What is not there is noted, and nothing is that met no more than passing faults."""
    there = {"captions": bool(video.captions), "cover": bool(video.cover)}
    noted = [note.partition(":")[0] for note in post.notes]
    assert len(noted) == len(set(noted))
    for name, taken in there.items():
        assert taken or name in noted
        met = [fault for fault in faults if fault.on == name]
        if name in noted:
            assert len(met) >= EXTRA_TRIES, "it was given up too early"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(FAULTS, max_size=8))
@example(faults=[Fault("cover", status=500)] * 3 + [Fault("captions", cut=0.5)] * 3)
@example(faults=[Fault("put", lost=True, gone=True, unlisted=3), Fault("captions", status=500)])
@example(faults=[Fault("captions", status=429, headers={"Retry-After": "3"})])
def test_whatever_the_faults_there_is_one_post_or_a_final_error(faults: list[Fault], numbered: Iterator[Path]) -> None:
    with YouTubeServer(faults) as server:
        place = place_with(next(numbered), server)
        said = follow(place, tries=30)
        assert said != "never"
        if said == "posted":
            (video,) = server.videos.values()
            assert video.sha256 == place.draft().video.sha256
            post = place.publish("youtube")
            assert post.post_id == video.id
            says_what_was_not_taken(post, video, faults)
        else:
            assert any(f"({reason})" in said for reason in FINAL) or said == FORGOTTEN, said
            assert not server.videos or said == FORGOTTEN
        assert len(server.videos) <= 1


def test_two_processes_at_once_make_one_post(tmp_path: Path) -> None:
    for number in range(5):
        with YouTubeServer() as server:
            place = place_with(tmp_path / str(number), server)
            ends = [one.end() for one in [begin(place, "youtube") for _ in range(4)]]
            assert "posted" in ends
            assert all(end == "posted" or end.startswith("wait") for end in ends)
            assert attempt(place, "youtube") == "posted"
            whole(server, place)
            assert server.opened == 1


def test_one_who_was_taken_for_dead_and_comes_back_makes_no_second_post(tmp_path: Path) -> None:
    """Stopped at every event while another takes over and finishes; then it goes on."""
    names = events_of_a_post(tmp_path / "recorded")
    last = max(index for index, name in enumerate(names) if name.startswith(("open", "put")))
    for index in range(last + 1):
        with YouTubeServer() as server:
            place = place_with(tmp_path / str(index), server)
            slow = begin(place, "youtube")

            def stop(at: int, _name: str, *, slow=slow, index=index) -> None:  # type: ignore[no-untyped-def]
                if at == index:
                    os.kill(slow.pid, signal.SIGSTOP)

            server.on_event = stop
            wait_until_stopped(slow.pid)
            release_from_the_stopped(place, slow.pid)
            said = attempt(place, "youtube")
            os.kill(slow.pid, signal.SIGCONT)
            slow.end()
            if said != "posted":
                release(place)
                assert attempt(place, "youtube") == "posted", names[index]
            assert len(server.videos) == 1, names[index]
            (video,) = server.videos.values()
            assert video.sha256 == place.draft().video.sha256


def release_from_the_stopped(place: Place, pid: int) -> None:
    """Let the time of a holder pass who stands still. One who was stopped in the middle of a write goes on first."""
    from sqlalchemy.exc import OperationalError

    while True:
        try:
            release(place)
        except OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.002)
            os.kill(pid, signal.SIGSTOP)
            wait_until_stopped(pid)
        else:
            return


def wait_until_stopped(pid: int) -> None:
    while psutil.Process(pid).status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}:
        time.sleep(0.01)
