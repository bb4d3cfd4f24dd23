"""What this installation can serve, found out without loading a model."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cm_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a request may ask for.

    Attributes:
        voices: names of the voices that are known without asking a server.
        music: names of the moods and of the user's own tracks.
        clips: names of the user's own clips.
        topics: why topics cannot be written about here, or None if they can.
        endpoints: names of those who can be told what happens.
        engines: the voices of each voice engine; None for one whose server may have any, in any language.
    """

    voices: Collection[str]
    music: Collection[str]
    clips: Collection[str]
    topics: str | None
    endpoints: Collection[str] = ()
    engines: Mapping[str, Collection[str] | None] = field(default_factory=dict)


def catalogue(settings: Settings) -> Catalogue:
    """Look at what is installed and configured.

    Raises:
        PermanentFailure: a setting names something that does not exist.
    """
    from cm_assets.engines.footage.catalogue import check_names
    from cm_assets.engines.footage.library import read
    from cm_assets.engines.notifying.endpoint import known_endpoints
    from cm_assets.engines.speech.catalogue import described, engines, known_voices
    from cm_assets.engines.speech.setup import Setup
    from cm_assets.engines.writing.choice import NO_MODEL
    from cm_assets.media.music import known

    check_names(settings.footage)
    setup = Setup(settings.kokoro_model, speech_voice=settings.speech_voice, opentts_voice=settings.opentts_voice)
    found = [engine for engine in engines(settings.voices, setup) if engine.name not in settings.missing_servers]
    return Catalogue(
        voices=tuple(described(found)),
        music=known(settings.music_folder),
        clips=tuple(item.shown_name for item in read(settings.footage_folder)) if settings.footage_folder else (),
        topics=None if settings.has_language_model else NO_MODEL,
        endpoints=known_endpoints(settings.notify),
        engines=known_voices(found),
    )
