import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.lifecycle.documents import MAX_DOCUMENT_BYTES, RequestError, parse, read
from cm_assets.models.request import VideoRequest


def problem(document: dict[str, object]) -> str:
    with pytest.raises(RequestError) as caught:
        parse(document)
    return str(caught.value)


def test_the_body_of_other_tools_works_verbatim() -> None:
    request = parse(
        {
            "scenes": [{"text": "Hello world", "searchTerms": ["technology"]}],
            "config": {"music": "chill", "voice": "af_heart"},
        }
    )
    assert request.scenes is not None
    assert request.scenes[0].search_terms == ("technology",)
    assert (request.music, request.voice) == ("chill", "af_heart")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"topic": "x", "colour": "red"}, "colour"),
        ({"scenes": [{"text": "x", "colour": "red"}]}, "scenes.0.colour"),
        ({"topic": "x", "source_text": "y"}, "topic and source_text"),
        ({"topic": "x", "scenes": [{"text": "x"}]}, "topic and scenes"),
        ({}, "none of them"),
        ({"scenes": []}, "scenes"),
        ({"scenes": [{"text": ""}]}, "scenes.0.text"),
        ({"scenes": [{"text": "   "}]}, "scenes.0.text"),
        ({"scenes": [{"text": "x" * 10_001}]}, "scenes.0.text"),
        ({"topic": "x", "id": "Not A Slug"}, "id"),
        ({"topic": "x", "id": "../../etc"}, "id"),
        ({"topic": "x", "id": "a\nb"}, "id"),
        ({"topic": "x", "id": "a\n"}, "id"),
        ({"topic": "x", "id": "a" * 65}, "id"),
        ({"topic": "x", "speed": 3}, "speed"),
        ({"topic": "x", "priority": 0}, "priority"),
        ({"topic": "x", "budget": 0}, "budget"),
        ({"topic": "x", "budget": float("inf")}, "budget"),
        ({"topic": "x", "captions": {"highlight": "red"}}, "captions.highlight"),
        ({"topic": "x", "publish_at": "2030-01-01T00:00:00"}, "publish_at"),
        ({"topic": "x", "voice": "af_heart", "config": {"voice": "af_bella"}}, "voice"),
        ({"topic": "x", "schema_version": 2}, "schema_version"),
        ({"scenes": [{"text": "x", "clip": "../secret.mp4"}]}, "scenes.0.clip"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, object], field: str) -> None:
    assert field in problem(document)


def test_every_wrong_field_is_named_at_once() -> None:
    said = problem({"topic": "x", "speed": 9, "priority": 99, "colour": 1})
    assert all(field in said for field in ("speed", "priority", "colour"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "- a\n- list",
        "{",
        "a: [",
        "a: b: c",
        "\x00",
        "!!python/object:os.system x",
        "a: &x [1]\nb: *x",
    ],
)
def test_a_document_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        read(text)


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    with pytest.raises(RequestError, match="aliases"):
        read("\n".join(lines))


def test_a_document_that_is_too_large_is_refused() -> None:
    with pytest.raises(RequestError, match="larger"):
        read("a: " + "x" * MAX_DOCUMENT_BYTES)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(RequestError):
        parse(read(text))


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300)


@given(WORDS.filter(lambda text: text.strip()))
def test_any_words_come_back_as_they_were(text: str) -> None:
    document = read(json.dumps({"scenes": [{"text": text}]}))
    request = parse(document)
    assert request.scenes is not None
    assert request.scenes[0].text == text.strip()


def test_control_characters_become_spaces() -> None:
    request = parse({"scenes": [{"text": "\x00one\x1b[31mtwo\x7f\nthree\x85"}]})
    assert request.scenes is not None
    assert request.scenes[0].text == "one [31mtwo  three"


def test_the_same_request_has_the_same_content_however_it_is_spelt() -> None:
    one = parse(read('{"scenes": [{"text": "Hi", "searchTerms": "sea"}], "config": {"voice": "af_heart"}}'))
    two = parse(read("voice: af_heart\nscenes:\n  - search_terms: [sea]\n    text: Hi\nspeed: 1.0\n"))
    assert one.content_sha256() == two.content_sha256()
    assert one.content_sha256() != parse({"scenes": [{"text": "Hi"}]}).content_sha256()


def test_a_stored_request_reads_back_as_it_was() -> None:
    request = parse(
        {"topic": "x", "publish_at": "2030-01-01T00:00:00+02:00", "post": {"per_platform": {"outbox": {"title": "t"}}}}
    )
    assert VideoRequest.model_validate(request.canonical()) == request
    assert request.post.on("outbox").title == "t"
    assert request.post.on("youtube").title is None
