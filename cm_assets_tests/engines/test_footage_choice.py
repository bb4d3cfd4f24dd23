"""Which searches, which clip of what they found, and which of its files."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.footage.ranking import MOST_ENLARGED, Rendition, StockClip, confirmed, ranked, rendition
from cm_assets.engines.footage.search_terms import LONGEST, MOST_SEARCHES, broader, clean, searches
from cm_assets.models.clips import FootageQuery

QUERY = FootageQuery(
    scene=0,
    shot=0,
    text="Goats found coffee first.",
    terms=("coffee cup", "goat"),
    clip=None,
    width=1080,
    height=1920,
    seconds=5.0,
    mood="calm",
    seed=1,
    used=frozenset(),
)


def a_clip(
    key: str = "pexels:1", title: str = "a coffee cup", *, seconds: float = 10, size: str = "1080x1920"
) -> StockClip:
    width, height = map(int, size.split("x"))
    return StockClip(
        key, "https://example.com", title, seconds, "A", (Rendition(width, height, f"https://e.com/{key}"),)
    )


def sized(*sizes: str) -> StockClip:
    sides = [tuple(map(int, size.split("x"))) for size in sizes]
    files = (Rendition(width, height, f"{width}x{height}") for width, height in sides)
    return replace(a_clip(), renditions=tuple(files))


@pytest.mark.parametrize(
    ("sizes", "frame", "chosen"),
    [
        (("2160x3840", "1080x1920", "720x1280"), (1080, 1920), "1080x1920"),
        (("2160x3840", "720x1280"), (1080, 1920), "2160x3840"),
        # A landscape clip fills a portrait frame by its height: 1080 lines are too few, 2160 do.
        (("1920x1080", "3840x2160", "2560x1440"), (1080, 1920), "3840x2160"),
        (("1920x1080", "1280x720"), (1080, 1920), "1920x1080"),
        (("1280x720", "640x360"), (1080, 1920), None),
        (("1080x1920", "1920x1080", "1080x1080"), (1080, 1080), "1080x1080"),
        (("4096x2160", "1920x1080"), (1920, 1080), "1920x1080"),
        ((), (1080, 1920), None),
    ],
)
def test_the_smallest_file_that_fills_the_frame(
    sizes: tuple[str, ...], frame: tuple[int, int], chosen: str | None
) -> None:
    found = rendition(sized(*sizes), *frame)
    assert (found.url if found else None) == chosen


SIDE = st.integers(100, 5000)


@settings(deadline=None)
@given(st.lists(st.tuples(SIDE, SIDE), max_size=6), st.sampled_from([(1080, 1920), (1920, 1080), (1080, 1080)]))
def test_no_smaller_file_would_have_done(sizes: list[tuple[int, int]], frame: tuple[int, int]) -> None:
    clip = replace(a_clip(), renditions=tuple(Rendition(w, h, f"{w}x{h}") for w, h in sizes))
    found = rendition(clip, *frame)

    def enlarged(width: int, height: int) -> float:
        return max(frame[0] / width, frame[1] / height)

    covering = [w * h for w, h in sizes if enlarged(w, h) <= 1]
    if covering:
        assert found is not None
        assert found.width * found.height == min(covering)
        assert enlarged(found.width, found.height) <= 1
    elif found is not None:
        assert enlarged(found.width, found.height) == min(enlarged(w, h) for w, h in sizes) <= MOST_ENLARGED
    else:
        assert all(enlarged(w, h) > MOST_ENLARGED for w, h in sizes)


def order(*clips: StockClip, shown: dict[str, float] | None = None, earlier: str | None = None) -> list[str]:
    return [clip.key for clip in ranked(clips, "coffee cup", QUERY, shown or {}, earlier)]


def test_what_its_words_say_comes_first() -> None:
    exact, thing = a_clip("exact", "cups of coffee on a table"), a_clip("thing", "a cup of tea")
    assert order(a_clip("none", "coffee beans"), thing, exact) == ["exact", "thing", "none"]


def test_a_clip_that_shows_most_of_itself_and_lasts_is_preferred() -> None:
    short, wide = a_clip("short", seconds=2), a_clip("wide", size="3840x2160")
    assert order(wide, short, a_clip("right")) == ["right", "short", "wide"]


def test_a_clip_that_cannot_fill_the_frame_is_left_out() -> None:
    assert order(a_clip("tiny", size="180x320")) == []


def test_of_equals_the_one_that_was_shown_longest_ago_comes_first() -> None:
    clips = [a_clip(key) for key in "abc"]
    assert order(*clips, shown={"a": 50.0, "b": 10.0}) == ["c", "b", "a"]


def test_what_the_video_chose_before_stays_whatever_others_did() -> None:
    clips = [a_clip(key) for key in "abc"]
    assert order(*clips, shown={"b": 99.0}, earlier="b") == ["b", "a", "c"]


def test_more_of_the_scene_s_words_come_before_the_site_s_own_order() -> None:
    assert order(a_clip("plain"), a_clip("goat", "coffee cup beside goats")) == ["goat", "plain"]


@pytest.mark.parametrize(
    ("title", "term", "found"),
    [
        ("a drone view of solar panels", "solar panel", True),
        ("solar, panels, roof", "solar panels", True),
        ("an office", "solar panels", False),
        ("a solar farm", "solar panels", False),
        ("a busy office", "busy street", False),
        ("the earth", "earth from space", True),
        ("Kaffeetasse, Tisch", "Kaffeetasse", True),
        ("東京", "東京", True),
        ("", "coffee", False),
    ],
)
def test_a_clip_s_own_words_confirm_it(title: str, term: str, found: bool) -> None:
    assert bool(confirmed([a_clip(title=title)], term)) is found


def test_searches_go_from_what_was_wanted_to_what_is_near_it() -> None:
    query = replace(QUERY, terms=("red vintage car in the rain", "goat"))
    assert list(searches(query)) == [
        ("terms", "red vintage car in the rain"),
        ("terms", "goat"),
        ("broader", "red vintage car"),
        ("broader", "vintage car"),
        ("broader", "car"),
        ("narration", "goats"),
        ("narration", "coffee"),
    ]


def test_the_shots_of_a_scene_begin_with_different_terms() -> None:
    first = [next(searches(replace(QUERY, shot=shot)))[1] for shot in range(4)]
    assert first == ["coffee cup", "goat", "coffee cup", "goat"]


@pytest.mark.parametrize(
    ("term", "wider"),
    [("earth from space", ["earth"]), ("solar panels", ["panels"]), ("sea", []), ("", []), ("Tasse", [])],
)
def test_broader_terms(term: str, wider: list[str]) -> None:
    assert broader(term) == wider


@settings(deadline=None)
@given(st.lists(st.text(max_size=300), max_size=20), st.text(min_size=1, max_size=500), st.integers(0, 30))
def test_whatever_is_written_becomes_few_plain_searches(terms: list[str], text: str, shot: int) -> None:
    made = list(searches(replace(QUERY, terms=tuple(terms), text=text, shot=shot)))
    assert len(made) <= MOST_SEARCHES
    words = [term for _, term in made]
    assert len({word.casefold() for word in words}) == len(words)
    for word in words:
        assert 0 < len(word) <= LONGEST
        assert word == clean(word)
        assert word.isprintable()
        word.encode()


def test_a_slot_is_the_same_as_long_as_the_same_is_asked_for() -> None:
    assert QUERY.slot == replace(QUERY, used=frozenset({"x"}), seconds=7.0, mood="happy").slot
    assert QUERY.slot != replace(QUERY, terms=("tea",)).slot
    assert QUERY.slot != replace(QUERY, shot=1).slot
