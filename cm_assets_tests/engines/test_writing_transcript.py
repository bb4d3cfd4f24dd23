"""The text of a narration becomes scenes, and not one of its words is touched."""

from hypothesis import given
from hypothesis import strategies as st

from cm_assets.engines.writing.choice import writer_for
from cm_assets.engines.writing.transcript import sentences
from cm_assets.lifecycle.documents import parse
from cm_assets.storage.spending import Spending

NARRATION = f"upload:{'b' * 32}"


def written(text: str) -> list[str]:
    request = parse({"source_text": text, "narration": NARRATION})
    purse: Spending = None  # type: ignore[assignment]  # nothing is bought
    writer = writer_for(request, model="m", base_url=None, api_key=None, purse=purse)
    script = writer.write(request)
    assert script.writer == "transcript"
    assert all(scene.search_terms for scene in script.scenes)
    return [scene.text for scene in script.scenes]


def test_what_an_extract_would_leave_out_stays() -> None:
    text = "Subscribe now! However, this is it. Dr. Smith said so. Click here: it is 5 p.m. and all is well (really)."
    assert " ".join(written(text)) == text


def test_a_long_sentence_is_cut_and_short_ones_share_a_scene() -> None:
    long = "we walked along the river for an hour and a half until the old bridge came into view, " * 2
    scenes = written(f"Yes. No. Maybe so. {long.capitalize().strip()} and that was all.")
    assert scenes[0].startswith("Yes. No. Maybe so.")
    assert all(len(scene.split()) <= 22 for scene in scenes)


def test_blank_lines_and_wrapping_mean_nothing() -> None:
    assert written("One two three four\nfive six.\n\n  Seven eight nine ten eleven twelve.") == [
        "One two three four five six.",
        "Seven eight nine ten eleven twelve.",
    ]


@given(st.text(st.sampled_from("ab c.,!?\n\t\"'()\u2014é \u201d5%"), max_size=400))
def test_no_word_is_lost_or_moved(text: str) -> None:
    assert " ".join(sentences(text)).split() == text.split()
    if any(character.isalnum() for character in text) and text.strip():
        assert " ".join(written(text)).split() == parse({"source_text": text}).source_text.split()  # type: ignore[union-attr]
