"""Scenes become one track on the frame grid, clean at every seam."""

import hashlib
import itertools
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.media.narration import CEILING, Narration, measure, narrate, resampled, write_flac
from cm_assets.models.audio import Speech, Word
from cm_assets.models.base import SAMPLES_PER_FRAME, PermanentFailure

SCENES = (
    "Every morning, millions of people reach for coffee.",
    "Caffeine blocks a molecule called adenosine 🚀 in your brain.",
    "🎉",
    "Drink it before noon!",
)


def silent_progress(_share: float) -> None:
    pass


def hibari(text: str) -> Speech:
    return Hibari().speak(text, voice="af_heart", speed=1, language="en")


def tone(level: float, seconds: float = 1.0, rate: int = 24_000, silence: float = 0.3) -> Speech:
    wave = level * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    quiet = np.zeros(int(silence * rate))
    samples = np.concatenate([quiet, wave, quiet]).astype(np.float32)
    return Speech(samples, rate, (Word(text="tone", start=silence, end=silence + seconds),), "model")


@pytest.fixture(scope="module")
def narration() -> Narration:
    return narrate(SCENES, hibari, progress=silent_progress)


def test_scenes_adjoin_in_whole_frames(narration: Narration) -> None:
    first = 0
    for scene in narration.scenes:
        assert scene.first_frame == first
        first += scene.frames
    assert len(narration.samples) == first * SAMPLES_PER_FRAME
    assert narration.samples.dtype == np.float32


def test_words_are_the_scenes_words_in_order_and_within_it(narration: Narration) -> None:
    for text, scene in zip(SCENES, narration.scenes, strict=True):
        assert [word.text for word in scene.words] == text.split()
        assert all(a.end <= b.start for a, b in itertools.pairwise(scene.words))
        assert scene.words[-1].end <= scene.frames / 30


def test_word_times_point_at_the_sound(narration: Narration) -> None:
    for scene in (narration.scenes[0], narration.scenes[1], narration.scenes[3]):
        start = scene.first_frame * SAMPLES_PER_FRAME
        part = np.abs(narration.samples[start : start + scene.frames * SAMPLES_PER_FRAME])
        heard = np.flatnonzero(part > 0.01)
        assert scene.words[0].start == pytest.approx(heard[0] / 48_000, abs=0.06)
        assert scene.words[-1].end == pytest.approx(heard[-1] / 48_000, abs=0.15)


def test_scenes_are_parted_by_silence_of_a_natural_length(narration: Narration) -> None:
    for scene in narration.scenes[1:]:
        seam = scene.first_frame * SAMPLES_PER_FRAME
        assert not np.any(np.abs(narration.samples[seam - 8_000 : seam + 4_000]) > 0.01)


def test_the_progress_is_told_to_the_end() -> None:
    told: list[float] = []
    narrate(["a", "b", "c", "d"], lambda _text: tone(0.1), progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_a_loud_voice_is_turned_down_as_a_whole() -> None:
    levels = iter([1.0, 0.5])
    made = narrate(["loud", "soft"], lambda _text: tone(next(levels)), progress=silent_progress)
    first, second = (
        np.max(np.abs(made.samples[s.first_frame * 1600 : (s.first_frame + s.frames) * 1600])) for s in made.scenes
    )
    assert first == pytest.approx(CEILING, rel=1e-3)
    assert second == pytest.approx(first / 2, rel=0.02)


def test_silence_around_an_utterance_is_cut_and_the_words_move_along() -> None:
    made = narrate(["tone"], lambda _text: tone(0.5, silence=2.0), progress=silent_progress)
    (scene,) = made.scenes
    assert scene.frames / 30 == pytest.approx(1.0 + 0.1 + 0.25 + 0.09, abs=1 / 30)
    assert scene.words[0].start == pytest.approx(0.13, abs=0.01)


def test_edges_carry_no_click() -> None:
    made = narrate(["a", "b"], lambda _text: tone(0.5, silence=0), progress=silent_progress)
    assert np.max(np.abs(np.diff(made.samples))) < 1.2 * 0.5 * 2 * np.pi * 440 / 48_000


def test_one_aligned_scene_makes_the_timing_alignment() -> None:
    kinds = iter(["model", "alignment", "model"])

    def voice(_text: str) -> Speech:
        speech = tone(0.2)
        return Speech(speech.samples, speech.sample_rate, speech.words, next(kinds))

    assert narrate(["a", "b", "c"], voice, progress=silent_progress).timing == "alignment"


def test_a_script_without_anything_to_say_is_refused() -> None:
    with pytest.raises(PermanentFailure, match="scenes: nothing in the script can be spoken"):
        narrate(["🎉", "..."], hibari, progress=silent_progress)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 3), st.floats(-1, 3)), min_size=1, max_size=8),
    st.integers(100, 60_000),
    st.sampled_from([16_000, 22_050, 24_000, 44_100, 48_000]),
)
def test_any_times_of_a_voice_become_ordered_times_within_the_scene(
    times: list[tuple[float, float]], length: int, rate: int
) -> None:
    words = tuple(Word(text="w", start=max(0, start), end=max(0, end)) for start, end in times)
    samples = np.full(length, 0.1, np.float32)
    made = narrate(["w"], lambda _text: Speech(samples, rate, words, "model"), progress=silent_progress)
    (scene,) = made.scenes
    assert len(made.samples) == scene.frames * SAMPLES_PER_FRAME
    assert all(0 <= word.start <= word.end <= scene.frames / 30 + 1e-9 for word in scene.words)
    assert all(a.end <= b.start for a, b in itertools.pairwise(scene.words))


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 96_000])
def test_resampling_neither_delays_nor_colours(rate: int) -> None:
    time = np.arange(rate * 4) / rate
    wave = (0.5 * np.sin(2 * np.pi * 997 * time)).astype(np.float32)
    out = resampled(wave, rate)
    assert len(out) == 4 * 48_000
    expected = 0.5 * np.sin(2 * np.pi * 997 * np.arange(len(out)) / 48_000)
    assert np.max(np.abs(out - expected)[4800:-4800]) < 1e-4


def test_resampling_folds_nothing_back() -> None:
    time = np.arange(24_000 * 3) / 24_000
    for frequency in (3_000, 9_000, 10_900):
        out = resampled((0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32), 24_000)[9600:-9600]
        spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
        frequencies = np.fft.rfftfreq(len(out), 1 / 48_000)
        near = np.abs(frequencies - frequency) < 100
        assert np.max(spectrum[~near]) < np.max(spectrum[near]) * 10 ** (-80 / 20)


def test_flac_has_every_sample_and_the_same_bytes_each_time(narration: Narration, tmp_path: Path) -> None:
    paths = [tmp_path / "a.flac", tmp_path / "b.flac"]
    for path in paths:
        write_flac(narration.samples, path)
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 1
    with av.open(str(paths[0])) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels, stream.codec_context.name) == (48_000, 1, "flac")
        decoded = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(stream)])
    assert len(decoded) == len(narration.samples)
    assert np.max(np.abs(decoded / 32767 - narration.samples)) < 1 / 32767


def test_loudness_and_peak_agree_with_ffmpeg(narration: Narration, tmp_path: Path) -> None:
    import imageio_ffmpeg

    path = tmp_path / "narration.flac"
    write_flac(narration.samples, path)
    shown = subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-i", str(path)),
            *("-af", "ebur128=framelog=verbose:peak=sample", "-f", "null", "-"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr.split("Summary:")[-1]
    values = {
        line.split(":")[0].strip(): line.split(":")[1].split()[0]
        for line in shown.splitlines()
        if " dBFS" in line or "I:" in line
    }
    loudness, peak = measure(narration.samples)
    assert loudness == pytest.approx(float(values["I"]), abs=0.15)
    assert peak == pytest.approx(float(values["Peak"]), abs=0.1)


def test_a_reference_tone_measures_as_the_standard_says() -> None:
    # BS.1770: a 997 Hz sine at 0 dBFS in one channel reads -3.01 LUFS.
    time = np.arange(48_000 * 5) / 48_000
    loudness, peak = measure((0.1 * np.sin(2 * np.pi * 997 * time)).astype(np.float32))
    assert loudness == pytest.approx(-23.01, abs=0.05)
    assert peak == pytest.approx(-20, abs=0.01)


def test_silence_has_a_loudness_that_can_be_stored() -> None:
    assert measure(np.zeros(48_000, np.float32)) == (-70.0, -120.0)
    assert measure(np.zeros(0, np.float32)) == (-70.0, -120.0)
