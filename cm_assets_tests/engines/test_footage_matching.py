"""Which illustration a word is given: the right one or none."""

import re
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.footage.matching import code_of, load, matches

RIGHT = {
    "robot": "🤖",
    "Artificial Intelligence": "🤖",
    "machine learning": "🤖",
    "laptop": "💻",
    "padlock": "🔒",
    "cyber-security": "🔒",
    "stock market": "📈",
    "bear market": "📉",
    "investors": "📈",
    "piggy bank": "🐷",
    "bitcoin": "🪙",
    "credit cards": "💳",
    "rocket launch": "🚀",
    "black hole": "🪐",
    "earth from space": "🌍",
    "ancient Rome": "🏛️",
    "Vikings": "⚔️",
    "amazon rainforest": "🌳",
    "amazon delivery": "📦",
    "computer mouse": "🖱️",
    "field mouse": "🐭",
    "spring flowers": "🌸",
    "apple pie": "🥧",
    "apple orchard": "🍎",
    "apple iphone": "📱",
    "coffee beans": "☕",
    "hot dog": "🌭",
    "sleeping cat": "🐱",
    "horse running": "🐎",
    "gym workout": "🏋️",
    "meditating": "🧘",
    "vaccines": "💉",
    "dna": "🧬",
    "giraffe": "🦒",
    "video games": "🎮",
    "journalists": "📰",
    "psychology": "🧠",
    "light bulb": "💡",
    "light years": "🪐",
    "train station": "🚆",
    "immune system": "🛡️",
}

NOTHING = [
    "spring",
    "light weight",
    "apple",
    "apple stock",
    "Apple Inc",
    "big apple",
    "training",
    "orange county",
    "python code",
    "cookie banner",
    "market",
    "date",
    "lead",
    "pitch",
    "nervous system",
    "body language",
    "production",
    "directed",
    "abstract background",
    "",
    "的 技术",
    "../../etc/passwd",
]

SILENT_TEXTS = [
    "Watch this, then turn left and book a table.",
    "Turn off the light, take a second, and see what happens next.",
    "The Apple stock rose three percent in March.",
    "She had to bear the pressure while the market fell.",
    "The match was over in a minute, a draw.",
    "A bat is the only mammal that flies.",
    "Turkey exports hazelnuts, Chile exports copper.",
    "Rust and Python still run the cloud.",
    "Fire your worst critic, and lead.",
    "The current state of the art, in a nutshell.",
]


@pytest.mark.parametrize(("term", "emoji"), RIGHT.items())
def test_a_search_term_gets_its_illustration(term: str, emoji: str) -> None:
    found = matches([term], "")
    assert found
    assert found[0].pictures[0] == code_of(emoji)


@pytest.mark.parametrize("term", NOTHING)
def test_what_cannot_be_drawn_for_certain_is_not_drawn(term: str) -> None:
    assert matches([term], "") == []


@pytest.mark.parametrize("text", SILENT_TEXTS)
def test_a_sentence_whose_nouns_are_not_meant_literally_gets_nothing(text: str) -> None:
    assert matches([], text) == []


def test_terms_come_before_the_words_of_the_narration() -> None:
    found = matches(["telescope"], "A cat watched the moon.")
    assert [match.term for match in found] == ["telescope", None, None]


def test_the_other_words_of_a_scene_decide_between_meanings() -> None:
    assert matches(["bank"], "The central bank raised rates.")[0].pictures[0] == code_of("🏦")
    assert code_of("🏦") not in {code for match in matches(["bank"], "We sat by the river.") for code in match.pictures}


def test_a_word_is_not_drawn_beside_one_that_changes_its_meaning() -> None:
    assert code_of("🍪") in {code for match in matches(["cookies"], "") for code in match.pictures}
    assert code_of("🍪") not in {code for match in matches(["browser cookies"], "") for code in match.pictures}


def test_whatever_is_named_is_shipped_and_nothing_is_shipped_that_no_word_finds() -> None:
    known = load()
    shipped = {
        file.name.removesuffix(".webp")
        for file in (resources.files("cm_assets.engines.footage") / "data" / "fluent").iterdir()
    }
    named = {code for senses in known.senses.values() for sense in senses for code in sense.pictures}
    named |= {code for theme in known.themes for code in theme}
    assert shipped == set(known.names)
    assert named <= shipped
    assert not [code for code in shipped - named if code not in {c for t in known.themes for c in t}]


def test_no_flag_keycap_or_skin_tone_is_shipped() -> None:
    unfit = re.compile(r"1f3f[b-f]|1f1[ef][0-9a-f]|20e3|1f595|1f4a9")
    assert not [code for code in load().names if unfit.search(code)]


def test_the_licences_are_shipped() -> None:
    data = resources.files("cm_assets.engines.footage") / "data"
    for name in ("LICENSE-fluent-emoji.txt", "LICENSE-emojibase.txt"):
        assert "MIT License" in (data / name).read_text("utf-8")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=5), st.text(max_size=400))
def test_any_text_is_matched_without_an_error(terms: list[str], text: str) -> None:
    for match in matches(terms, text):
        assert match.pictures
        assert set(match.pictures) <= set(load().names)
