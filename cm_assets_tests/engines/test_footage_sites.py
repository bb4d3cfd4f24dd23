"""Pexels and Pixabay as they speak: what is asked, what is made of their answers, limits and errors."""

import gzip
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from cm_assets.engines.footage.answers import KEPT, Refused
from cm_assets.engines.footage.catalogue import Access
from cm_assets.engines.footage.pexels import PAUSE, Pexels
from cm_assets.engines.footage.pixabay import Pixabay
from cm_assets.engines.footage.ranking import rendition
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.settings import STOCK_KEYS
from cm_assets.storage.footage import FootageMemory
from cm_assets_tests.emulators.media_server import Answer
from cm_assets_tests.emulators.pexels_server import PexelsServer, playlist
from cm_assets_tests.emulators.pixabay_server import PixabayServer
from cm_assets_tests.engines.test_footage_choice import QUERY

Memory = Callable[[str], FootageMemory]
JSON = "application/json"


@pytest.fixture
def pexels() -> Iterator[PexelsServer]:
    with PexelsServer() as server:
        server.video("goats on a hill", [(2160, 3840, b"4k"), (1080, 1920, b"hd"), (360, 640, b"sd")])
        yield server


@pytest.fixture
def pixabay() -> Iterator[PixabayServer]:
    with PixabayServer() as server:
        server.video("goat, goats, hill", {"large": (3840, 2160, b"l"), "medium": (1920, 1080, b"m")})
        yield server


@pytest.fixture(params=["pexels", "pixabay"])
def either(request: pytest.FixtureRequest, tmp_path: Path, memory: Memory) -> tuple[Any, Any]:
    """A site and the server behind it."""
    server = request.getfixturevalue(request.param)
    return asker(server, tmp_path, memory), server


def asker(
    server: PexelsServer | PixabayServer, folder: Path, memory: Memory, video: str = "v", **changes: Any
) -> Pexels | Pixabay:
    kind = Pexels if isinstance(server, PexelsServer) else Pixabay
    access = Access(server.search_url, server.key, STOCK_KEYS[kind.name], lambda: None)
    return kind(replace(access, **changes), folder / "answers", memory(video))


def asked(server: PexelsServer | PixabayServer) -> dict[str, str]:
    (one,) = server.searched
    return dict(one.parameters)


def test_pexels_is_asked_for_the_frame_s_shape_and_size(tmp_path: Path, pexels: PexelsServer, memory: Memory) -> None:
    (clip,) = asker(pexels, tmp_path, memory).search("goats", replace(QUERY, language="de"))
    assert asked(pexels) == {
        "query": "goats",
        "orientation": "portrait",
        "size": "medium",
        "per_page": "80",
        "locale": "de-DE",
    }
    assert pexels.searched[0].headers["authorization"] == pexels.key
    assert clip.title == "goats on a hill"
    assert clip.author == "Ana Lima"
    assert clip.page == "https://www.pexels.com/video/goats-on-a-hill-3000000/"
    assert clip.seconds == 10
    file = rendition(clip, 1080, 1920)
    assert file is not None
    assert (file.width, file.height) == (1080, 1920)


@pytest.mark.parametrize(
    ("language", "locale"), [("en", "en-US"), ("pt", "pt-BR"), ("zh-TW", "zh-TW"), ("no", "nb-NO"), ("de-AT", "de-DE")]
)
def test_a_language_has_its_locale(
    tmp_path: Path, pexels: PexelsServer, memory: Memory, language: str, locale: str
) -> None:
    asker(pexels, tmp_path, memory).search("goats", replace(QUERY, language=language))
    assert asked(pexels)["locale"] == locale


def test_an_unknown_language_asks_without_one(tmp_path: Path, either: tuple[Any, Any]) -> None:
    site, server = either
    site.search("goat", replace(QUERY, language="tlh"))
    assert not {"locale", "lang"} & asked(server).keys()


def test_pixabay_is_asked_for_clips_that_are_large_enough(
    tmp_path: Path, pixabay: PixabayServer, memory: Memory
) -> None:
    (clip,) = asker(pixabay, tmp_path, memory).search("goat", QUERY)
    assert asked(pixabay) == {
        "key": pixabay.key,
        "q": "goat",
        "video_type": "film",
        "min_width": "540",
        "min_height": "960",
        "safesearch": "true",
        "per_page": "100",
        "lang": "en",
    }
    assert clip.title == "goat, goats, hill"
    assert clip.author == "coverr"
    assert [file.width for file in clip.renditions] == [3840, 1920]
    file = rendition(clip, 1080, 1920)
    assert file is not None
    assert file.width == 3840


def test_what_is_no_plain_video_is_left_out(tmp_path: Path, pexels: PexelsServer, memory: Memory) -> None:
    pexels.videos.clear()
    pexels.video("goats far away", [], extra_files=[playlist()])
    pexels.video("goats near", [(1080, 1920, b"x")], extra_files=[playlist(), {"link": "https://x/y", "quality": None}])
    pexels.video("goats odd", [(1080, 1920, b"x")])
    pexels.videos[-1]["duration"] = None
    for name, odd in (("id", 10**70), ("id", "../1"), ("duration", float("inf")), ("video_files", {"link": 3})):
        pexels.video("goats odd", [(1080, 1920, b"x")])
        pexels.videos[-1][name] = odd
    found = asker(pexels, tmp_path, memory).search("goats", QUERY)
    assert [(clip.title, len(clip.renditions)) for clip in found] == [("goats near", 1)]


def test_hostile_texts_are_one_printable_line_and_links_lead_to_the_site(
    tmp_path: Path, pexels: PexelsServer, pixabay: PixabayServer, memory: Memory
) -> None:
    bad = "Eve\x1b[31m\n<script>\u202egnp\ud800" + "x" * 5000
    pexels.videos[0]["user"]["name"] = bad
    pexels.videos[0]["url"] = "javascript:alert(1)//goats"
    pixabay.hits[0] |= {"user": bad, "pageURL": "https://pixabay.com@evil.example/"}
    for server, page in (
        (pexels, "https://www.pexels.com/video/3000000/"),
        (pixabay, "https://pixabay.com/videos/id-125/"),
    ):
        (clip,) = asker(server, tmp_path, memory).search("goat goats", QUERY)
        assert clip.author.isprintable()
        assert len(clip.author) <= 300
        assert clip.page == page


def test_an_answer_is_kept_for_a_day_and_no_longer(tmp_path: Path, either: tuple[Any, Any]) -> None:
    site, server = either
    first = site.search("goat goats", QUERY)
    assert site.search("goat goats", QUERY) == first
    assert len(server.searched) == 1
    for path in (tmp_path / "answers").rglob("*.json.gz"):
        os.utime(path, (0, time.time() - KEPT + 60))
    site.search("goat goats", QUERY)
    assert len(server.searched) == 1
    for path in (tmp_path / "answers").rglob("*.json.gz"):
        os.utime(path, (0, time.time() - KEPT - 60))
    site.search("goat goats", QUERY)
    assert len(server.searched) == 2
    site.search("another", QUERY)
    assert len(server.searched) == 3


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path, either: tuple[Any, Any]) -> None:
    site, server = either
    site.search("goat", QUERY)
    for path in (tmp_path / "answers").rglob("*.json.gz"):
        path.write_text('{"vid')
    site.search("goat", QUERY)
    assert len(server.searched) == 2


def test_no_key_and_no_term_is_in_a_file_s_name_or_content(tmp_path: Path, either: tuple[Any, Any]) -> None:
    site, server = either
    site.search("goat", QUERY)
    (kept,) = [path for path in (tmp_path / "answers").rglob("*") if path.is_file()]
    assert server.key not in gzip.decompress(kept.read_bytes()).decode()
    assert "goat" not in kept.name


def test_the_last_call_makes_all_processes_wait(tmp_path: Path, either: tuple[Any, Any], memory: Memory) -> None:
    site, server = either
    server.remaining, server.resets_in = 1, 1000
    assert site.search("goat goats", QUERY)
    with pytest.raises(AskedToWait, match="takes no more calls for") as told:
        site.search("hill", QUERY)
    assert 900 < told.value.seconds <= 1001
    other = asker(server, tmp_path, memory, video="another-video")
    with pytest.raises(AskedToWait):
        other.search("hill", QUERY)
    assert len(server.searched) == 1
    # What is known already costs no call.
    assert other.search("goat goats", QUERY)


def test_a_rest_ends(either: tuple[Any, Any]) -> None:
    site, server = either
    server.remaining, server.resets_in = 1, 60
    site.search("hill", QUERY)
    with pytest.raises(AskedToWait):
        site.search("goat goats", QUERY)
    server.remaining = 50
    with time_machine.travel(timedelta(seconds=61), tick=True):
        assert site.search("goat goats", QUERY)


def test_a_month_without_calls_is_asked_about_once_a_day_and_not_with_another_key(
    tmp_path: Path, either: tuple[Any, Any], memory: Memory
) -> None:
    site, server = either
    server.remaining, server.resets_in = 1, 30 * 86_400
    site.search("hill", QUERY)
    with pytest.raises(AskedToWait) as told:
        site.search("goat goats", QUERY)
    assert 86_000 < told.value.seconds <= 86_400
    server.key, server.remaining = "another-key", 50
    assert asker(server, tmp_path, memory).search("goat goats", QUERY)


def test_pexels_s_429_says_nothing_and_is_waited_for(tmp_path: Path, pexels: PexelsServer, memory: Memory) -> None:
    pexels.hourly = 0
    site = asker(pexels, tmp_path, memory)
    for _ in range(2):
        with pytest.raises(AskedToWait) as told:
            site.search("goats", QUERY)
        assert PAUSE - 5 < told.value.seconds <= PAUSE
    assert len(pexels.searched) == 1


def test_pixabay_s_429_says_for_how_long(tmp_path: Path, pixabay: PixabayServer, memory: Memory) -> None:
    pixabay.remaining, pixabay.resets_in = 0, 33
    with pytest.raises(AskedToWait) as told:
        asker(pixabay, tmp_path, memory).search("goat", QUERY)
    assert 28 < told.value.seconds <= 33


def test_retry_after_is_heeded(tmp_path: Path, either: tuple[Any, Any]) -> None:
    site, server = either
    server.faults = [Answer(429, "text/plain", b"", {"Retry-After": "77"})]
    with pytest.raises(AskedToWait) as told:
        site.search("goat", QUERY)
    assert 70 < told.value.seconds <= 77


def test_our_own_limit_is_asked_before_each_call(tmp_path: Path, pexels: PexelsServer, memory: Memory) -> None:
    def refuse() -> None:
        raise AskedToWait("pexels may be called 1 in an hour", 5)

    with pytest.raises(AskedToWait, match="may be called"):
        asker(pexels, tmp_path, memory, before_call=refuse).search("goats", QUERY)
    assert pexels.searched == []


@pytest.mark.parametrize("name", ["pexels", "pixabay"])
def test_a_bad_key_names_its_variable_and_is_told_to_nobody(
    request: pytest.FixtureRequest, tmp_path: Path, memory: Memory, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server = request.getfixturevalue(name)
    with pytest.raises(PermanentFailure, match=f"set {name.upper()}_API_KEY") as told:
        asker(server, tmp_path, memory, key="wrong-secret-key").search("goat", QUERY)
    assert "wrong-secret-key" not in f"{told.value!r}"
    assert "wrong-secret-key" not in caplog.text
    with pytest.raises(PermanentFailure, match="has characters that no key has"):
        asker(server, tmp_path, memory, key="wrong\nkey").search("goat", QUERY)


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Answer(500, "text/html", b"<h1>oops</h1>"), TransientFailure),
        (Answer(502, "text/html", b""), TransientFailure),
        (Answer(200, "text/html", b"<!doctype html>"), TransientFailure),
        (Answer(200, JSON, b"[1, 2"), TransientFailure),
        (Answer(200, JSON, b"[]"), TransientFailure),
        (Answer(200, JSON, b'{"videos": 3, "hits": {}}'), TransientFailure),
        (Answer(200, JSON, b"[" * 200_000), TransientFailure),
        (Answer(404, JSON, b"{}"), PermanentFailure),
        (Answer(301, "text/html", b"", {"Location": "https://elsewhere.example/"}), PermanentFailure),
        (Answer(400, "text/plain", b'[ERROR 400] "q" is out of valid range.'), Refused),
        (Answer(403, JSON, b"{}"), PermanentFailure),
    ],
)
def test_errors_have_their_class_and_are_not_kept(
    either: tuple[Any, Any], fault: Answer, failure: type[Exception]
) -> None:
    site, server = either
    server.faults = [fault]
    with pytest.raises(failure):
        site.search("goat goats", QUERY)
    assert site.search("goat goats", QUERY)


def test_an_error_that_repeats_the_key_is_told_without_it(tmp_path: Path, either: tuple[Any, Any]) -> None:
    site, server = either
    server.faults = [Answer(500, "text/plain", f"no database for {server.key}".encode())]
    with pytest.raises(TransientFailure, match=r"no database for \*\*\*"):
        site.search("goat", QUERY)


def test_a_service_that_is_not_there_is_a_passing_failure_without_its_address(tmp_path: Path, memory: Memory) -> None:
    with PixabayServer() as server:
        pass
    with pytest.raises(TransientFailure) as told:
        asker(server, tmp_path, memory).search("goat", QUERY)
    assert server.key not in str(told.value)
    assert "127.0.0.1" not in str(told.value)


def test_answers_have_a_bound(tmp_path: Path, either: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cm_assets.engines.footage.answers.MOST_KEPT", 3)
    site, _ = either
    for number in range(6):
        site.search(f"goat {number}", QUERY)
    kept = [path for path in (tmp_path / "answers").rglob("*") if path.is_file()]
    assert len(kept) == 3
    assert all(json.loads(gzip.decompress(path.read_bytes())) for path in kept)
