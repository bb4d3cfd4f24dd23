"""What this installation can serve, found out without loading a model."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from cm_assets.models.upload import Upload, UploadId
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
        accounts: the connected accounts of a platform; None if it needs none. Asked when a request names it.
        unpriced: why no budget of the language model's can be kept here, or None if one can.
        uploads: those of some ids that there are. Asked when a request names some.
        engines: the voices of each voice engine; None for one whose server may have any, in any language.
        drafts: platforms whose posts are drafts that a person finishes.
    """

    voices: Collection[str]
    music: Collection[str]
    clips: Collection[str]
    topics: str | None
    endpoints: Collection[str] = ()
    accounts: Callable[[str], Collection[str] | None] = lambda _platform: None
    unpriced: str | None = None
    engines: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    drafts: Collection[str] = ()
    uploads: Callable[[Collection[UploadId]], Mapping[UploadId, Upload]] = lambda _ids: {}


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
    from cm_assets.engines.writing.prices import price_of
    from cm_assets.media.music import known
    from cm_assets.storage.spending import unpriced

    check_names(settings.footage, settings.missing_keys)
    model = settings.openai_model
    no_price = None if price_of(model, settings.prices) else unpriced(model)
    bounded = settings.budget_per_video is not None or settings.budget_per_day is not None
    setup = Setup(settings.kokoro_model, speech_voice=settings.speech_voice, opentts_voice=settings.opentts_voice)
    found = [engine for engine in engines(settings.voices, setup) if engine.name not in settings.missing_servers]
    return Catalogue(
        voices=tuple(described(found)),
        music=known(settings.music_folder),
        clips=tuple(item.shown_name for item in read(settings.footage_folder)) if settings.footage_folder else (),
        topics=NO_MODEL if not settings.has_language_model else no_price if bounded else None,
        endpoints=known_endpoints(settings.notify),
        accounts=lambda platform: _accounts(settings, platform),
        unpriced=no_price,
        engines=known_voices(found),
        drafts=("tiktok",) if settings.tiktok_mode == "inbox" else (),
        uploads=lambda ids: _uploads(settings, ids),
    )


def _uploads(settings: Settings, ids: Collection[UploadId]) -> Mapping[UploadId, Upload]:
    from cm_assets.storage.database import Database
    from cm_assets.storage.uploads import find

    database = Database(settings.database)
    try:
        return find(database, ids)
    finally:
        database.dispose()


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
