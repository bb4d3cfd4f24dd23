"""Which voice engines there are, and which voices they have. Loads no model and calls nobody."""

import importlib
from collections.abc import Iterable, Mapping, Sequence

from cm_assets.engines.speech.setup import Setup
from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import Voice, VoiceServer

ENGINES: dict[str, str] = {
    "hibari": "cm_assets.engines.speech.hibari",
    "kokoro": "cm_assets.engines.speech.kokoro",
    "openai_speech": "cm_assets.engines.speech.openai_speech",
    "opentts": "cm_assets.engines.speech.opentts",
}
"""The module of each engine, which has a function `engine(setup)`; imported when the engine is named in CM_VOICES."""


def engines(names: Sequence[str], setup: Setup) -> tuple[Voice, ...]:
    """The engines of these names, in this order.

    Args:
        names: as in `CM_VOICES`.
        setup: of this installation.

    Raises:
        PermanentFailure: a name is unknown.
    """
    unknown = [name for name in names if name not in ENGINES]
    if unknown:
        raise PermanentFailure(f"CM_VOICES: {', '.join(unknown)} is unknown; known: {', '.join(ENGINES)}")
    return tuple(importlib.import_module(ENGINES[name]).engine(setup) for name in names)


def known_voices(found: Iterable[Voice]) -> dict[str, tuple[str, ...] | None]:
    """The voices of each engine, by its name; None for one that may have others, which its server knows.

    Raises:
        PermanentFailure: a model is not where the settings say.
    """
    return {engine.name: None if isinstance(engine, VoiceServer) else tuple(engine.voices()) for engine in found}


def described(found: Iterable[Voice]) -> Mapping[str, str]:
    """The voices that are known by name, described for people; the first engine that has a voice describes it.

    Raises:
        PermanentFailure: a model is not where the settings say.
    """
    voices: dict[str, str] = {}
    for engine in found:
        for voice, description in engine.voices().items():
            voices.setdefault(voice, f"{description} ({engine.name})")
    return voices
