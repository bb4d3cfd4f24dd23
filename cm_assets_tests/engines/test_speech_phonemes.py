"""Spoken words become phonemes, and long texts stretches that a model can take."""

# ruff: noqa: RUF001 - phonetic letters

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.speech.phonemes import Item, Phonemizer, alphabet, text_of, utterances
from cm_assets.engines.speech.reading import read


@pytest.fixture(scope="module")
def phonemizer() -> Phonemizer:
    return Phonemizer()


@pytest.mark.parametrize(
    ("written", "phonemes"),
    [
        ("NASA", "nˈæsə"),
        ("the AI", "ði ˈAˌI"),
        ("HTTP", "ˌAʧtˌitˌipˈi"),
        ("U.S.", "jˌuˈɛs."),
        ("don't", "dˈOnt"),
        ("don’t", "dˈOnt"),
    ],
)
def test_words_sound_as_they_should(phonemizer: Phonemizer, written: str, phonemes: str) -> None:
    assert text_of(phonemizer.items(read(written))) == phonemes


def test_a_word_is_pronounced_by_its_part_of_speech(phonemizer: Phonemizer) -> None:
    noun = phonemizer.items(read("A new record."))[-1].phonemes
    verb = phonemizer.items(read("We will record it."))[2].phonemes
    assert noun.rstrip(".") != verb


def test_british_and_american_differ(phonemizer: Phonemizer) -> None:
    assert Phonemizer(british=True).items(read("car"))[0].phonemes != phonemizer.items(read("car"))[0].phonemes


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120))
def test_phonemes_of_any_text_are_in_the_alphabet_and_in_the_order_of_its_words(
    phonemizer: Phonemizer, text: str
) -> None:
    items = phonemizer.items(read(text))
    assert all(earlier.word <= later.word for earlier, later in itertools.pairwise(items))
    assert all(0 <= item.word < len(text.split()) for item in items)
    assert set(text_of(items)) <= alphabet().keys()


WORDS = st.builds(
    lambda letters, pause: "a" * letters + pause, st.integers(1, 60), st.sampled_from(["", "", "", ",", ";", ".", "?"])
)


@given(st.lists(WORDS, min_size=1, max_size=60), st.integers(20, 80))
def test_no_stretch_is_longer_than_the_limit_and_no_word_is_lost(words: list[str], limit: int) -> None:
    items = [Item(place, word, word) for place, word in enumerate(words)]
    parts = utterances(items, ideal=limit // 2, limit=limit)
    assert all(len(text_of(part)) <= limit for part in parts)
    assert [item.word for part in parts for item in part] == list(range(len(words)))


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    items = [Item(place, word, word) for place, word in enumerate(["aaaa", "bbbb,", "cccc", "dddd", "eeee."])]
    parts = utterances(items, ideal=5, limit=20)
    assert [text_of(part) for part in parts] == ["aaaa bbbb,", "cccc dddd eeee."]
