"""Long texts are spoken in passages, and sound as one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.engines.speech.passages import joined, passages
from cm_assets.models.audio import Speech, Word
from cm_assets_tests.engines.sound import COFFEE


@given(st.text(min_size=1, max_size=400).filter(str.split), st.integers(5, 60))
def test_every_passage_fits_and_nothing_is_lost(text: str, limit: int) -> None:
    parts = passages(text, limit)
    assert all(len(part.text) <= limit for part in parts)
    assert "".join(part.text for part in parts).replace(" ", "") == "".join(text.split()).replace(" ", "")
    places = [index for part in parts for index in part.words]
    assert places == sorted(places)
    assert set(places) == set(range(len(text.split())))
    assert all(len(part.words) == len(part.text.split(" ")) for part in parts)


@given(st.text(min_size=1, max_size=200).filter(str.split), st.integers(20, 80))
def test_a_size_of_ones_own_is_kept_too(text: str, limit: int) -> None:
    def size(part: str) -> int:
        return len(part.encode())

    assert all(size(part.text) <= limit for part in passages(text, limit, size=size))


def test_passages_end_with_sentences() -> None:
    parts = passages("One two three. Four five six! Seven eight nine? Ten.", 32)
    assert [part.text for part in parts] == ["One two three. Four five six!", "Seven eight nine? Ten."]


def test_a_sentence_that_is_too_long_ends_at_a_clause() -> None:
    (first, second) = passages("When the sun goes down, the bats come out of their cave.", 40)
    assert (first.text, second.text) == ("When the sun goes down,", "the bats come out of their cave.")


def test_a_script_without_blanks_is_cut_at_its_own_marks() -> None:
    text = "今日は天気がいいですね。散歩に行きましょう。公園はとてもきれいです。"
    parts = passages(text, 20)
    assert [part.text for part in parts] == [
        "今日は天気がいいですね。",
        "散歩に行きましょう。",
        "公園はとてもきれいです。",
    ]
    assert {part.words for part in parts} == {(0,)}


@pytest.mark.parametrize("speed", [0.8, 1.5])
def test_joined_passages_have_all_words_in_order_and_nothing_clicks(speed: float) -> None:
    def spoken(text: str) -> Speech:
        return Hibari().speak(text, voice="af_heart", speed=speed, language="en")

    parts = passages(COFFEE, 120)
    assert len(parts) > 3
    speech = joined(COFFEE, [(part, spoken(part.text)) for part in parts], speed)
    assert [word.text for word in speech.words] == COFFEE.split()
    assert all(earlier.end <= later.start + 1e-6 for earlier, later in itertools.pairwise(speech.words))
    assert speech.words[-1].end <= len(speech.samples) / speech.sample_rate
    # A click is a step; within speech, neighbouring samples at 48 kHz differ by less than its loudest.
    whole = spoken(COFFEE)
    assert np.max(np.abs(np.diff(speech.samples))) <= 1.2 * np.max(np.abs(np.diff(whole.samples)))
    # Each word is heard where it is said to be: what is before the first word of a passage is quiet.
    for word in (speech.words[part.words[0]] for part in parts):
        before = speech.samples[
            max(0, round((word.start - 0.12) * 48_000)) : max(1, round((word.start - 0.06) * 48_000))
        ]
        assert np.sqrt(np.mean(before**2)) < 0.02


def test_the_silence_around_a_passage_is_not_heard_in_the_middle_of_a_scene() -> None:
    def padded(text: str) -> Speech:
        speech = Hibari().speak(text, voice="af_heart", speed=1, language="en")
        quiet = np.zeros(24_000, np.float32)
        words = tuple(Word(text=one.text, start=one.start + 1, end=one.end + 1) for one in speech.words)
        return Speech(np.concatenate([quiet, speech.samples, quiet]), 24_000, words, "model")

    parts = passages(COFFEE, 200)
    speech = joined(COFFEE, [(part, padded(part.text)) for part in parts], 1.0)
    gaps = [later.start - earlier.end for earlier, later in itertools.pairwise(speech.words)]
    assert max(gaps) < 0.8
    loud = np.flatnonzero(np.abs(speech.samples) > 0.02) / speech.sample_rate
    assert loud[0] == pytest.approx(speech.words[0].start, abs=0.1)
