"""A recording in the place of a voice: its words are found where they are said, or it is refused and told why."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cm_assets.engines.speech.chain import Narrated
from cm_assets.engines.speech.hibari import Hibari
from cm_assets.engines.speech.recording import LEVEL, misfit, tell
from cm_assets.media.narration import measure, resampled
from cm_assets.models.audio import Speech
from cm_assets.models.base import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, PermanentFailure

Samples = npt.NDArray[np.float32]

SCENES = (
    "Robots water the garden at night while everyone sleeps.",
    "They follow a map that the farmer drew in spring.",
    "By morning the 12 beds are wet, and the robots are back in their shed.",
)
BEFORE, AFTER = 0.7, 1.3


@pytest.fixture(scope="module")
def spoken() -> Speech:
    return Hibari().speak(" ".join(SCENES), voice="af_heart", speed=1, language="en")


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def file_of(samples: Samples, path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def told(samples: Samples, folder: Path, texts: tuple[str, ...] = SCENES, language: str = "en") -> Narrated:
    return tell(texts, file_of(samples, folder / "take.wav"), name="my take", language=language)


def starts(narrated: Narrated) -> list[float]:
    """When each word is said, on the whole track."""
    return [scene.first_frame / FPS + word.start for scene in narrated.narration.scenes for word in scene.words]


@pytest.mark.parametrize("gain", [0.02, 1.0])
def test_words_are_where_they_are_heard_and_scenes_adjoin(spoken: Speech, tmp_path: Path, gain: float) -> None:
    voice = resampled(spoken.samples, spoken.sample_rate)
    made = told(np.concatenate([silence(BEFORE), voice * gain, silence(AFTER)]), tmp_path)
    narration = made.narration
    assert (made.engine, made.voice, narration.timing) == ("recording", "my take", "alignment")
    assert [[word.text for word in scene.words] for scene in narration.scenes] == [text.split() for text in SCENES]
    ends = [scene.first_frame + scene.frames for scene in narration.scenes]
    assert [scene.first_frame for scene in narration.scenes] == [0, *ends[:-1]]
    assert len(narration.samples) == ends[-1] * SAMPLES_PER_FRAME
    # The voice itself said when it says its words: the same but for where the track begins.
    true = [word.start for word in spoken.words]
    off = np.array(starts(made)) - np.array(true)
    assert np.max(np.abs(off - np.median(off))) < 0.09
    # Each scene begins before its first word and after the last of the one before.
    for scene in narration.scenes:
        assert 0 <= scene.words[0].start < 0.2
        assert scene.words[-1].end <= scene.frames / FPS
    # Quiet or loud, it is as loud as the voices are; and nothing was cut out of it.
    loudness, peak = measure(narration.samples)
    assert loudness == pytest.approx(LEVEL, abs=0.5)
    assert peak <= -1
    assert narration.scenes[-1].words[-1].end + ends[-2] / FPS == pytest.approx(len(voice) / SAMPLE_RATE, abs=0.4)


def test_the_track_is_the_recording_sample_for_sample(spoken: Speech, tmp_path: Path) -> None:
    voice = resampled(spoken.samples, spoken.sample_rate)
    track = told(np.concatenate([silence(BEFORE), voice]), tmp_path).narration.samples
    middle = track[SAMPLE_RATE : 3 * SAMPLE_RATE]
    whole = np.concatenate([silence(BEFORE), voice])
    places = np.correlate(whole[: 5 * SAMPLE_RATE], middle, "valid")
    first = int(np.argmax(places))
    scale = float(np.dot(middle, whole[first : first + len(middle)]) / np.dot(middle, middle))
    assert np.max(np.abs(middle * scale - whole[first : first + len(middle)])) < 2e-4


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (("Analysts had expected a weaker month, but employers hired again.",) * 3, "does not say the words"),
        (SCENES[::-1], "does not say the words"),
        (SCENES[:1], "says more than the words"),
        (("Hi.",), "it says more than them"),
        (SCENES * 6, "it does not say all of them"),
    ],
)
def test_other_words_are_refused(spoken: Speech, tmp_path: Path, texts: tuple[str, ...], why: str) -> None:
    with pytest.raises(PermanentFailure, match=f"^narration: .*{why}"):
        told(resampled(spoken.samples, spoken.sample_rate), tmp_path, texts)


def test_a_slip_of_the_tongue_is_forgiven(tmp_path: Path) -> None:
    said = Hibari().speak(
        " ".join(SCENES).replace("They follow", "Uh, they follow").replace("the farmer", "the old farmer"),
        voice="af_heart",
        speed=1,
        language="en",
    )
    made = told(resampled(said.samples, said.sample_rate), tmp_path)
    assert [word.text for word in made.narration.scenes[1].words] == SCENES[1].split()


def test_noise_is_no_speech(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 9 * SAMPLE_RATE).astype(np.float32)
    with pytest.raises(PermanentFailure, match=r"^narration: .*does not say the words"):
        told(noise, tmp_path)


def test_another_language_gets_times_by_its_words_lengths(spoken: Speech, tmp_path: Path) -> None:
    texts = ("Die Roboter gießen nachts den Garten, während alle schlafen.", "Am Morgen sind die Beete nass.")
    made = told(resampled(spoken.samples, spoken.sample_rate), tmp_path, texts, "de")
    assert made.narration.timing == "estimated"
    times = starts(made)
    assert times == sorted(times)
    assert [[word.text for word in scene.words] for scene in made.narration.scenes] == [t.split() for t in texts]


def test_scenes_that_follow_one_another_in_one_breath_have_a_frame_each(spoken: Speech, tmp_path: Path) -> None:
    texts = tuple(" ".join(SCENES).split())
    made = told(resampled(spoken.samples, spoken.sample_rate), tmp_path, texts)
    assert len(made.narration.scenes) == len(texts)
    assert all(scene.frames >= 1 and scene.words[0].end <= scene.frames / FPS for scene in made.narration.scenes)


@pytest.mark.parametrize(
    ("words", "seconds", "fits"),
    [
        (100, 40, True),
        (100, 21, True),
        (100, 15, False),
        (100, 110, True),
        (100, 140, False),
        (1, 3, True),
        (1, 20, False),
    ],
)
def test_half_and_three_times_the_usual_length_are_the_bounds(words: int, seconds: float, fits: bool) -> None:
    assert (misfit("water " * words, seconds) == "") is fits
