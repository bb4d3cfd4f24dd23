"""Times found in a recording are those at which its words are heard."""

import numpy as np
import numpy.typing as npt
import pytest

from cm_assets.engines.speech.alignment import _WINDOW, align
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


MECCA = "By 1600 there were coffee houses in Cairo, Istanbul and Mecca."


def test_a_recording_that_ends_with_its_last_sound_is_heard_to_its_end() -> None:
    speech = Hibari().speak(MECCA, voice="af_heart", speed=1, language="en")
    words = align(MECCA, speech.samples, speech.sample_rate)
    assert words is not None
    assert abs(words[-1].start - speech.words[-1].start) < 0.1


Long = tuple[str, npt.NDArray[np.float32], int, list[float]]


@pytest.fixture(scope="module")
def long() -> Long:
    """A minute with pauses of digital silence: text, samples, their rate, when each word begins."""
    voice, passages, parts, starts, now = Hibari(), [MECCA, COFFEE] * 2, [], [], 0.0
    for number, text in enumerate(passages):
        speech = voice.speak(text, voice="af_heart", speed=1, language="en")
        parts += [speech.samples, np.zeros(round(speech.sample_rate * (0.2 + number / 10)), np.float32)]
        starts += [now + word.start for word in speech.words]
        now = sum(map(len, parts)) / speech.sample_rate
    return " ".join(passages), np.concatenate(parts), speech.sample_rate, starts


def test_the_words_of_a_long_recording_are_found_window_by_window(
    long: Long,
) -> None:
    text, samples, rate, starts = long
    assert len(samples) / rate > 3 * _WINDOW
    words = align(text, samples, rate)
    assert words is not None
    assert [word.text for word in words] == text.split()
    errors = np.abs([word.start - start for word, start in zip(words, starts, strict=True)])
    assert np.median(errors) < 0.03
    assert np.percentile(errors, 95) < 0.1
    assert np.max(errors) < 0.5


def test_a_long_recording_of_other_words_has_no_times(long: Long) -> None:
    text, samples, rate, _ = long
    words = text.split()
    kept = len(words) * 2 // 3
    assert align(" ".join([*words[:kept], *words[kept:][::-1]]), samples, rate) is None


def test_a_pause_longer_than_a_window_is_gone_through(long: Long) -> None:
    text, samples, rate, starts = long
    words = len(MECCA.split())
    place = round((starts[words] - 0.1) * rate)
    pause = np.zeros(round(1.5 * _WINDOW * rate), np.float32)
    found = align(text, np.concatenate([samples[:place], pause, samples[place:]]), rate)
    assert found is not None
    errors = np.abs([word.start - start for word, start in zip(found, starts, strict=True)])
    assert np.percentile(errors[:words], 95) < 0.1
    assert np.percentile(np.abs(errors[words:] - 1.5 * _WINDOW), 95) < 0.1
