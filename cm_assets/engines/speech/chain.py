"""The whole narration by the first engine that can: who is tried, who is passed over, and why."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cm_assets.engines.speech import casting
from cm_assets.media.narration import Narration, narrate
from cm_assets.models.audio import Speech
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, Seconds, TransientFailure
from cm_assets.models.protocols import Progress, Voice, VoiceServer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An engine that did not speak.

    Attributes:
        engine: its name.
        reason: why, for a person.
        to_mend: whether a person must do something about it; it does not pass by itself.
    """

    engine: str
    reason: str
    to_mend: bool


@dataclass(frozen=True, slots=True)
class Narrated:
    """A narration and who spoke it.

    Attributes:
        narration: the sound and its words.
        engine, voice: who spoke all of it.
        passed_over: who was tried before.
        sent: characters that servers were given to speak, in this attempt.
    """

    narration: Narration
    engine: str
    voice: str
    passed_over: tuple[PassedOver, ...]
    sent: int


class _Failed(Exception):
    """An engine's own failure, told apart from one of the text's, which no other engine mends."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def tell(
    texts: Sequence[str],
    engines: Sequence[Voice],
    *,
    voice: str,
    speed: float,
    language: str,
    preferred: Mapping[str, str],
    progress: Progress,
    comes_back: Callable[[Failure], bool],
    time_limit: Seconds,
) -> Narrated:
    """Have all texts spoken by one engine, so that no narration has two voices.

    Args:
        texts: of the scenes.
        engines: by preference.
        voice: of the request.
        speed: of the voice's own.
        language: of the texts, BCP 47.
        preferred: voices of the settings, by engine.
        progress: told after each scene.
        comes_back: whether the stage tries again in this run if it meets a failure; then the failure is left to it.
        time_limit: seconds for all. An engine that others can stand in for gets half of what is left, so that they can.

    Raises:
        Failure: the stage tries again; or no engine can: the failure that passes soonest, with everyone's reasons.
    """
    candidates = casting.order(voice, engines)
    failures: list[tuple[Voice, Failure]] = []
    end = time.monotonic() + time_limit
    for engine in candidates:
        until = (time.monotonic() + end) / 2 if engine is not candidates[-1] else None
        own = preferred.get(engine.name, "")
        try:
            speaker = _guarded(partial(casting.voice_of, engine, voice, language, own, engines))
            narration = narrate(texts, _speak(engine, speaker, speed, language, until), progress=progress)
        except _Failed as failed:
            if comes_back(failed.failure):
                raise failed.failure from None
            failures.append((engine, failed.failure))
            continue
        passed_over = tuple(PassedOver(other.name, str(failure), _to_mend(failure)) for other, failure in failures)
        sent = sum(other.sent for other in candidates if isinstance(other, VoiceServer))
        return Narrated(narration, engine.name, speaker, passed_over, sent)
    raise _all_failed(failures)


def _speak(engine: Voice, voice: str, speed: float, language: str, until: float | None) -> Callable[[str], Speech]:
    def speak(text: str) -> Speech:
        if until is not None and time.monotonic() > until:
            raise _Failed(TransientFailure(f"{engine.name} is too slow"))
        return _guarded(partial(engine.speak, text, voice=voice, speed=speed, language=language))

    return speak


def _guarded(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Failure as failure:
        raise _Failed(failure) from failure


def _to_mend(failure: Failure) -> bool:
    return isinstance(failure, PermanentFailure) and not isinstance(failure, casting.SpeaksOtherLanguages)


def _all_failed(failures: Sequence[tuple[Voice, Failure]]) -> Failure:
    """The one failure that stands for those of all engines: a wait if any asks for one, else one that passes."""
    if not failures:
        return PermanentFailure("voice: no engine is configured: set CM_VOICES")
    if len(failures) == 1:
        return failures[0][1]
    reasons = "; ".join(f"{engine.name}: {failure}" for engine, failure in failures)
    said = f"no voice engine can speak: {reasons}"
    waits = [failure.seconds for _, failure in failures if isinstance(failure, AskedToWait)]
    if waits:
        return AskedToWait(said, min(waits))
    passes = any(not isinstance(failure, PermanentFailure) for _, failure in failures)
    return TransientFailure(said) if passes else PermanentFailure(said)
