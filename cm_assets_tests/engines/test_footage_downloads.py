"""Downloads: whole or not at all, once for everybody, resumed where the server can, within their bounds."""

import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cm_assets.engines.footage.downloads import ABANDONED, Downloads, Stopped
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets_tests.emulators.media_server import MediaFault, MediaServer

CONTENT = bytes(range(256)) * 2000
OTHER = bytes(reversed(CONTENT))


@pytest.fixture
def server() -> Iterator[MediaServer]:
    with MediaServer() as one:
        yield one


def downloads(folder: Path, limit: int = 10**9, **changes: Any) -> Downloads:
    return Downloads(folder / "cache", limit, **{"allow_private": True, "pause": 0.01, "silence": 30.0, **changes})


def took(folder: Path, url: str, **changes: Any) -> bytes:
    target = folder / "taken.mp4"
    downloads(folder, **changes).take(url, target)
    return target.read_bytes()


def ranges(server: MediaServer) -> list[str | None]:
    return [asked.headers.get("range") for asked in server.asked]


def test_a_file_is_loaded_once_for_all_videos(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT)
    assert took(tmp_path, url) == CONTENT
    assert took(tmp_path, url) == CONTENT
    assert len(server.asked) == 1


def test_what_two_addresses_have_in_common_takes_its_room_once(tmp_path: Path, server: MediaServer) -> None:
    urls = [server.add(name, CONTENT) for name in ("a.mp4", "b.mp4")]
    assert [took(tmp_path, url) for url in urls] == [CONTENT, CONTENT]
    assert [path.stat().st_size for path in (tmp_path / "cache").glob("*.mp4")] == [len(CONTENT)]
    assert [took(tmp_path, url) for url in urls] == [CONTENT, CONTENT]
    assert len(server.asked) == 2


@pytest.mark.parametrize("harm", [CONTENT[:-1] + b"?", CONTENT[:-1], b"", None])
def test_what_is_not_any_more_what_was_loaded_is_loaded_again(
    tmp_path: Path, server: MediaServer, harm: bytes | None
) -> None:
    url = server.add("a.mp4", CONTENT)
    took(tmp_path, url)
    (kept,) = (tmp_path / "cache").glob("*.mp4")
    if harm is None:
        kept.unlink()
    else:
        kept.write_bytes(harm)
    for _ in range(2):
        assert took(tmp_path, url) == CONTENT
    assert len(server.asked) == 2


@pytest.mark.parametrize("note", [None, "", "0123", "../" * 21 + "a", "f" * 64])
def test_whoever_is_killed_before_content_is_noted_costs_a_download(
    tmp_path: Path, server: MediaServer, note: str | None
) -> None:
    url = server.add("a.mp4", CONTENT)
    took(tmp_path, url)
    (there,) = (tmp_path / "cache").glob("*.note")
    if note is None:
        there.unlink()
    else:
        there.write_text(note)
    for _ in range(2):
        assert took(tmp_path, url) == CONTENT
    assert len(server.asked) == 2
    assert len(list((tmp_path / "cache").glob("*.mp4"))) == 1


@pytest.mark.parametrize("how", [{}, {"validator": "none"}, {"ranges": False}])
def test_whoever_is_killed_with_a_whole_file_costs_no_more_than_a_download(
    tmp_path: Path, server: MediaServer, how: dict[str, Any]
) -> None:
    url = server.add("a.mp4", CONTENT, faults=[MediaFault(cut=len(CONTENT) - 1)], **how)
    with pytest.raises(TransientFailure):
        took(tmp_path, url, longest=0.0)
    for part in (tmp_path / "cache").glob("*.part"):
        part.write_bytes(CONTENT)
    assert took(tmp_path, url) == CONTENT


def test_what_was_dropped_is_loaded_again(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT)
    took(tmp_path, url)
    downloads(tmp_path).drop(url)
    downloads(tmp_path).drop(url)
    assert not list((tmp_path / "cache").glob("*.mp4"))
    assert took(tmp_path, url) == CONTENT
    assert len(server.asked) == 2


def test_a_break_is_resumed_where_it_was(tmp_path: Path, server: MediaServer) -> None:
    faults = [MediaFault(cut=100_000), MediaFault(cut=200_000, reset=True)]
    url = server.add("a.mp4", CONTENT, faults=faults)
    assert took(tmp_path, url) == CONTENT
    first, second, third = ranges(server)
    assert first is None
    assert second == "bytes=100000-"
    assert third is not None
    assert int(third[6:-1]) > 100_000
    assert server.asked[1].headers["if-range"] == '"v1"'


def test_a_file_that_has_changed_meanwhile_is_begun_anew(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT, faults=[MediaFault(cut=100_000), MediaFault(changed=OTHER)])
    assert took(tmp_path, url) == OTHER
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_file_that_has_become_shorter_is_begun_anew(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT, validator="date", faults=[MediaFault(cut=100_000)])
    with pytest.raises(TransientFailure):
        took(tmp_path, url, longest=0.0)
    server.files["a.mp4"].content = CONTENT[:50_000]
    assert took(tmp_path, url) == CONTENT[:50_000]


@pytest.mark.parametrize("how", [{"ranges": False}, {"validator": "weak"}, {"validator": "none"}])
def test_where_the_rest_cannot_be_had_for_sure_all_is_loaded_again(
    tmp_path: Path, server: MediaServer, how: dict[str, Any]
) -> None:
    url = server.add("a.mp4", CONTENT, faults=[MediaFault(cut=100_000)], **how)
    assert took(tmp_path, url) == CONTENT
    assert len(server.asked) == 2


def test_the_next_attempt_of_another_process_goes_on(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT, faults=[MediaFault(cut=150_000)])
    with pytest.raises(TransientFailure):
        took(tmp_path, url, longest=0.0)
    assert not list((tmp_path / "cache").glob("*.mp4"))
    assert took(tmp_path, url) == CONTENT
    _, rest = ranges(server)
    assert rest is not None
    assert int(rest.strip("bytes=-")) > 0


def test_a_server_that_does_not_say_the_length_is_believed_at_its_end(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT, chunked=True, faults=[MediaFault(cut=100_000)])
    assert took(tmp_path, url) == CONTENT


def test_a_host_that_breaks_off_again_and_again_is_given_up(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT, faults=[MediaFault(cut=0, reset=True)] * 50)
    with pytest.raises(TransientFailure, match="broke the connection off"):
        took(tmp_path, url)
    assert len(server.asked) <= 6


def test_a_silent_host_is_left(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT, faults=[MediaFault(cut=0, silent=30)] * 50)
    with pytest.raises(TransientFailure, match="did not answer in time"):
        took(tmp_path, url, silence=0.2, longest=30.0)


def test_a_host_that_dribbles_has_its_time(tmp_path: Path) -> None:
    with MediaServer(rate=20_000) as server:
        url = server.add("a.mp4", CONTENT)
        with pytest.raises(TransientFailure, match="did not come within"):
            took(tmp_path, url, longest=0.5)


@pytest.mark.parametrize(
    ("fault", "failure", "said"),
    [
        (MediaFault(404), PermanentFailure, "answers 404"),
        (MediaFault(403), PermanentFailure, "answers 403"),
        (MediaFault(503), TransientFailure, "answers 503"),
        (MediaFault(429, {"Retry-After": "9"}), AskedToWait, "asks to wait 9 s"),
    ],
)
def test_errors_have_their_class(
    tmp_path: Path, server: MediaServer, fault: MediaFault, failure: type[Exception], said: str
) -> None:
    url = server.add("a.mp4", CONTENT, faults=[fault] * 9)
    with pytest.raises(failure, match=said):
        took(tmp_path, url)


def test_a_page_instead_of_a_video_is_not_loaded(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", b"<html>Log in</html>", kind="text/html; charset=utf-8")
    with pytest.raises(PermanentFailure, match="sends text/html instead of a video"):
        took(tmp_path, url)


@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_too_large_is_not_loaded(tmp_path: Path, server: MediaServer, *, chunked: bool) -> None:
    url = server.add("a.mp4", CONTENT, chunked=chunked)
    with pytest.raises(PermanentFailure, match="larger than"):
        took(tmp_path, url, largest=300_000)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.stat().st_size > 100]


def test_redirects_are_followed_but_not_for_ever(tmp_path: Path, server: MediaServer) -> None:
    there = server.add("there.mp4", CONTENT)
    assert took(tmp_path, server.add("here.mp4", b"", faults=[MediaFault(location=there)])) == CONTENT
    loop = server.add("loop.mp4", b"")
    server.files["loop.mp4"].faults = [MediaFault(location=loop)] * 20
    with pytest.raises(PermanentFailure, match="redirects more than"):
        took(tmp_path, loop)


def test_a_private_host_is_not_asked(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT)
    with pytest.raises(PermanentFailure):
        took(tmp_path, url, allow_private=False)
    assert server.asked == []


def test_nobody_s_text_becomes_a_file_name(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("../../../../etc/passwd?x=%2e%2e/", CONTENT)
    server.files["../../../../etc/passwd"] = server.files["../../../../etc/passwd?x=%2e%2e/"]
    with pytest.raises(PermanentFailure):
        took(tmp_path, f"{url}#..%00")
    assert {path.parent for path in tmp_path.rglob("*")} <= {tmp_path, tmp_path / "cache"}


def test_the_bound_holds_and_the_least_recently_used_go(tmp_path: Path, server: MediaServer) -> None:
    urls = [server.add(f"{name}.mp4", CONTENT + name.encode()) for name in "abc"]
    for age, url in enumerate(urls[:2]):
        took(tmp_path, url)
        (made,) = [p for p in (tmp_path / "cache").glob("*.mp4") if time.time() - p.stat().st_mtime < 50]
        os.utime(made, (0, 1_000_000_000 + age))
    took(tmp_path, urls[0])
    took(tmp_path, urls[2], limit=2 * len(CONTENT) + 500)
    assert len(list((tmp_path / "cache").glob("*.mp4"))) == 2
    asked = len(server.asked)
    took(tmp_path, urls[0])
    assert len(server.asked) == asked
    took(tmp_path, urls[1])
    assert len(server.asked) == asked + 1


def test_what_was_taken_stays_when_the_folder_is_emptied(tmp_path: Path, server: MediaServer) -> None:
    assert took(tmp_path, server.add("a.mp4", CONTENT), limit=0) == CONTENT
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_somebody_takes_is_not_removed(tmp_path: Path) -> None:
    with MediaServer(rate=400_000) as server:
        slow, quick = server.add("slow.mp4", CONTENT), server.add("quick.mp4", CONTENT[:1000])
        with ThreadPoolExecutor() as pool:
            taken = pool.submit(downloads(tmp_path, 0).take, slow, tmp_path / "slow.mp4")
            assert _until(lambda: any(p.stat().st_size for p in (tmp_path / "cache").glob("*.part")))
            for path in (tmp_path / "cache").glob("*.part"):
                os.utime(path, (0, time.time() - 2 * ABANDONED))
            downloads(tmp_path, 0).take(quick, tmp_path / "quick.mp4")
            taken.result()
        assert (tmp_path / "slow.mp4").read_bytes() == CONTENT


def test_abandoned_beginnings_go(tmp_path: Path, server: MediaServer) -> None:
    url = server.add("a.mp4", CONTENT, faults=[MediaFault(cut=1000)])
    with pytest.raises(TransientFailure):
        took(tmp_path, url, longest=0.0)
    for path in (tmp_path / "cache").iterdir():
        os.utime(path, (0, time.time() - 2 * ABANDONED))
    downloads(tmp_path).trim()
    assert list((tmp_path / "cache").iterdir()) == []


def _take(folder: Path, url: str, number: int) -> None:
    downloads(folder).take(url, folder / f"{number}.mp4")


def test_processes_that_want_the_same_file_load_it_once(tmp_path: Path) -> None:
    with MediaServer(rate=500_000) as server:
        url = server.add("a.mp4", CONTENT)
        context = multiprocessing.get_context("spawn")
        several = [context.Process(target=_take, args=(tmp_path, url, number)) for number in range(3)]
        for one in several:
            one.start()
        for one in several:
            one.join(60)
        assert [(tmp_path / f"{number}.mp4").read_bytes() == CONTENT for number in range(3)] == [True] * 3
        assert len(server.asked) == 1


def test_whoever_is_killed_leaves_a_beginning_that_the_next_one_goes_on_from(tmp_path: Path) -> None:
    with MediaServer(rate=100_000) as server:
        url = server.add("a.mp4", CONTENT)
        one = multiprocessing.get_context("spawn").Process(target=_take, args=(tmp_path, url, 0))
        one.start()
        assert _until(lambda: any(p.stat().st_size > 50_000 for p in (tmp_path / "cache").glob("*.part")), 30)
        one.kill()
        one.join()
        assert not list((tmp_path / "cache").glob("*.mp4"))
        server.rate = None
        assert took(tmp_path, url) == CONTENT
        first, rest = ranges(server)
        assert first is None
        assert rest is not None
        assert int(rest.strip("bytes=-")) > 50_000


def _die_everywhere(folder: Path, url: str, deaths: Any) -> None:
    """Take a file in processes that die before their first, second, ... change of the folder, and then once more."""
    for at in range(100):
        if not (child := os.fork()):
            changes = itertools.count()

            def die(event: str, arguments: tuple[Any, ...]) -> None:
                if event in {"open", "os.link", "os.remove", "os.rename", "os.utime"} and (
                    str(folder) in str(arguments[0]) and next(changes) == at  # noqa: B023
                ):
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(die)
            _take(folder, url, 0)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert took(folder, url) == CONTENT
        assert len(list((folder / "cache").glob("*.mp4"))) == 1
        shutil.rmtree(folder / "cache")
        if not status:
            deaths.value = at
            return


def test_whoever_is_killed_anywhere_leaves_nothing_that_hinders_the_next_one(
    tmp_path: Path, server: MediaServer
) -> None:
    context = multiprocessing.get_context("spawn")
    deaths = context.Value("i", 0)
    one = context.Process(target=_die_everywhere, args=(tmp_path, server.add("a.mp4", CONTENT), deaths))
    one.start()
    one.join(60)
    assert one.exitcode == 0
    assert deaths.value > 8


def test_whoever_is_not_waited_for_any_more_stops(tmp_path: Path) -> None:
    with MediaServer(rate=100_000) as server:
        stop = threading.Event()
        url = server.add("a.mp4", CONTENT)
        with ThreadPoolExecutor() as pool:
            taken = pool.submit(downloads(tmp_path).take, url, tmp_path / "a.mp4", stop)
            assert _until(lambda: server.asked)
            stop.set()
            with pytest.raises(Stopped):
                taken.result(10)
        assert not (tmp_path / "a.mp4").exists()


def _until(condition: Any, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
