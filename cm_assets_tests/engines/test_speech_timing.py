"""Times of words: by their lengths and the pauses, or from what a server told of its own words."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.engines.speech.timing import Told, estimated, reconciled, timed
from cm_assets_tests.emulators.speech_server import tokens
from cm_assets_tests.engines.sound import COFFEE

COFFEE_IN_GERMAN = (
    "Jeden Morgen greifen Millionen Menschen zum Kaffee. Aber warum wirkt er? Koffein blockiert ein Molekuel namens "
    "Adenosin, das sich im Gehirn ansammelt, solange man wach ist. Blockiert man es, vergeht die Muedigkeit eine Weile."
)


@pytest.mark.parametrize("text", [COFFEE, COFFEE_IN_GERMAN])
@pytest.mark.parametrize("speed", [0.7, 1.0, 1.5])
def test_estimated_times_are_near_the_true_ones(text: str, speed: float) -> None:
    speech = Hibari().speak(text, voice="af_heart", speed=speed, language="en")
    words = estimated(text, speech.samples, speech.sample_rate)
    errors = np.abs([guessed.start - told.start for guessed, told in zip(words, speech.words, strict=True)])
    assert np.median(errors) < 0.1
    assert np.percentile(errors, 95) < 0.4


def test_words_of_other_languages_are_estimated_and_said_to_be() -> None:
    speech = Hibari().speak(COFFEE_IN_GERMAN, voice="af_heart", speed=1, language="en")
    words, timing = timed(COFFEE_IN_GERMAN, speech.samples, speech.sample_rate, "de-AT")
    assert timing == "estimated"
    assert [word.text for word in words] == COFFEE_IN_GERMAN.split()
    assert timed(COFFEE_IN_GERMAN, speech.samples, speech.sample_rate, "en_US")[1] == "alignment"


@pytest.mark.parametrize("seconds", [0.0, 0.01, 3.0])
def test_a_recording_that_does_not_say_the_text_still_gives_ordered_times(seconds: float) -> None:
    samples = np.zeros(int(seconds * 24_000), np.float32)
    words, _ = timed("This is never 🎉 said.", samples, 24_000, "en")
    assert [word.text for word in words] == ["This", "is", "never", "🎉", "said."]
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(words))
    assert words[-1].end <= seconds + 1e-9


@given(
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=200),
    st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(0, 4000)), max_size=12),
)
def test_any_text_and_any_sound_give_a_time_for_each_word(text: str, sound: list[tuple[float, int]]) -> None:
    samples = np.concatenate([np.full(count, level, np.float32) for level, count in sound] or [np.zeros(0, np.float32)])
    words = estimated(text, samples, 8_000)
    assert [word.text for word in words] == text.split()
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(words))
    assert not words or words[-1].end <= len(samples) / 8_000 + 1e-9


def told(*parts: str) -> list[Told]:
    return [Told(part, float(place), place + 0.9) for place, part in enumerate(parts)]


def spans(text: str, *parts: str) -> list[tuple[str, float, float]] | None:
    words = reconciled(text, told(*parts), len(parts))
    return None if words is None else [(word.text, word.start, word.end) for word in words]


def test_a_servers_words_are_put_together_as_they_are_shown() -> None:
    assert spans("A well-known fact, isn't it?", "A", "well", "-", "known", "fact", ",", "is", "n't", "it", "?") == [
        ("A", 0.0, 0.9),
        ("well-known", 1.0, 3.9),
        ("fact,", 4.0, 4.9),
        ("isn't", 6.0, 7.9),
        ("it?", 8.0, 8.9),
    ]


def test_a_number_in_letters_is_the_number_as_it_is_shown() -> None:
    assert spans("It cost $3 million then.", "It", "cost", "three", "million", "dollars", "then") == [
        ("It", 0.0, 0.9),
        ("cost", 1.0, 1.9),
        ("$3", 2.0, 2.9),
        ("million", 3.0, 4.9),
        ("then.", 5.0, 5.9),
    ]
    assert spans("Run 25 km now", "Run", "twenty", "five", "kilometers", "now") == [
        ("Run", 0.0, 0.9),
        ("25", 1.0, 2.9),
        ("km", 3.0, 3.9),
        ("now", 4.0, 4.9),
    ]
    assert spans("In 1819 it", "In", "eighteen", "nineteen", "it") == [
        ("In", 0.0, 0.9),
        ("1819", 1.0, 2.9),
        ("it", 3.0, 3.9),
    ]


def test_what_is_not_said_takes_no_time() -> None:
    assert spans("Go 🎉 now — please", "Go", "now", "please") == [
        ("Go", 0.0, 0.9),
        ("🎉", 0.9, 0.9),
        ("now", 1.0, 1.9),
        ("—", 1.9, 1.9),
        ("please", 2.0, 2.9),
    ]


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("Two",),
        ("Two", "words", "are"),
        ("Something", "else", "was", "said", "altogether", "here", "now"),
    ],
)
def test_other_words_than_those_of_the_text_are_not_taken(parts: tuple[str, ...]) -> None:
    assert spans("Two words are missing in this list", *parts) is None


@pytest.mark.parametrize(
    ("start", "end"), [(float("nan"), 1), (-3, 1), (0, 400), (1.5, 1.0), (float("inf"), float("inf"))]
)
def test_impossible_times_are_not_taken(start: float, end: float) -> None:
    assert reconciled("Hello there", [Told("Hello", start, end), Told("there", 1.5, 2)], 2.0) is None


def test_times_of_another_recording_are_not_taken() -> None:
    assert reconciled("Hello there", [Told("Hello", 0, 0), Told("there", 0, 0)], 2.0) is None
    assert reconciled("Hello there", [Told("Hello", 0.1, 0.2), Told("there", 0.3, 0.4)], 2.0) is None


def test_times_that_step_back_are_not_taken() -> None:
    assert reconciled("Hello there", [Told("Hello", 1.5, 1.9), Told("there", 0.2, 0.4)], 2.0) is None


TOLD = st.builds(Told, st.text(max_size=8), st.floats(-1, 9), st.floats(-1, 9))


@given(st.text(max_size=60), st.lists(TOLD, max_size=12), st.floats(0, 8))
def test_whatever_is_told_comes_out_in_order_or_not_at_all(text: str, told: list[Told], length: float) -> None:
    words = reconciled(text, told, length)
    if words is not None:
        assert [word.text for word in words] == text.split()
        assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(words))
        assert not words or words[-1].end <= length


def test_the_words_of_a_whole_narration_are_reconciled() -> None:
    speech = Hibari().speak(COFFEE, voice="af_heart", speed=1, language="en")
    heard = [Told(one["word"], one["start_time"], one["end_time"]) for one in tokens(speech)]
    words = reconciled(COFFEE, heard, len(speech.samples) / speech.sample_rate)
    assert words is not None
    assert max(abs(a.start - b.start) for a, b in zip(words, speech.words, strict=True)) < 0.002
