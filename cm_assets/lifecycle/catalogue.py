"""What this installation can serve, found out without loading a model."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from cm_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a request may ask for.

    Attributes:
        voices: names of the voices.
        music: names of the moods and of the user's own tracks.
        clips: names of the user's own clips.
        topics: why topics cannot be written about here, or None if they can.
        endpoints: names of those who can be told what happens.
        accounts: the connected accounts of a platform; None if it needs none. Asked when a request names it.
    """

    voices: Collection[str]
    music: Collection[str]
    clips: Collection[str]
    topics: str | None
    endpoints: Collection[str] = ()
    accounts: Callable[[str], Collection[str] | None] = lambda _platform: None


def catalogue(settings: Settings) -> Catalogue:
    """Look at what is installed and configured.

    Raises:
        PermanentFailure: a setting names something that does not exist.
    """
    from cm_assets.engines.footage.catalogue import check_names
    from cm_assets.engines.footage.library import read
    from cm_assets.engines.notifying.endpoint import known_endpoints
    from cm_assets.engines.speech.catalogue import voices
    from cm_assets.engines.writing.choice import NO_MODEL
    from cm_assets.media.music import known

    check_names(settings.footage)
    return Catalogue(
        voices=tuple(voices(settings.voices, kokoro_model=settings.kokoro_model)),
        music=known(settings.music_folder),
        clips=tuple(item.shown_name for item in read(settings.footage_folder)) if settings.footage_folder else (),
        topics=None if settings.has_language_model else NO_MODEL,
        endpoints=known_endpoints(settings.notify),
        accounts=lambda platform: _accounts(settings, platform),
    )


def _accounts(settings: Settings, platform: str) -> Collection[str] | None:
    from cm_assets.engines.platforms.catalogue import connectable
    from cm_assets.storage.credentials import Credentials
    from cm_assets.storage.database import Database

    if platform not in connectable():
        return None
    database = Database(settings.database)
    try:
        return Credentials(database, settings.home).accounts(platform)
    finally:
        database.dispose()
