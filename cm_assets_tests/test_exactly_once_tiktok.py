"""Whatever happens to whoever posts on TikTok, and wherever: in the end there is one post."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

import alembic.command  # noqa: F401 - what the children need is loaded once, before they are forked
import cryptography.fernet  # noqa: F401
import httpx  # noqa: F401
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm_assets.engines.platforms import tiktok
from cm_assets.engines.platforms.tiktok import CHUNK, TikTok
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, TransientFailure
from cm_assets.models.post import Post
from cm_assets.storage import ledger, tables
from cm_assets.storage.database import Database
from cm_assets.storage.ledger import PostLedger
from cm_assets_tests.emulators.tiktok_server import Fault, TikTokServer
from cm_assets_tests.engines.test_tiktok import a_draft

pytestmark = [pytest.mark.exactly_once, pytest.mark.timeout(600)]

SMALL, TWO = 40_000, 2 * CHUNK + 5
POSTED, REFUSED, TIRED = 0, 3, 4
"""How a process ends that was not killed."""

WATCHED = frozenset(map(str, (tiktok.__file__, ledger.__file__)))

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["__main__", __name__])


@dataclass(frozen=True)
class Task:
    """What a process does: it posts a video, as often as it is asked to wait.

    Attributes:
        killed_at: a line before whose first execution it is killed.
        lines: a file into which it writes the lines that it executed.
    """

    database: str
    server: str
    token: str
    video: Path
    killed_at: tuple[str, int] | None = None
    lines: Path | None = None


def work(task: Task) -> None:
    """The life of a process that posts."""
    seen: dict[tuple[str, int], None] = {}

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            line = frame.f_code.co_filename, frame.f_lineno
            if line == task.killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            seen[line] = None
        return trace

    database = Database(task.database)
    platform = TikTok(PostLedger(database), lambda _account, _renewed: task.token, api=task.server)
    if task.killed_at or task.lines:
        sys.settrace(trace)
    code = _posted(platform, task.video)
    sys.settrace(None)
    if task.lines:
        task.lines.write_text(json.dumps(list(seen)))
    os._exit(code)


def _posted(platform: TikTok, video: Path) -> int:
    for _ in range(200):
        try:
            platform.publish(a_draft(), {"video": video}, lambda _share: None)
        except AskedToWait as asked:
            time.sleep(0.05 if "another process" in str(asked) else 0)
        except TransientFailure:
            continue
        except PermanentFailure as failure:
            print(failure, file=sys.stderr)
            return REFUSED
        else:
            return POSTED
    return TIRED


class Theatre:
    """A server, a database and a video, made anew for each play."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blank = folder / "blank.sqlite"
        database = Database(f"sqlite:///{self.blank}")
        database.get("nothing")
        database.dispose()
        self.path = folder / "cm.sqlite"
        self.video = folder / "video.mp4"
        self.server = TikTokServer(limited=False, moderation=1, id_after=1)
        self.processes: list[Any] = []

    def reset(self, size: int) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        shutil.copy(self.blank, self.path)
        if not self.video.exists() or self.video.stat().st_size != size:
            self.video.write_bytes(os.urandom(1 << 10) * (size >> 10) + b"\0" * (size & 1023))
        self.server.uploads.clear()
        self.server.events.clear()
        self.server.on_event = lambda _index, _name: None

    def start(self, **changes: Any) -> Any:
        task = Task(f"sqlite:///{self.path}", self.server.url, self.server.token(), self.video, **changes)
        process = FORK.Process(target=work, args=(task,))
        process.start()
        self.processes.append(process)
        return process

    def ended(self, process: Any) -> int:
        process.join(60)
        assert process.exitcode is not None, "it hangs"
        code = int(process.exitcode)
        process.close()
        self.processes.remove(process)
        return code

    def run(self, **changes: Any) -> int:
        return self.ended(self.start(**changes))

    def lease_ends(self) -> None:
        """As much time passes as a dead process's hold on the row lasts."""
        engine = sa.create_engine(f"sqlite:///{self.path}")
        with engine.begin() as connection:
            connection.execute(tables.posts.update().values(held_until=0))
        engine.dispose()

    def count(self) -> int:
        return len(self.server.posts)

    def noted(self) -> Post:
        database = Database(f"sqlite:///{self.path}")
        entry = PostLedger(database).entry("v1", "tiktok")
        database.dispose()
        assert entry is not None
        assert entry.post is not None
        return entry.post

    def events(self, size: int) -> list[str]:
        """What happens on the network when nothing goes wrong."""
        self.reset(size)
        assert self.run() == POSTED
        return list(self.server.events)


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    one = Theatre(tmp_path_factory.mktemp("theatre"))
    with one.server:
        yield one
        for process in one.processes:
            process.kill()


def test_a_process_killed_at_any_event_on_the_network_leaves_one_post_to_the_next(theatre: Theatre) -> None:
    events = theatre.events(TWO)
    assert {name.split()[0] for name in events} == {"info", "init", "upload", "status"}
    assert events.count("upload processed") == 2
    for number, name in enumerate(events):
        theatre.reset(TWO)
        killed: list[Any] = []

        def kill(index: int, _name: str, number: int = number, killed: list[Any] = killed) -> None:
            if index == number:
                deadline = time.monotonic() + 10
                while not killed and time.monotonic() < deadline:
                    time.sleep(0.001)
                os.kill(killed[0].pid, signal.SIGKILL)
                wait([killed[0].sentinel], 10)

        theatre.server.on_event = kill
        process = theatre.start()
        killed.append(process)
        assert theatre.ended(process) == -signal.SIGKILL, (number, name)
        theatre.server.on_event = lambda _index, _name: None
        theatre.lease_ends()
        assert theatre.run() == POSTED, (number, name)
        assert theatre.count() == 1, (number, name)
        assert theatre.noted().post_id == str(theatre.server.posts[0].post_id)


def test_a_process_killed_at_any_line_leaves_one_post_to_the_next(theatre: Theatre) -> None:
    theatre.reset(SMALL)
    written = theatre.folder / "lines.json"
    assert theatre.run(lines=written) == POSTED
    lines = [(name, number) for name, number in json.loads(written.read_text())]
    assert {name for name, _ in lines} == WATCHED
    assert len(lines) > 150
    for line in lines:
        theatre.reset(SMALL)
        assert theatre.run(killed_at=line) == -signal.SIGKILL, line
        theatre.lease_ends()
        assert theatre.run() == POSTED, line
        assert theatre.count() == 1, line


def test_who_was_taken_for_dead_and_comes_back_makes_no_second_post(theatre: Theatre) -> None:
    # While an event is told, the one that it is about is held up. Not when it has its answer: that is no event of its.
    events = theatre.events(TWO)
    for number, name in enumerate(events):
        if name.endswith("answered"):
            continue
        theatre.reset(TWO)
        others: list[int] = []

        def another(index: int, _name: str, number: int = number, others: list[int] = others) -> None:
            if index == number:
                theatre.server.on_event = lambda _index, _name: None
                theatre.lease_ends()
                others.append(theatre.run())

        theatre.server.on_event = another
        assert theatre.run() == POSTED, (number, name)
        assert others == [POSTED], (number, name)
        assert theatre.count() == 1, (number, name)


@pytest.mark.parametrize("turn", range(5))
def test_two_processes_at_once_make_one_post(theatre: Theatre, turn: int) -> None:
    theatre.reset(TWO if turn % 2 else SMALL)
    both = [theatre.start(), theatre.start()]
    assert [theatre.ended(one) for one in both] == [POSTED, POSTED]
    assert theatre.count() == 1
    assert len(theatre.server.uploads) == 1


def test_the_same_process_twice_finds_its_post_and_asks_tiktok_nothing(theatre: Theatre) -> None:
    theatre.reset(SMALL)
    assert theatre.run() == POSTED
    first = theatre.noted()
    theatre.server.events.clear()
    assert theatre.run() == POSTED
    assert theatre.server.events == []
    assert theatre.noted() == first
    assert theatre.count() == 1


PASSING = st.builds(
    Fault,
    st.sampled_from(["info", "init", "upload", "status", ""]),
    st.sampled_from([0, 500, 502, 503, 429]),
    st.sampled_from(["internal_error", "rate_limit_exceeded"]),
)
BROKEN = st.builds(
    Fault, st.sampled_from(["info", "init", "upload", "status", ""]), lost=st.booleans(), cut=st.booleans()
)
WRONG = st.builds(Fault, st.just("upload"), st.sampled_from([400, 403, 404, 410, 416]))
ON_200 = st.builds(Fault, st.sampled_from(["info", "init", "status"]), st.just(200), st.sampled_from(["internal"]))
LAST_WORD = st.builds(
    Fault,
    st.sampled_from(["info", "init", "status"]),
    st.sampled_from([200, 403]),
    st.sampled_from(["spam_risk", "reached_active_user_cap", "scope_not_authorized"]),
)
REASONS = ("spam_risk", "reached_active_user_cap", "scope_not_authorized", "none of 5 uploads")
FAULTS = st.lists(st.one_of(PASSING, BROKEN, WRONG, ON_200, LAST_WORD), max_size=14)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    FAULTS,
    st.lists(st.sampled_from(["internal", "video_pull_failed", "spam_risk_text"]), max_size=2),
    st.sets(st.integers(1, 12), max_size=3),
    st.booleans(),
    st.integers(0, 4),
    st.sampled_from([SMALL, TWO]),
)
def test_whatever_goes_wrong_there_is_one_post_or_a_final_reason_for_none(
    theatre: Theatre, faults: list[Fault], reasons: list[str], ends: set[int], counts: bool, lag: int, size: int
) -> None:
    theatre.reset(size)
    server = theatre.server
    server.faults, server.reasons, server.counts, server.lag = list(faults), list(reasons), counts, lag
    database = Database(f"sqlite:///{theatre.path}")
    platform = TikTok(PostLedger(database), lambda _account, _renewed: server.token(), api=server.url)
    post, refusals = None, list[str]()
    try:
        for turn in range(120):
            if turn in ends:
                server.end_addresses()
            try:
                post = platform.publish(a_draft(), {"video": theatre.video}, lambda _share: None)
                break
            except PermanentFailure as failure:
                refusals.append(str(failure))
            except Failure:
                continue
            finally:
                assert theatre.count() <= 1
    finally:
        database.dispose()
        server.faults, server.reasons, server.counts, server.lag = [], [], True, 0
    # `cm retry` came after each refusal.
    assert post is not None
    assert theatre.count() == 1
    assert post.post_id in {str(server.posts[0].post_id), server.posts[0].id}
    assert [one for one in refusals if not any(word in one for word in REASONS)] == []
