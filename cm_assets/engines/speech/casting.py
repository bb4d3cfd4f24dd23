"""Who speaks: the order in which engines are tried for a request's voice, and the voice of each. Loads no engine."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from cm_assets.engines.speech.catalogue import ENGINES
from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import Voice, VoiceServer

DEFAULT = "af_heart"
"""What a request says that says nothing of its voice: the first engine speaks, with its own default if need be."""

LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "gu": "Gujarati",
    "hi": "Hindi",
    "hu": "Hungarian",
    "it": "Italian",
    "ja": "Japanese",
    "kn": "Kannada",
    "ko": "Korean",
    "mr": "Marathi",
    "nl": "Dutch",
    "pa": "Punjabi",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "zh": "Chinese",
}
"""Names of languages by their codes; voices are described with them, and chosen by them."""

ANY_LANGUAGE = "any language"
"""In the description of a voice that speaks whatever it is given."""

OPENTTS = "opentts"
"""The engine whose voices are named `system:voice`."""


class SpeaksOtherLanguages(PermanentFailure):
    """An engine has no voice for the language: another one's turn, and nothing that a person must mend."""


def split(voice: str, engines: Collection[str]) -> tuple[str | None, str]:
    """A request's voice as engine and name: `hibari:af_heart`, or a bare name, whose engine is None.

    OpenTTS's own names hold a colon too, and need no engine before them.
    """
    engine, colon, name = voice.partition(":")
    if colon and name and engine in engines:
        return engine, name
    return (OPENTTS if colon and OPENTTS in engines and engine not in ENGINES else None), voice


def is_known(voice: str, engines: Mapping[str, Collection[str] | None], names: Collection[str]) -> bool:
    """Whether a request may ask for a voice, as far as that is known without asking a server.

    Args:
        voice: bare, or `engine:voice`.
        engines: the voices of each engine; None for one that may have any.
        names: those that may be given bare.
    """
    if voice in names or (voice == DEFAULT and None in engines.values()):
        return True
    engine, name = split(voice, engines)
    if engine is None:
        return False
    voices = engines[engine]
    return voices is None or name in voices


def order(voice: str, engines: Sequence[Voice]) -> list[Voice]:
    """The engines in the order in which they are tried.

    The one that the request names comes first; for a bare voice, those that have it; all others follow as they stand.
    One without any voice is not installed and not tried; a server may have some that are not known here.
    """
    engines = [engine for engine in engines if isinstance(engine, VoiceServer) or engine.voices()]
    name, bare = split(voice, [engine.name for engine in engines])
    if name is not None:
        return sorted(engines, key=lambda engine: engine.name != name)
    if bare == DEFAULT:
        return list(engines)
    return sorted(engines, key=lambda engine: bare not in engine.voices())


def voice_of(engine: Voice, wanted: str, language: str, preferred: str, engines: Sequence[Voice]) -> str:
    """The voice with which an engine speaks a request.

    The one that the request wants, if the engine has it; else the one of the settings; else that which comes nearest:
    in language, then gender, then accent.

    Args:
        engine: who is to speak.
        wanted: of the request.
        language: of the text, BCP 47.
        preferred: the engine's voice by the settings, or empty.
        engines: all that there are, since one of them can describe the voice that is wanted.

    Raises:
        SpeaksOtherLanguages: the engine has no voice for the language.
        Failure: its server does not answer.
    """
    name, bare = split(wanted, [one.name for one in engines])
    if name == engine.name:
        return bare
    offered = (engine.offered() if isinstance(engine, VoiceServer) else {}) or engine.voices()
    spoken = LANGUAGES.get(language.split("-", maxsplit=1)[0].lower(), language)
    fitting = [one for one, description in offered.items() if _speaks(description, spoken)]
    if bare in fitting:
        return bare
    if preferred:
        return preferred
    if not fitting:
        raise SpeaksOtherLanguages(f"language: {engine.name} has no voice for {language!r}")
    described = next((one.voices()[bare] for one in engines if bare in one.voices()), "")
    return max(fitting, key=lambda one: _likeness(offered[one], described))


def _speaks(description: str, language: str) -> bool:
    words = set(_words([description]))
    return language in words or ANY_LANGUAGE in description or not words & set(LANGUAGES.values())


def _likeness(description: str, wanted: str) -> int:
    shared = set(_words([description])) & set(_words([wanted]))
    return 2 * bool(shared & {"female", "male"}) + bool(shared & {"American", "British"})


def _words(descriptions: Iterable[str]) -> list[str]:
    return " ".join(descriptions).replace(",", " ").split()
