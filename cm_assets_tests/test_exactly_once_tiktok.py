"""One post, whatever happens: TikTok's client is killed everywhere, meets every fault, and is run twice."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm_assets.engines.platforms.tiktok import CAPS, CHUNK
from cm_assets.models.base import Failure, PermanentFailure
from cm_assets_tests.emulators.tiktok_server import Fault, TikTokServer, Upload
from cm_assets_tests.posting import ENDS, Attempt, Place, attempt, begin

pytestmark = [pytest.mark.exactly_once, pytest.mark.timeout(600)]

TWO = 2 * CHUNK + 5
"""Bytes of a video that goes in two chunks, the second of which takes what is left."""


@pytest.fixture(scope="module")
def server() -> Iterator[TikTokServer]:
    with TikTokServer(limited=False) as one:
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("places")


def opened(folder: Path, server: TikTokServer, *, size: int = 0, moderation: int = 0, mode: str = "direct") -> Place:
    """A new home with a connected account, and a server that has forgotten the last one."""
    server.uploads.clear()
    server.events.clear()
    server.on_event = lambda _index, _name: None
    server.moderation = moderation
    place = Place(folder, {"tiktok": server.url}, options={"tiktok_mode": mode})
    if size and not (folder / "1").exists():
        (folder / "1").mkdir()
        for name, end in ENDS.items():
            (folder / "1" / f"{name}.{end}").write_bytes(random.Random(size).randbytes(size if name == "video" else 9))
    for left in folder.glob("cm.sqlite*"):
        left.unlink()
    place.connect("tiktok", {"access_token": server.token(), "expires_at": 1e12})
    return place


def release(place: Place) -> None:
    """Let the time of a dead holder pass."""
    engine = sa.create_engine(place.url)
    with engine.begin() as connection:
        connection.execute(sa.text("update posts set held_until = 0"))
    engine.dispose()


def follow(place: Place, tries: int = 60) -> str:
    """Try again as the stages do, waits and all, until it is posted or refused for good."""
    for _ in range(tries):
        try:
            place.publish("tiktok")
        except PermanentFailure as failure:
            return str(failure)
        except Failure:
            continue
        return "posted"
    return "never"


def whole(server: TikTokServer, place: Place) -> Upload:
    """There is one post, it is the one that was sent, and it is in the ledger."""
    (upload,) = server.posts
    assert upload.digest.hexdigest() == place.draft().video.sha256
    entry = place.entry("tiktok")
    assert entry is not None
    assert entry.post is not None
    if place.options["tiktok_mode"] == "inbox":
        assert upload.info is None
        assert entry.post.post_id == upload.id
        assert "it is a draft" in entry.post.notes[0]
    else:
        assert entry.post.post_id == str(upload.post_id)
    return upload


@pytest.fixture(scope="module", params=["direct", "inbox"])
def mode(request: pytest.FixtureRequest) -> str:
    """Whether posts or drafts are made."""
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def events(server: TikTokServer, folder: Path, mode: str) -> list[str]:
    """What happens on the network from the beginning to the post, over two processes, when nothing goes wrong."""
    place = opened(folder, server, size=TWO, moderation=1, mode=mode)
    assert attempt(place, "tiktok").startswith("wait 5:")
    assert attempt(place, "tiktok") == "posted"
    whole(server, place)
    return list(server.events)


def test_what_is_recorded_is_a_whole_post(events: list[str], mode: str) -> None:
    asked = ["info"] if mode == "direct" else []  # nobody needs to know of the account what is chosen in the app
    steps = [f"{kind} processed" for kind in [*asked, "init", "upload", "upload", "status", "status", *asked]]
    assert [event for event in events if event.endswith("processed")] == steps
    assert {event.split()[1] for event in events} == {"head", "half", "read", "processed", "answered"}


def test_killed_at_every_event_of_the_network_it_is_posted_once(
    events: list[str], server: TikTokServer, folder: Path, mode: str
) -> None:
    for index, name in enumerate(events):
        place = opened(folder, server, size=TWO, moderation=1, mode=mode)
        alive: list[Attempt] = []

        def kill(at: int, _name: str, alive: list[Attempt] = alive, index: int = index) -> None:
            if at == index:
                alive[-1].kill()

        server.on_event = kill
        said = "wait"
        while said.startswith("wait"):
            alive.append(begin(place, "tiktok"))
            said = alive[-1].end()
        # Whoever has its last answer has nothing left to be killed at.
        assert said == "" or (said == "posted" and index == len(events) - 1), (index, name, said)
        server.on_event = lambda _index, _name: None
        release(place)
        assert follow(place) == "posted", (index, name)
        whole(server, place)


@pytest.mark.parametrize("module", ["platforms/tiktok.py", "storage/ledger.py"])
def test_killed_at_every_line_it_is_posted_once(module: str, server: TikTokServer, tmp_path: Path) -> None:
    place = opened(tmp_path, server)
    watched = begin(place, "tiktok", module=module)
    assert watched.end() == "posted"
    first = {line: number for number, line in reversed(list(enumerate(watched.lines, 1)))}
    assert len(first) > 30
    for line, number in first.items():
        place = opened(tmp_path, server)
        assert begin(place, "tiktok", die_at=number, module=module).end() == "", line
        assert len(server.posts) <= 1
        release(place)
        assert follow(place) == "posted", line
        whole(server, place)


def test_who_was_taken_for_dead_and_comes_back_makes_no_second_post(
    events: list[str], server: TikTokServer, folder: Path, mode: str
) -> None:
    for index, name in enumerate(events):
        if name.endswith("answered"):
            continue  # who has its answer goes on, and is not held up by what is told of it
        place = opened(folder, server, size=TWO, mode=mode)
        others: list[str] = []

        def another(at: int, _name: str, others: list[str] = others, index: int = index, place: Place = place) -> None:
            if at == index:
                server.on_event = lambda _index, _name: None
                release(place)
                others.append(attempt(place, "tiktok"))

        server.on_event = another
        attempt(place, "tiktok")
        assert follow(place) == "posted", (index, name)
        whole(server, place)
        if not others:
            assert index >= len(server.events), (index, name)  # without moderation it is over earlier


@pytest.mark.parametrize("turn", range(4))
def test_two_processes_at_once_make_one_post(turn: int, server: TikTokServer, folder: Path, tmp_path: Path) -> None:
    place = opened(folder, server, size=TWO) if turn % 2 else opened(tmp_path, server)
    both = [begin(place, "tiktok"), begin(place, "tiktok")]
    said = sorted(one.end() for one in both)
    assert said[0] == "posted"
    assert said[1] == "posted" or "another process is posting" in said[1]
    assert follow(place) == "posted"
    whole(server, place)
    assert len(server.uploads) == 1


def test_the_same_process_twice_finds_its_post_and_asks_tiktok_nothing(server: TikTokServer, tmp_path: Path) -> None:
    place = opened(tmp_path, server)
    assert attempt(place, "tiktok") == "posted"
    server.events.clear()
    first = place.publish("tiktok")
    assert place.publish("tiktok") == first
    assert attempt(place, "tiktok") == "posted"
    assert server.events == []
    whole(server, place)


ANY = st.sampled_from(["info", "init", "upload", "status", ""])
REASONS = ("spam_risk", "privacy_level_option_mismatch", "scope_not_authorized")
FAULTS = st.lists(
    st.one_of(
        st.builds(Fault, ANY, st.sampled_from([0, 500, 502, 503]), st.just("internal_error")),
        st.builds(Fault, ANY, st.just(429), st.just("rate_limit_exceeded")),
        st.builds(Fault, ANY, lost=st.just(True)),
        st.builds(Fault, ANY, cut=st.just(True)),
        st.builds(Fault, st.just("upload"), st.sampled_from([400, 403, 404, 410, 416])),
        st.builds(Fault, st.sampled_from(["info", "init", "status"]), st.just(200), st.just("internal")),
        st.builds(
            Fault,
            st.sampled_from(["info", "init", "status"]),
            st.sampled_from([200, 403]),
            st.sampled_from([*REASONS, *CAPS, "never_heard_of"]),
        ),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    faults=FAULTS,
    reasons=st.lists(st.sampled_from(["internal", "spam_risk_text", *CAPS]), max_size=2),
    ends=st.sets(st.integers(1, 12), max_size=3),
    counts=st.booleans(),
    lag=st.integers(0, 4),
    moderation=st.integers(0, 2),
    size=st.sampled_from([0, TWO]),
)
def test_whatever_goes_wrong_there_is_one_post_or_a_final_reason_for_none(
    faults: list[Fault],
    reasons: list[str],
    ends: set[int],
    counts: bool,
    lag: int,
    moderation: int,
    size: int,
    server: TikTokServer,
    folder: Path,
    tmp_path: Path,
) -> None:
    place = opened(folder if size else tmp_path, server, size=size, moderation=moderation)
    server.faults, server.reasons, server.counts, server.lag = list(faults), list(reasons), counts, lag
    refusals = []
    said = "never"
    try:
        for turn in range(150):
            if turn in ends:
                server.end_addresses()
            said = follow(place, tries=1)
            assert len(server.posts) <= 1
            if said == "posted":
                break
            if said != "never":
                refusals.append(said)  # and somebody says `cm retry`
    finally:
        server.faults, server.reasons, server.counts, server.lag = [], [], True, 0
    assert said == "posted"
    whole(server, place)
    assert [one for one in refusals if not any(reason in one for reason in REASONS)] == []
