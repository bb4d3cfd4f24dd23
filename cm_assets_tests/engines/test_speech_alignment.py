"""Times found in a recording are those at which its words are heard."""

import numpy as np
import pytest

from cm_assets.engines.speech.alignment import align
from cm_assets.engines.speech.hibari import Hibari
from cm_assets_tests.engines.sound import COFFEE


@pytest.mark.parametrize("speed", [1.0, 1.5])
def test_agrees_with_the_voices_own_times(speed: float) -> None:
    speech = Hibari().speak(COFFEE, voice="af_heart", speed=speed, language="en")
    words = align(COFFEE, speech.samples, speech.sample_rate)
    assert words is not None
    errors = np.abs([found.start - told.start for found, told in zip(words, speech.words, strict=True)])
    assert np.median(errors) < 0.03
    assert np.percentile(errors, 95) < 0.1


def test_finds_names_and_numbers_at_another_sample_rate() -> None:
    text = "Zbigniew Brzezinski paid $1,250 in 1977."
    speech = Hibari().speak(text, voice="af_heart", speed=1, language="en")
    times = np.arange(int(len(speech.samples) * 48_000 / speech.sample_rate)) * speech.sample_rate / 48_000
    upsampled = np.interp(times, np.arange(len(speech.samples)), speech.samples).astype(np.float32)
    words = align(text, upsampled, 48_000)
    assert words is not None
    assert np.max(np.abs([a.start - b.start for a, b in zip(words, speech.words, strict=True)])) < 0.12


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_a_recording_that_does_not_say_the_text_has_no_times(seconds: float) -> None:
    assert align("This is never said.", np.zeros(int(seconds * 24_000), np.float32), 24_000) is None


def test_a_text_without_words_has_no_times() -> None:
    assert align("🎉", np.zeros(24_000, np.float32), 24_000) is None
