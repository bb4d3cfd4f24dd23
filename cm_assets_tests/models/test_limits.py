"""What each platform takes, at its bounds."""

import pytest

from cm_assets.engines.platforms import tiktok
from cm_assets.models.limits import LIMITS, caption, category_number, not_offered, tags_length, too_much, utf16_units


@pytest.mark.parametrize(
    ("platform", "fits", "over", "field"),
    [
        ("youtube", {"title": "x" * 100}, {"title": "x" * 101}, "title"),
        ("youtube", {"title": "a & b"}, {"title": "a < b"}, "title"),
        ("youtube", {"description": "é" * 2500}, {"description": "é" * 2500 + "."}, "description"),
        ("youtube", {"hashtags": ["x" * 250, "y" * 249]}, {"hashtags": ["x" * 250, "y" * 250]}, "hashtags"),
        ("youtube", {"hashtags": ["x y" + "z" * 495]}, {"hashtags": ["x y" + "z" * 496]}, "hashtags"),
        ("tiktok", {"description": "x" * 2200}, {"description": "x" * 2201}, "description"),
        ("tiktok", {"description": "\U0001f682" * 1100}, {"description": "\U0001f682" * 1100 + "."}, "description"),
        (
            "tiktok",
            {"title": "t" * 100, "description": "x" * 2092, "hashtags": ["train"]},
            {"title": "t" * 100, "description": "x" * 2093, "hashtags": ["train"]},
            "description",
        ),
        ("tiktok", {"hashtags": ["x" * 2199]}, {"hashtags": ["x" * 2200]}, "hashtags"),
    ],
)
def test_the_last_that_fits_and_the_first_that_does_not(
    platform: str, fits: dict[str, object], over: dict[str, object], field: str
) -> None:
    assert too_much(platform, **fits) == []  # type: ignore[arg-type]
    (found,) = too_much(platform, **over)  # type: ignore[arg-type]
    assert found.field == field
    assert platform in found.why


def test_a_platform_without_bounds_takes_what_a_request_may_hold() -> None:
    assert too_much("outbox", title="<" * 500, description="x" * 5000, hashtags=["x" * 200] * 60) == []


def test_a_caption_is_counted_as_it_is_shown() -> None:
    assert caption("A title", "", ["one", "two"]) == "A title\n#one #two"
    assert utf16_units("a\U0001f682\u00e9") == 4
    assert (tags_length([]), tags_length(["ab", "c d"])) == (0, 8)


def test_categories_are_known_by_name_and_number() -> None:
    assert (category_number("Education"), category_number(" HOWTO & style "), category_number("44")) == (
        "27",
        "26",
        "44",
    )
    for name in ("Cookery", "", "²", "-1"):
        assert category_number(name) == ""
    (found,) = not_offered("youtube", category="Cookery", privacy="unlisted")
    assert (found.field, "comedy" in found.why) == ("category", True)
    assert not_offered("outbox", category="Cookery", privacy="unlisted") == []


def test_the_privacies_that_are_taken_are_those_that_are_translated() -> None:
    assert LIMITS["tiktok"].privacy == tuple(tiktok.PRIVACY)
    (found,) = not_offered("tiktok", category="Cookery", privacy="unlisted")
    assert found.field == "privacy"
    assert "public or private" in found.why
