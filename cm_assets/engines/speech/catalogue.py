"""Which engine speaks which voice. Loads no model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import Voice


def engines(names: Sequence[str], *, kokoro_model: Path | None = None) -> tuple[Voice, ...]:
    """The engines of these names, in this order.

    Args:
        names: as in `CM_VOICES`.
        kokoro_model: path of Kokoro's weights, if they are not those of its package.

    Raises:
        PermanentFailure: a name is unknown.
    """
    from cm_assets.engines.speech.hibari import Hibari
    from cm_assets.engines.speech.kokoro import Kokoro

    known: Mapping[str, Callable[[], Voice]] = {"hibari": Hibari, "kokoro": lambda: Kokoro(kokoro_model)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise PermanentFailure(f"CM_VOICES: {', '.join(unknown)} is unknown; known: {', '.join(known)}")
    return tuple(known[name]() for name in names)


def voices(names: Sequence[str], *, kokoro_model: Path | None = None) -> Mapping[str, str]:
    """The voices of these engines, described for people; the first engine that has a voice describes it.

    Raises:
        PermanentFailure: an engine's name is unknown.
    """
    found: dict[str, str] = {}
    for engine in engines(names, kokoro_model=kokoro_model):
        for voice, description in engine.voices().items():
            found.setdefault(voice, f"{description} ({engine.name})")
    return found


def engine_for(voice: str, names: Sequence[str], *, kokoro_model: Path | None = None) -> Voice:
    """The first engine that has the voice.

    Raises:
        PermanentFailure: none has it; the message lists those that there are.
    """
    for engine in engines(names, kokoro_model=kokoro_model):
        if voice in engine.voices():
            return engine
    known = ", ".join(voices(names, kokoro_model=kokoro_model)) or "none: set CM_VOICES"
    raise PermanentFailure(f"voice: {voice!r} is not installed; installed: {known}")
