"""The default voice speaks every text, on time, cleanly, cheaply and the same each time."""

import itertools
import time

import numpy as np
import pytest

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.engines.speech.phonemes import Phonemizer
from cm_assets.engines.speech.speaking import Model, speak
from cm_assets.models.audio import Speech
from cm_assets.models.base import PermanentFailure
from cm_assets_tests.engines.sound import COFFEE, envelope, onsets, pitch


def hear(text: str, speed: float = 1.0) -> Speech:
    return Hibari().speak(text, voice="af_heart", speed=speed, language="en")


@pytest.fixture(scope="module")
def coffee() -> Speech:
    return hear(COFFEE)


def assert_in_order(speech: Speech, text: str) -> None:
    assert [word.text for word in speech.words] == text.split()
    length = len(speech.samples) / speech.sample_rate
    assert all(0 <= word.start <= word.end <= length for word in speech.words)
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(speech.words))


def test_every_shown_word_has_its_time(coffee: Speech) -> None:
    assert_in_order(coffee, COFFEE)
    assert coffee.timing == "model"
    assert min(word.end - word.start for word in coffee.words) > 0.02


def test_words_start_when_they_are_heard_and_do_not_drift(coffee: Speech) -> None:
    starts = np.array([word.start for word in coffee.words])
    errors = []
    for heard in onsets(coffee.samples, coffee.sample_rate):
        nearest = starts[np.argmin(np.abs(starts - heard))]
        if abs(nearest - heard) < 0.2:  # farther off is a stop inside a word
            errors.append(nearest - heard)
    half = len(errors) // 2
    assert len(errors) >= 15
    assert abs(np.median(errors)) < 0.025
    assert np.percentile(np.abs(errors), 90) < 0.07
    assert abs(np.median(errors[:half]) - np.median(errors[half:])) < 0.02


def test_the_sound_is_speech_without_clipping_or_offset(coffee: Speech) -> None:
    samples = coffee.samples
    assert samples.dtype == np.float32
    assert 0.2 < np.max(np.abs(samples)) < 0.99
    assert abs(float(np.mean(samples))) < 1e-3
    voiced = np.count_nonzero(envelope(samples, coffee.sample_rate) > 0.005)
    assert voiced * 0.002 > 0.6 * len(samples) / coffee.sample_rate
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / coffee.sample_rate)
    assert np.sum(spectrum[(frequencies > 100) & (frequencies < 5000)]) > 0.9 * np.sum(spectrum)
    assert 150 < pitch(samples, coffee.sample_rate) < 300


def test_seams_between_sentences_are_silent_and_level(coffee: Speech) -> None:
    sentences = [place for place, word in enumerate(coffee.words) if word.text[-1] in ".?!"]
    loudness = []
    first = 0
    for place in sentences:
        begin, end = coffee.words[first].start, coffee.words[place].end
        part = coffee.samples[int(begin * coffee.sample_rate) : int(end * coffee.sample_rate)]
        loudness.append(20 * np.log10(np.sqrt(np.mean(part**2))))
        if place + 1 < len(coffee.words):
            pause = coffee.words[place + 1].start - coffee.words[place].end
            assert 0.08 < pause < 0.9
        first = place + 1
    assert np.ptp(loudness) < 6


def test_silence_gives_way_to_sound_without_a_click(coffee: Speech) -> None:
    steps = np.abs(np.diff(coffee.samples))
    quiet = np.abs(coffee.samples) < 1e-4
    edges = np.flatnonzero(np.diff(quiet))
    long = 0.02 * coffee.sample_rate
    pauses = [(begin, end) for begin, end in itertools.pairwise(edges) if quiet[begin + 1] and end - begin > long]
    assert len(pauses) >= 7
    assert max(max(steps[begin], steps[end]) for begin, end in pauses) < 0.002


def test_a_sentence_beyond_the_models_limit_is_spoken_whole() -> None:
    text = "We saw " + ", ".join(f"the {noun} of the old town" for noun in ["tower", "bridge", "market"] * 12) + "."
    speech = hear(text)
    assert_in_order(speech, text)
    assert min(word.end - word.start for word in speech.words) > 0.02
    assert len(speech.samples) / speech.sample_rate > 30


@pytest.mark.parametrize("speed", [0.5, 0.75, 1.5, 2.0])
def test_speed_scales_the_length(speed: float) -> None:
    text = "The quick brown fox jumps over the lazy dog. It never looks back, not even once."
    plain, changed = hear(text), hear(text, speed)
    assert len(plain.samples) / len(changed.samples) == pytest.approx(speed, rel=0.15)
    assert changed.words[-1].end / plain.words[-1].end == pytest.approx(1 / speed, rel=0.15)


def test_equal_texts_give_equal_samples(coffee: Speech) -> None:
    assert np.array_equal(hear(COFFEE).samples, coffee.samples)


@pytest.mark.parametrize(
    "text",
    [
        "{\\pos(0,0)\\fs99}Hello {\\b1}there{\\b0} \\N friend",
        "\"quoted\" 'single' “curly” `tick` %s %d %%",
        "<script>alert(1)</script> & more; rm -rf / $(date)",
        "a" * 10_000 + " and " + "1" * 10_000,
        "Hello שלום and مرحبا, said in three languages, my friends",
        "Tea\u202egnp.exe \u200bzero\u200dwidth\ufeff",
        "🎉 Party 🎉🎉 time 🎉",
        "I",
        "x\ny\tz",
    ],
)
def test_hostile_text_is_spoken_with_a_time_for_each_word(text: str) -> None:
    speech = hear(text)
    assert_in_order(speech, text)
    assert np.max(np.abs(speech.samples)) > 0.02


def test_an_emoji_takes_no_time_where_it_stands() -> None:
    words = hear("Lift off 🚀 into space").words
    assert words[1].end == words[2].start == words[2].end <= words[3].start


@pytest.mark.parametrize("text", ["🎉🎉", "... --- ...", "🚀 ✨ 🌍"])
def test_a_text_without_words_is_a_short_silence(text: str) -> None:
    speech = hear(text)
    assert_in_order(speech, text)
    assert not np.any(speech.samples)
    assert len(speech.samples) == pytest.approx(0.8 * speech.sample_rate)


def test_another_language_is_refused_by_the_name_of_the_field() -> None:
    with pytest.raises(PermanentFailure, match=r"language: hibari speaks English \(en\), not 'de'"):
        Hibari().speak("Hallo", voice="af_heart", speed=1, language="de")
    with pytest.raises(PermanentFailure, match=r"language: .* mostly in another script"):
        hear("今日は世界の皆さん")
    assert len(Hibari().speak("Hello", voice="af_heart", speed=1, language="en-GB").words) == 1


@pytest.mark.parametrize("speed", [0.49, 2.01, float("nan")])
def test_a_speed_out_of_range_is_refused(speed: float) -> None:
    with pytest.raises(PermanentFailure, match=r"speed: .* is not between 0\.5 and 2\.0"):
        hear("Hello", speed)


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(PermanentFailure, match="voice: hibari has no 'am_adam'; it has af_heart"):
        Hibari().speak("Hello", voice="am_adam", speed=1, language="en")


def test_half_a_minute_costs_less_than_a_second(coffee: Speech) -> None:
    started = time.process_time()
    hear(COFFEE)
    assert time.process_time() - started < 0.03 * len(coffee.samples) / coffee.sample_rate


def test_a_model_that_tells_no_durations_is_aligned() -> None:
    def mute(tokens: list[int], _speed: float) -> tuple[np.ndarray, list[int]]:
        from cm_assets.engines.speech.hibari import _loaded

        samples, _ = _loaded()[0].run(tokens, 1.0)
        return samples, []

    text = "Every morning, millions of people 🎉 reach for coffee."
    aligned = speak(text, Model(mute, ideal=60, limit=380), Phonemizer(), 1.0)
    told = hear(text)
    assert aligned.timing == "alignment"
    assert_in_order(aligned, text)
    assert np.max(np.abs([a.start - b.start for a, b in zip(aligned.words, told.words, strict=True)])) < 0.12
