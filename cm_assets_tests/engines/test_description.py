"""Credits are in every description, whole and once; the user's text gives way."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.platforms.description import describe
from cm_assets.models.base import PermanentFailure
from cm_assets.models.clips import Credit


def pexels(author: str = "Ana Lima", number: int = 1) -> Credit:
    url = f"https://www.pexels.com/video/{number}/"
    return Credit(source="pexels", author=author, licence="Pexels License", url=url)


PIXABAY = Credit(
    source="pixabay", author="coverr", licence="Pixabay Content License", url="https://pixabay.com/videos/id-1/"
)
OWN = Credit(source="folder", author="me", licence="own")
BORROWED = Credit(source="folder", author="Bo Ek", licence="CC BY 4.0", url="https://example.com/b")
DRAWN = Credit(source="illustrated", author="Microsoft (Fluent Emoji)", licence="MIT", url="https://github.com/x")


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def test_authors_and_links_are_below_the_text_each_once() -> None:
    said = describe("Coffee.\n", [pexels(), PIXABAY, pexels(), OWN, BORROWED, DRAWN], 5000)
    assert said == (
        "Coffee.\n\n"
        "Video by Ana Lima on Pexels: https://www.pexels.com/video/1/\n"
        "Video by coverr on Pixabay: https://pixabay.com/videos/id-1/\n"
        "Footage by Bo Ek (CC BY 4.0): https://example.com/b"
    )


def test_what_asks_for_nothing_is_not_named() -> None:
    assert describe("Coffee.", [OWN, DRAWN], 5000) == "Coffee."
    assert describe("", [], 5000) == ""


def test_without_a_text_the_credits_stand_alone() -> None:
    assert describe(" ", [pexels()], 100) == "Video by Ana Lima on Pexels: https://www.pexels.com/video/1/"


def test_the_text_gives_way_between_words() -> None:
    assert describe("one two, three four", [pexels()], 75) == (
        "one two\u2026\n\nVideo by Ana Lima on Pexels: https://www.pexels.com/video/1/"
    )


def test_a_text_without_spaces_is_cut_as_well() -> None:
    said = describe("\u6771" * 500, [pexels()], 100)
    assert said.startswith("\u6771" * 30)
    assert len(said) == 100


def test_many_clips_are_said_more_briefly() -> None:
    several = [pexels("Ana Lima", number) for number in range(20)] + [pexels("Bo Ek", 99), PIXABAY]
    assert describe("Hello.", several, 200) == (
        "Hello.\n\n"
        "Videos by Ana Lima, Bo Ek on Pexels: https://www.pexels.com\n"
        "Videos by coverr on Pixabay: https://pixabay.com"
    )
    assert describe("Hello.", several, 59) == "Videos: https://www.pexels.com\nVideos: https://pixabay.com"


def test_credits_that_cannot_be_said_are_no_post() -> None:
    with pytest.raises(PermanentFailure, match="do not fit into 20"):
        describe("Hello.", [BORROWED], 20)


def test_a_name_is_one_short_line_that_closes_nothing() -> None:
    said = describe("", [pexels("Eve\n#ad <script>" + "x" * 500)], 5000)
    assert said.startswith("Video by Eve #ad script xxx")
    assert "\n" not in said
    assert len(said) < 160


CREDITS = st.lists(
    st.builds(pexels, st.text(max_size=100), st.integers(0, 5)) | st.just(PIXABAY) | st.just(OWN), max_size=30
)


@settings(deadline=None)
@given(st.text(max_size=3000), CREDITS, st.integers(80, 2500), st.sampled_from([len, utf16, lambda t: len(t.encode())]))
def test_whatever_the_text_the_limit_holds_and_the_credits_are_whole(
    text: str, owed: list[Credit], limit: int, size: object
) -> None:
    assert callable(size)
    alone = describe("", owed, limit, size=size)
    said = describe(text, owed, limit, size=size)
    assert size(said) <= limit
    assert said.endswith(alone)
    for source in {"pexels", "pixabay"} & {credit.source for credit in owed}:
        assert source in alone.lower()
    if not any(credit.source != "folder" for credit in owed) and size(text.strip()) <= limit:
        assert said == text.strip()
