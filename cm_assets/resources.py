"""Engines and stores as Dagster resources. Secrets are named here, as environment variables.

Those of the endpoints that are told what happens are `engines/notifying`'s: they are needed without Dagster.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from cm_assets.models.audio import Speech
from cm_assets.models.base import Model
from cm_assets.models.protocols import FootageSource, Platform, ScriptWriter
from cm_assets.models.request import VideoRequest
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database

if TYPE_CHECKING:
    from cm_assets.media.composition import SegmentCache
    from cm_assets.media.ffmpeg import Ffmpeg
    from cm_assets.storage.credentials import Credentials
    from cm_assets.storage.rates import Rates


class Writers(dg.ConfigurableResource[Any]):
    """Chooses who writes: nobody, an extractor, or a language model.

    Attributes:
        model: the language model's name.
        base_url: of an OpenAI-compatible endpoint; the OpenAI service's own if empty.
        api_key: for it.
        rates: calls and seconds, by service.
        rates_url: where calls are counted.
    """

    model: str
    base_url: str = ""
    api_key: str = ""
    rates: dict[str, list[list[float]]] = Field(default_factory=dict)
    rates_url: str = ""

    def writer_for(self, request: VideoRequest) -> ScriptWriter:
        """The writer for what the request gives.

        Raises:
            PermanentFailure: the request gives a topic, and no language model is configured.
        """
        from cm_assets.engines.writing.choice import writer_for

        rates = rates_of(self.rates, self.rates_url)
        return writer_for(
            request,
            model=self.model,
            base_url=self.base_url or None,
            api_key=self.api_key or None,
            before_call=lambda: rates.take("openai"),
        )


class Speakers(dg.ConfigurableResource[Any]):
    """Chooses who speaks.

    Attributes:
        engines: names of voice engines, in order of preference.
        kokoro_model: path of Kokoro's weights, if they are not those of the package.
    """

    engines: list[str]
    kokoro_model: str = ""

    def speaker(self, voice: str, speed: float, language: str) -> tuple[str, Callable[[str], Speech]]:
        """The name of the engine that has the voice, and a function that speaks with it.

        Raises:
            PermanentFailure: no engine has the voice.
        """
        from cm_assets.engines.speech.catalogue import engine_for

        engine = engine_for(voice, self.engines, kokoro_model=Path(self.kokoro_model) if self.kokoro_model else None)
        return engine.name, lambda text: engine.speak(text, voice=voice, speed=speed, language=language)


class Footage(dg.ConfigurableResource[Any]):
    """Where clips come from.

    Attributes:
        names: of footage sources, in order of preference.
        folder: the user's own footage, or empty.
        ffmpeg: path from the settings, or empty.
    """

    names: list[str]
    folder: str = ""
    ffmpeg: str = ""

    def sources(self) -> tuple[FootageSource, ...]:
        """The sources that are configured.

        Raises:
            PermanentFailure: a name is unknown.
        """
        from cm_assets.engines.footage.catalogue import sources

        return sources(
            self.names,
            folder=Path(self.folder) if self.folder else None,
            ffmpeg=Path(self.ffmpeg) if self.ffmpeg else None,
        )


class Studio(dg.ConfigurableResource[Any]):
    """Where videos are put together.

    Attributes:
        ffmpeg: path from the settings, or empty.
        preset: of x264.
        cache: folder of encoded shots.
        cache_bytes: bound of that folder.
        music_folder: the user's own music, or empty.
    """

    ffmpeg: str = ""
    preset: str
    cache: str
    cache_bytes: int
    music_folder: str = ""

    def binary(self) -> "Ffmpeg":
        """The ffmpeg to use.

        Raises:
            PermanentFailure: none is fit.
        """
        from cm_assets.media.ffmpeg import find

        return find(Path(self.ffmpeg) if self.ffmpeg else None)

    def segments(self) -> "SegmentCache":
        """The cache of encoded shots."""
        from cm_assets.media.composition import SegmentCache

        return SegmentCache(Path(self.cache), self.cache_bytes)

    def music(self, name: str, seed: int) -> Path | None:
        """The track for a mood or a name.

        Raises:
            PermanentFailure: there is no such track.
        """
        from cm_assets.media.music import choose

        track = choose(name, seed=seed, folder=Path(self.music_folder) if self.music_folder else None)
        return None if track is None else track.path


class Platforms(dg.ConfigurableResource[Any]):
    """Where videos are posted.

    Attributes:
        outbox: the local channel folder.
        home: whose key file opens the accounts where no key is given.
        secret_key: Fernet keys, apart by commas.
        addresses: of services that are not at their usual ones.
        options: of platforms, by `<platform>_<option>`.
        rates: calls and seconds, by service.
        rates_url: where calls are counted.
    """

    outbox: str
    home: str
    secret_key: str = ""
    addresses: dict[str, str] = Field(default_factory=dict)
    options: dict[str, str] = Field(default_factory=dict)
    rates: dict[str, list[list[float]]] = Field(default_factory=dict)
    rates_url: str = ""

    def named(self, name: str, database: Database) -> Platform:
        """The platform of a name.

        Raises:
            PermanentFailure: there is none.
        """
        from cm_assets.engines.platforms.catalogue import Surroundings, platform_of
        from cm_assets.storage.credentials import Credentials
        from cm_assets.storage.ledger import PostLedger

        rates = rates_of(self.rates, self.rates_url)
        return platform_of(
            name,
            Surroundings(
                ledger=PostLedger(database),
                vault=Credentials(database, Path(self.home), self.secret_key),
                outbox=Path(self.outbox),
                take=rates.take,
                addresses=self.addresses,
                options=self.options,
            ),
        )


class ModelIOManager(dg.IOManager):
    """Stores models as JSON artifacts; a load reads what the newest materialization names, never a path by habit."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def handle_output(self, context: dg.OutputContext, obj: Model) -> None:
        """Store a model and name its address in the materialization."""
        content = obj.to_bytes()
        asset = _folder(context.asset_key)
        ref = self._store.put_bytes(context.partition_key, asset, content, ".json", "application/json")
        self._store.write_convenience_copy(context.partition_key, asset, content)
        context.add_output_metadata({"model": ref.key})

    def load_input(self, context: dg.InputContext) -> Model:
        """The model that the newest materialization of the upstream asset names.

        Raises:
            dagster.Failure: it was never materialised for this video.
        """
        instance = context.step_context.instance
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=[context.partition_key]), limit=1
        ).records
        made = records[0].asset_materialization if records else None
        if made is None or "model" not in made.metadata:
            name = context.asset_key.to_user_string()
            raise dg.Failure(
                f"{name} of {context.partition_key} is not there: materialize it first", allow_retries=False
            )
        kind: type[Model] = context.dagster_type.typing_type
        return kind.model_validate_json(self._store.read(str(made.metadata["model"].value)))


def rates_of(limits: Mapping[str, Sequence[Sequence[float]]], url: str) -> "Rates":
    """The limits as resources have them, and where calls are counted."""
    from cm_assets.storage.rates import Rates

    return Rates(url, {name: [(int(count), seconds) for count, seconds in rates] for name, rates in limits.items()})


def _folder(key: dg.AssetKey) -> str:
    return "-".join(key.path)


def writers(settings: Settings) -> Writers:
    """The writers, with the endpoint's address and key by reference."""
    return Writers(
        model=settings.openai_model,
        base_url=dg.EnvVar("OPENAI_BASE_URL") if os.environ.get("OPENAI_BASE_URL") else "",
        api_key=dg.EnvVar("OPENAI_API_KEY") if os.environ.get("OPENAI_API_KEY") else "",
        **_rates(settings),
    )


def platforms(settings: Settings) -> Platforms:
    """The platforms, with the key of the accounts by reference."""
    return Platforms(
        outbox=str(settings.channel),
        home=str(settings.home),
        secret_key=dg.EnvVar("CM_SECRET_KEY") if os.environ.get("CM_SECRET_KEY") else "",
        addresses=settings.addresses,
        options={"tiktok_mode": settings.tiktok_mode},
        **_rates(settings),
    )


def vault(settings: Settings) -> "Credentials":
    """The connected accounts, for whoever is not run by Dagster."""
    from cm_assets.storage.credentials import Credentials

    return Credentials(Database(settings.database), settings.home, os.environ.get("CM_SECRET_KEY", ""))


def _rates(settings: Settings) -> dict[str, Any]:
    return {
        "rates": {name: [list(limit) for limit in limits] for name, limits in settings.rates.items()},
        # By reference: a database's address can hold a password.
        "rates_url": dg.EnvVar("CM_DATABASE_URL") if settings.on_postgres else f"sqlite:///{settings.rates_file}",
    }
