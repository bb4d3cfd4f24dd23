"""The clips of a video from several sources: none twice, the same again, loaded together, and what is down is left."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cm_assets.engines.footage.catalogue import Access, Means, sources
from cm_assets.engines.footage.gathering import Gathering
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.clips import FetchedClip, FootageQuery
from cm_assets.storage.footage import FootageMemory
from cm_assets_tests.conftest import Mp4
from cm_assets_tests.emulators.media_server import Answer, MediaFault
from cm_assets_tests.emulators.pexels_server import PexelsServer
from cm_assets_tests.emulators.pixabay_server import PixabayServer

SIZE = (270, 480)
GOAT = FootageQuery(
    scene=0,
    shot=0,
    text="Goats found it.",
    terms=("goat",),
    clip=None,
    width=SIZE[0],
    height=SIZE[1],
    seconds=2.0,
    mood="calm",
    seed=3,
    used=frozenset(),
)


def about(*terms: str, **changes: Any) -> FootageQuery:
    return replace(GOAT, **{"terms": terms, "text": "And so it was.", **changes})


class Place:
    """A home with both sites around it."""

    def __init__(self, folder: Path, pexels: PexelsServer, pixabay: PixabayServer, memory: Any, mp4: Mp4) -> None:
        self.folder = folder
        self.pexels = pexels
        self.pixabay = pixabay
        self.mp4 = mp4
        self.passed_over: list[str] = []
        self.shares: list[float] = []
        self.told: Callable[[float], None] = self.shares.append
        self._memory = memory
        self._count = 0

    def goats(self, count: int, title: str = "a goat", **how: Any) -> list[str]:
        """Videos of Pexels, each another one; their keys."""
        colours = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "brown", "gray", "white")
        contents = [self.mp4(*SIZE, 2, colour) for colour in colours[:count]]
        return [f"pexels:{self.pexels.video(title, [(*SIZE, one)], **how)}" for one in contents]

    def gather(
        self,
        queries: Sequence[FootageQuery],
        video: str = "v",
        names: Sequence[str] = ("pexels", "pixabay", "illustrated"),
        *,
        last_try: bool = False,
        **changes: Any,
    ) -> list[FetchedClip]:
        self._count += 1
        into = self.folder / f"into-{self._count}"
        into.mkdir()
        memory: FootageMemory = self._memory(video)
        access = {
            "pexels": Access(self.pexels.search_url, self.pexels.key, "PEXELS_API_KEY", lambda: None),
            "pixabay": Access(self.pixabay.search_url, self.pixabay.key, "PIXABAY_API_KEY", lambda: None),
        }
        means = Means(**{
            "folder": None, "ffmpeg": None, "cache": self.folder / "cache", "cache_bytes": 10**9,
            "allow_private": True, "sites": access, **changes,
        })  # fmt: skip
        gathering = Gathering(sources(names, means, memory, memory), into, self.told, last_try=last_try)
        try:
            return gathering.clips(queries)
        finally:
            self.passed_over = gathering.passed_over


@pytest.fixture
def place(tmp_path: Path, memory: Any, mp4: Mp4) -> Iterator[Place]:
    with PexelsServer() as pexels, PixabayServer() as pixabay:
        yield Place(tmp_path, pexels, pixabay, memory, mp4)


def keys(clips: Sequence[FetchedClip]) -> list[str]:
    return [clip.spec.key for clip in clips]


def found_by(clip: FetchedClip) -> tuple[str, str, tuple[str, ...]]:
    return clip.spec.credit.source, clip.spec.found_by, clip.spec.terms


def test_a_clip_says_what_it_is_and_whose(place: Place) -> None:
    (key,) = place.goats(1, "a goat on a hill", author="Ana Lima")
    (clip,) = place.gather([GOAT])
    assert clip.spec.key == key
    assert clip.spec.kind == "video"
    assert (clip.spec.width, clip.spec.height) == SIZE
    assert clip.spec.seconds == pytest.approx(2.0, abs=0.1)
    assert clip.spec.label == "a goat on a hill"
    assert clip.spec.credit.author == "Ana Lima"
    assert clip.spec.credit.licence == "Pexels License"
    assert clip.spec.credit.url == f"https://www.pexels.com/video/a-goat-on-a-hill-{key.partition(':')[2]}/"
    assert found_by(clip) == ("pexels", "terms", ("goat",))
    (file,) = clip.files
    assert file.read_bytes() == place.mp4(*SIZE, 2, "red")


def test_no_clip_is_shown_twice_in_a_video(place: Place) -> None:
    place.goats(3)
    clips = place.gather([replace(GOAT, scene=scene) for scene in range(5)])
    assert len(set(keys(clips))) == 5
    assert [clip.spec.credit.source for clip in clips] == ["pexels"] * 3 + ["illustrated"] * 2
    assert place.shares[-1] == 1.0


def test_the_same_video_chooses_the_same_clips_again_and_another_one_others(place: Place) -> None:
    place.goats(9)
    queries = [replace(GOAT, scene=scene) for scene in range(3)]
    first = keys(place.gather(queries, "a"))
    second = keys(place.gather(queries, "b"))
    third = keys(place.gather(queries, "c"))
    assert len({*first, *second, *third}) == 9
    assert keys(place.gather(queries, "a")) == first
    assert keys(place.gather(queries, "b")) == second
    # All were shown: the first video's were shown longest ago.
    assert keys(place.gather(queries, "d")) == first


def test_a_stage_that_was_killed_between_choosing_and_loading_chooses_the_same(place: Place) -> None:
    (first, second) = place.goats(2)
    number = first.partition(":")[2]
    name = next(name for name in place.pexels.files if name.startswith(number))
    place.pexels.files[name].faults = [MediaFault(503)] * 50
    with pytest.raises(TransientFailure):
        place.gather([GOAT], "a")
    assert keys(place.gather([GOAT], "b")) == [second]
    place.pexels.files[name].faults.clear()
    assert keys(place.gather([GOAT], "a")) == [first]


@pytest.mark.parametrize(
    ("terms", "text", "expected"),
    [
        (("unicorn", "goat"), "", ("pexels", "terms", ("goat",))),
        (("red goat",), "", ("pexels", "terms", ("red goat",))),
        (("goat stable",), "", ("pexels", "unconfirmed", ("goat stable",))),
        (("unicorn",), "Goats were there.", ("pexels", "narration", ("goats",))),
        (("ruminant",), "", ("pexels", "unconfirmed", ("ruminant",))),
        (("tram",), "", ("pixabay", "terms", ("tram",))),
        (("night tram",), "", ("pixabay", "broader", ("tram",))),
        (("qqq",), "", ("illustrated", "", ())),
    ],
)
def test_from_the_scene_s_terms_to_broader_ones_to_the_next_source(
    place: Place, terms: tuple[str, ...], text: str, expected: tuple[str, str, tuple[str, ...]]
) -> None:
    place.goats(1, "a goat", found_for="ruminant goats brown")
    place.pixabay.video("tram, city", {"tiny": (*SIZE, place.mp4())})
    (clip,) = place.gather([about(*terms, text=text or "And so it was.")])
    assert found_by(clip) == expected


def test_a_named_clip_of_one_s_own_is_no_search(place: Place) -> None:
    place.goats(1)
    own = place.folder / "own"
    own.mkdir()
    (own / "mine.mp4").write_bytes(place.mp4(*SIZE, 2, "black"))
    names = ("pexels", "illustrated", "folder")
    (clip,) = place.gather([replace(GOAT, clip="mine.mp4")], names=names, folder=own)
    assert clip.spec.label == "mine.mp4"
    assert place.pexels.searched == []


BROKEN: dict[str, Callable[[bytes], tuple[bytes, str]]] = {
    "truncated": lambda video: (video[: len(video) // 2], "video/mp4"),
    "noise": lambda video: (hashlib.sha256(video).digest() * 500, "video/mp4"),
    "a picture": lambda _: (b"\x89PNG\r\n\x1a\n" + bytes(100), "video/mp4"),
    "a page": lambda _: (b"<html>Log in first</html>", "text/html"),
    "a page that says that it is a video": lambda _: (b"<html>Log in first</html>", "video/mp4"),
    "nothing": lambda _: (b"", "video/mp4"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_clip_is_left_and_the_next_one_taken(place: Place, how: str) -> None:
    content, kind = BROKEN[how](place.mp4())
    bad = place.pexels.video("a goat", [(*SIZE, content or b"?")], kind=kind)
    next(iter(place.pexels.files.values())).content = content
    (good,) = place.goats(1)
    clips = place.gather([GOAT])
    assert keys(clips) == [good]
    assert [line.partition(": ")[0] for line in place.passed_over] == [f"pexels:{bad}"]
    assert list(clips[0].files[0].parent.iterdir()) == [clips[0].files[0]]


def test_a_clip_that_is_smaller_than_it_is_said_to_be_is_left(place: Place) -> None:
    place.pexels.video("a goat", [(*SIZE, place.mp4(128, 228))])
    (good,) = place.goats(1)
    assert keys(place.gather([GOAT])) == [good]
    assert "has 128x228 pixels" in place.passed_over[0]


def test_a_clip_that_is_gone_is_left(place: Place) -> None:
    place.goats(2, faults=[])
    name = next(iter(place.pexels.files))
    place.pexels.files[name].faults = [MediaFault(404)]
    clips = place.gather([GOAT, about("goat", scene=1)])
    assert [clip.spec.credit.source for clip in clips] == ["illustrated", "pexels"]
    assert len(place.passed_over) == 1
    assert "answers 404" in place.passed_over[0]


def test_clips_are_loaded_together(place: Place) -> None:
    place.pexels.rate = len(place.mp4())
    place.goats(8)
    clips = place.gather([replace(GOAT, scene=scene) for scene in range(8)])
    assert {clip.spec.credit.source for clip in clips} == {"pexels"}
    assert place.pexels.most_at_once >= 4


def test_the_choice_does_not_depend_on_which_link_is_quick(place: Place) -> None:
    queries = [replace(GOAT, scene=scene) for scene in range(3)]
    expected = place.goats(3)
    first = next(iter(place.pexels.files.values()))
    first.faults = [MediaFault(cut=1000, silent=0.5)]
    assert keys(place.gather(queries)) == expected


def test_two_videos_share_what_was_loaded(place: Place) -> None:
    place.goats(1)
    place.gather([GOAT], "a")
    place.gather([GOAT], "b")
    assert len(place.pexels.asked) == 1
    assert len(place.pexels.searched) == 1


def test_a_source_that_is_down_is_tried_again_and_left_at_the_last_try(place: Place) -> None:
    place.pexels.faults = [Answer(503, "text/plain", b"down")] * 50
    place.pixabay.video("goat", {"tiny": (*SIZE, place.mp4())})
    with pytest.raises(TransientFailure, match="pexels answers 503"):
        place.gather([GOAT])
    (clip, other) = place.gather([GOAT, about("goat", scene=1)], last_try=True)
    assert clip.spec.credit.source == "pixabay"
    assert other.spec.credit.source == "illustrated"
    assert place.passed_over == ["pexels: pexels answers 503: down"]
    # It was asked once in each try and not once for each scene.
    assert len(place.pexels.searched) == 2


def test_a_host_of_clips_that_is_down_is_left_at_the_last_try(place: Place) -> None:
    place.goats(9)
    for file in place.pexels.files.values():
        file.faults = [MediaFault(503)] * 99
    place.pixabay.video("goat", {"tiny": (*SIZE, place.mp4())})
    queries = [replace(GOAT, scene=scene) for scene in range(3)]
    with pytest.raises(TransientFailure, match="answers 503"):
        place.gather(queries)
    clips = place.gather(queries, last_try=True)
    assert [clip.spec.credit.source for clip in clips] == ["pixabay", "illustrated", "illustrated"]
    assert place.passed_over[-1] == "pexels: too many of its clips cannot be used"
    # Three clips, and not nine, were tried.
    assert len({asked.path for asked in place.pexels.asked}) == 3


def test_a_source_of_useless_clips_is_left(place: Place) -> None:
    for _ in range(60):
        place.pexels.video("a goat", [(*SIZE, b"?")])
    (clip,) = place.gather([GOAT])
    assert clip.spec.credit.source == "illustrated"
    assert len(place.pexels.asked) == 20


def test_a_short_wait_is_waited_for_and_a_long_one_is_not(place: Place) -> None:
    place.pixabay.video("goat", {"tiny": (*SIZE, place.mp4())})
    place.pexels.remaining, place.pexels.resets_in = 0, 1e6
    with pytest.raises(AskedToWait):
        place.gather([GOAT])
    # Its 429 does not say that it is the month's calls; the answer to the last of them does.
    place.pexels.remaining, place.pexels.key = 1, "another"
    sites = {
        "pexels": Access(place.pexels.search_url, "another", "PEXELS_API_KEY", lambda: None),
        "pixabay": Access(place.pixabay.search_url, place.pixabay.key, "PIXABAY_API_KEY", lambda: None),
    }
    place.goats(1)
    (clip,) = place.gather([GOAT], sites=sites)
    assert clip.spec.credit.source == "pexels"
    (clip,) = place.gather([about("goat", "hill", shot=1)], sites=sites)
    assert clip.spec.credit.source == "pixabay"
    assert "takes no more calls" in place.passed_over[0]


def test_a_bad_key_is_said_and_nothing_is_shown_instead(place: Place) -> None:
    place.pexels.key = "another"
    access = Access(place.pexels.search_url, "wrong", "PEXELS_API_KEY", lambda: None)
    with pytest.raises(PermanentFailure, match="pexels refuses the key: set PEXELS_API_KEY"):
        place.gather([GOAT], sites={"pexels": access}, names=("pexels", "illustrated"))


def test_a_source_without_its_key_is_said(place: Place) -> None:
    access = Access(place.pexels.search_url, " ", "PEXELS_API_KEY", lambda: None)
    with pytest.raises(PermanentFailure, match="set PEXELS_API_KEY"):
        place.gather([GOAT], sites={"pexels": access}, names=("pexels",))


def test_without_any_source_left_it_is_said_what_to_do(place: Place) -> None:
    with pytest.raises(PermanentFailure, match="scene 1: add illustrated to CM_FOOTAGE"):
        place.gather([GOAT], names=("pexels",))


def test_a_clip_on_a_private_host_is_not_loaded(place: Place) -> None:
    place.goats(1)
    (clip,) = place.gather([GOAT], names=("pexels", "illustrated"), allow_private=False)
    assert clip.spec.credit.source == "illustrated"
    assert place.pexels.asked == []
    assert "is not loaded" in place.passed_over[0]


def test_a_time_limit_ends_the_wait(place: Place) -> None:
    """It comes as an exception in the main thread, wherever that is; here, out of what it tells of its progress."""

    class Over(BaseException):
        pass

    place.goats(2)
    place.pexels.rate = 20_000

    def told(_share: float) -> None:
        raise Over

    place.told = told
    started = time.monotonic()
    with pytest.raises(Over):
        place.gather([GOAT])
    assert time.monotonic() - started < 5
