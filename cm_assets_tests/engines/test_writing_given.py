import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.engines.writing.given import Given
from cm_assets.engines.writing.keywords import keywords
from cm_assets.engines.writing.titles import fitted, title_from
from cm_assets.models.base import PermanentFailure
from cm_assets.models.request import VideoRequest


def request(*texts: str, **fields: object) -> VideoRequest:
    return VideoRequest.model_validate({"scenes": [{"text": text} for text in texts], **fields})


def test_scenes_stay_as_they_are() -> None:
    asked = VideoRequest.model_validate(
        {"scenes": [{"text": "Cats  purr.\nAlways.", "searchTerms": ["Cat"], "clip": "cat.mp4"}, {"text": "Why?"}]}
    )
    script = Given().write(asked)
    assert [(scene.text, scene.clip) for scene in script.scenes] == [("Cats  purr. Always.", "cat.mp4"), ("Why?", None)]
    assert script.scenes[0].search_terms == ("Cat",)
    assert script.writer == "request"


def test_a_scene_without_terms_gets_them_from_its_text() -> None:
    script = Given().write(request("Researchers discovered a new species of octopus near Costa Rica."))
    assert "octopus" in script.scenes[0].search_terms
    assert "costa rica" in script.scenes[0].search_terms


@pytest.mark.parametrize(
    ("text", "has", "has_not"),
    [
        ("Three AI trends are changing how you work this year.", "ai trends", "year"),
        ("Drink a glass of water before every meal.", "water", "every"),
        ("The U.K.'s EV market doubled in 2024, Tesla's share fell.", "ev market", "2024"),
        ("Cheap flights had taken its passengers.", "passengers", "taken"),
        ("The family quickly bought two sleeping bags.", "sleeping bags", "quickly"),
    ],
)
def test_terms_are_things_and_no_verbs(text: str, has: str, has_not: str) -> None:
    terms = keywords(text, 4)
    assert has in terms
    assert has_not not in " ".join(terms).split()


@pytest.mark.parametrize(
    "text", ["It works.", "42!", "\U0001f44d", "...", "Don't.", "x" * 10_000, "人工智能正在改变世界。"]
)
def test_a_text_without_subject_still_has_a_term(text: str) -> None:
    terms = keywords(text, 3)
    assert terms
    assert all(0 < len(term) <= 90 for term in terms)


@pytest.mark.parametrize("text", ["She couldn't believe what happened next.", "It doesn't have to be this way."])
def test_no_term_is_a_contraction(text: str) -> None:
    assert not any("'" in term for term in keywords(text, 4))


def test_hashtags_name_what_most_scenes_show() -> None:
    shown = (["coral reef", "sand", "octopus"], ["blue blood", "heart", "octopus"])
    script = Given().write(VideoRequest.model_validate({"scenes": [{"text": "Hi.", "searchTerms": t} for t in shown]}))
    assert script.hashtags[0] == "octopus"


@given(st.text(max_size=300), st.integers(1, 6))
def test_terms_of_any_text_are_few_short_and_each_once(text: str, count: int) -> None:
    terms = keywords(text, count)
    assert 1 <= len(terms) <= count
    assert len(set(terms)) == len(terms)
    assert all(term.strip() == term and term for term in terms)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Cats purr. Dogs bark.", "Cats purr"),
        ("Why do cats purr? Nobody knew.", "Why do cats purr?"),
        ("Dr. Smith found it. Then he left.", "Dr. Smith found it"),
        ("The U.S. economy grew. It was 2021.", "The U.S. economy grew"),
        ("In Jan. 2020 a lab built it. It works.", "In Jan. 2020 a lab built it"),
        ("An octopus (pl.: octopuses) is soft, and clever.", "An octopus is soft, and clever"),
        (
            "Three AI trends are changing how small teams work this year, and you can use all of them today.",
            "Three AI trends are changing how small teams work this year",
        ),
        ("<b>Bold</b> & free.", "b Bold /b & free"),
        ("word " * 40, "word word word word word word word word word word word word word word\u2026"),
    ],
)
def test_a_title_is_the_first_sentence_or_a_good_part_of_it(text: str, title: str) -> None:
    assert title_from(text) == title


@given(st.text(min_size=1, max_size=400))
def test_any_title_is_one_short_line_without_brackets(text: str) -> None:
    title = title_from(text)
    assert 1 <= len(title) <= 100
    assert not set(title) & set("<>\n\r")


@given(st.text(max_size=200), st.integers(10, 100))
def test_a_fitted_text_is_a_beginning(text: str, most: int) -> None:
    short = fitted(text, most)
    assert len(short) <= most
    assert text.strip().startswith(short.removesuffix("\u2026").strip()) or short == text.strip()


def test_the_requests_own_words_come_first() -> None:
    post = {"title": "Mine <3  yours", "description": "", "hashtags": ["#One", " two ", "#", "One"]}
    script = Given().write(request("Cats purr.", post=post))
    assert (script.title, script.description, script.hashtags) == ("Mine 3 yours", "", ("One", "two"))


def test_a_post_without_words_gets_them_from_the_scenes() -> None:
    script = Given().write(request("Cats purr when they heal.", "Dogs bark at the moon.", "Cats sleep."))
    assert script.title == "Cats purr when they heal"
    assert script.description == "Cats purr when they heal. Dogs bark at the moon. Cats sleep."
    assert script.hashtags[0] == "cats"


def test_writing_twice_gives_the_same_script() -> None:
    asked = request("Cats purr when they heal.", "Dogs bark.")
    assert Given().write(asked).to_bytes() == Given().write(asked).to_bytes()


def test_no_scenes_are_refused() -> None:
    with pytest.raises(PermanentFailure, match="no scenes"):
        Given().write(VideoRequest(topic="Cats"))
