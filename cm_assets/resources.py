"""Engines and stores as Dagster resources. Secrets are named here, as environment variables.

Those of the endpoints that are told what happens are `engines/notifying`'s: they are needed without Dagster.
"""

import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from cm_assets.models.base import Failure, Model
from cm_assets.models.protocols import Platform, Progress, Purse, ScriptWriter, Voice
from cm_assets.models.request import VideoRequest
from cm_assets.policies import STAGES
from cm_assets.settings import STOCK_KEYS, Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database

if TYPE_CHECKING:
    from cm_assets.engines.footage.gathering import Source
    from cm_assets.engines.speech.chain import Narrated
    from cm_assets.media.composition import FileCache
    from cm_assets.media.ffmpeg import Ffmpeg
    from cm_assets.storage.credentials import Credentials
    from cm_assets.storage.footage import FootageMemory
    from cm_assets.storage.rates import Rates
    from cm_assets.storage.spending import Spending


class Writers(dg.ConfigurableResource[Any]):
    """Chooses who writes: nobody, an extractor, or a language model.

    Attributes:
        model: the language model's name.
        base_url: of an OpenAI-compatible endpoint; the OpenAI service's own if empty.
        api_key: for it.
        prices: by model, in US dollars for a million tokens, as text: exact.
        budget_per_video, budget_per_day: in US dollars, as text; empty for any amount.
        rates: calls and seconds, by service.
        rates_url: where calls are counted.
    """

    model: str
    base_url: str = ""
    api_key: str = ""
    prices: dict[str, list[str]] = Field(default_factory=dict)
    budget_per_video: str = ""
    budget_per_day: str = ""
    rates: dict[str, list[list[float]]] = Field(default_factory=dict)
    rates_url: str = ""

    def spending(self, database: "Database", video: str, since: int, request: VideoRequest) -> "Spending":
        """Pays for the calls that a script takes.

        Args:
            database: where that is recorded.
            video: whose script.
            since: storage id of its newest script, -1 if it has none.
            request: may bring a budget of its own.
        """
        from cm_assets.engines.writing.prices import price_of
        from cm_assets.storage.spending import Budget, Spending

        own = {name: tuple(map(Decimal, amounts)) for name, amounts in self.prices.items()}
        most = Decimal(self.budget_per_video) if self.budget_per_video else None
        budget = Budget(most, Decimal(self.budget_per_day) if self.budget_per_day else None)
        asked = None if request.budget is None else Decimal(str(request.budget))
        if asked is not None and (most is None or asked <= most):
            budget = Budget(asked, budget.day, "Ask for another video with a higher budget")
        return Spending(database, video, since, model=self.model, price=price_of(self.model, own), budget=budget)

    def writer_for(self, request: VideoRequest, purse: Purse) -> ScriptWriter:
        """The writer for what the request gives.

        Args:
            request: with one of scenes, source_text and topic.
            purse: pays for the calls of a language model.

        Raises:
            PermanentFailure: the request gives a topic, and no language model is configured.
        """
        from cm_assets.engines.writing.choice import writer_for

        rates = _rates(self.rates_url, self.rates)
        return writer_for(
            request,
            model=self.model,
            base_url=self.base_url or None,
            api_key=self.api_key or None,
            purse=purse,
            before_call=lambda: rates.take("openai"),
        )


class Speakers(dg.ConfigurableResource[Any]):
    """Has narrations spoken.

    Attributes:
        names: of voice engines, in order of preference.
        kokoro_model: path of Kokoro's weights, if they are not those of the package.
        speech_url: of an OpenAI-compatible speech server; OpenAI's own if empty.
        speech_key: for it.
        speech_model: its model.
        speech_voice: its voice for requests whose voice it does not have.
        opentts_url: of an OpenTTS server.
        opentts_voice: its voice for requests whose voice it does not have.
        cache: folder of what servers have spoken.
        rates: calls and seconds, by service.
        rates_url: where calls are counted.
    """

    names: list[str]
    kokoro_model: str = ""
    speech_url: str = ""
    speech_key: str = ""
    speech_model: str = "tts-1"
    speech_voice: str = ""
    opentts_url: str = ""
    opentts_voice: str = ""
    cache: str = ""
    rates: dict[str, list[list[float]]] = Field(default_factory=dict)
    rates_url: str = ""

    def engines(self, *, patience: float | None = None) -> tuple[Voice, ...]:
        """The engines that are named, ready to speak.

        Args:
            patience: seconds that a server may be silent; `setup.PATIENCE` if None.

        Raises:
            PermanentFailure: a name is unknown.
        """
        from cm_assets.engines.speech.catalogue import engines
        from cm_assets.engines.speech.setup import PATIENCE, Setup

        setup = Setup(
            kokoro_model=Path(self.kokoro_model) if self.kokoro_model else None,
            speech_url=self.speech_url,
            speech_key=self.speech_key,
            speech_model=self.speech_model,
            speech_voice=self.speech_voice,
            opentts_url=self.opentts_url,
            opentts_voice=self.opentts_voice,
            cache=Path(self.cache) if self.cache else None,
            before_call=_rates(self.rates_url, self.rates).take,
            patience=PATIENCE if patience is None else patience,
        )
        return engines(self.names, setup)

    def tell(
        self,
        texts: Sequence[str],
        *,
        voice: str,
        speed: float,
        language: str,
        progress: Progress,
        comes_back: Callable[[Failure], bool],
    ) -> "Narrated":
        """Have the texts of all scenes spoken by one engine; see `engines.speech.chain.tell`.

        Raises:
            Failure: one of its three classes.
        """
        from cm_assets.engines.speech.chain import tell

        return tell(
            texts,
            self.engines(),
            voice=voice,
            speed=speed,
            language=language,
            preferred={"openai_speech": self.speech_voice, "opentts": self.opentts_voice},
            progress=progress,
            comes_back=comes_back,
            time_limit=STAGES["audio"].time_limit,
        )


class Footage(dg.ConfigurableResource[Any]):
    """Where clips come from.

    Attributes:
        names: of footage sources, in order of preference.
        folder: the user's own footage, or empty.
        ffmpeg: path from the settings, or empty.
        cache: folder for downloads and answers.
        cache_bytes: bound of the downloads.
        allow_private: whether clips may be loaded from hosts that are not public.
        pexels_url: of its video search.
        pexels_key: for it, or empty.
        pixabay_url: of its video search.
        pixabay_key: for it, or empty.
        rates: calls and seconds, by service.
        rates_url: where calls are counted.
    """

    names: list[str]
    folder: str = ""
    ffmpeg: str = ""
    cache: str
    cache_bytes: int
    allow_private: bool = False
    pexels_url: str
    pexels_key: str = ""
    pixabay_url: str
    pixabay_key: str = ""
    rates: dict[str, list[list[float]]] = Field(default_factory=dict)
    rates_url: str = ""

    def sources(self, memory: "FootageMemory") -> "tuple[Source, ...]":
        """The sources that are configured, for the video of this memory.

        Raises:
            PermanentFailure: a name is unknown, or a source has no key.
        """
        from cm_assets.engines.footage.catalogue import Access, Means, sources

        rates = _rates(self.rates_url, self.rates)
        keys = {"pexels": (self.pexels_url, self.pexels_key), "pixabay": (self.pixabay_url, self.pixabay_key)}
        means = Means(
            folder=Path(self.folder) if self.folder else None,
            ffmpeg=Path(self.ffmpeg) if self.ffmpeg else None,
            cache=Path(self.cache),
            cache_bytes=self.cache_bytes,
            allow_private=self.allow_private,
            sites={
                name: Access(url, key, STOCK_KEYS[name], partial(rates.take, name)) for name, (url, key) in keys.items()
            },
        )
        return sources(self.names, means, memory, memory)


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

    def segments(self) -> "FileCache":
        """The cache of encoded shots."""
        from cm_assets.media.composition import FileCache

        return FileCache(Path(self.cache), self.cache_bytes)

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

        rates = _rates(self.rates_url, self.rates)
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


def _folder(key: dg.AssetKey) -> str:
    return "-".join(key.path)


def _rates(url: str, limits: dict[str, list[list[float]]]) -> "Rates":
    from cm_assets.storage.rates import Rates

    return Rates(url, {name: [(int(count), seconds) for count, seconds in rates] for name, rates in limits.items()})


def _counts(settings: Settings) -> dict[str, Any]:
    """What resources need to count calls, as their attributes."""
    return {
        "rates": {name: [list(limit) for limit in limits] for name, limits in settings.rates.items()},
        # By reference: a database's address can hold a password.
        "rates_url": dg.EnvVar("CM_DATABASE_URL") if settings.on_postgres else f"sqlite:///{settings.rates_file}",
    }


def footage(settings: Settings) -> Footage:
    """The sources of clips, with their keys by reference."""
    return Footage(
        names=list(settings.footage_sources),
        folder=str(settings.footage_folder or ""),
        ffmpeg=str(settings.ffmpeg or ""),
        cache=str(settings.cache),
        cache_bytes=settings.footage_cache_bytes,
        allow_private=settings.allow_private_hosts,
        pexels_url=settings.pexels_url,
        pexels_key=_variable("PEXELS_API_KEY"),
        pixabay_url=settings.pixabay_url,
        pixabay_key=_variable("PIXABAY_API_KEY"),
        **_counts(settings),
    )


def _variable(name: str) -> str:
    """A variable by reference, as addresses and keys are; empty if it is not set."""
    return dg.EnvVar(name) if os.environ.get(name) else ""


def writers(settings: Settings) -> Writers:
    """The writers, with the endpoint's address and key by reference."""
    return Writers(
        model=settings.openai_model,
        base_url=_variable("OPENAI_BASE_URL"),
        api_key=_variable("OPENAI_API_KEY"),
        prices={name: [str(amount) for amount in amounts] for name, amounts in settings.prices.items()},
        budget_per_video=str(settings.budget_per_video or ""),
        budget_per_day=str(settings.budget_per_day or ""),
        **_counts(settings),
    )


def platforms(settings: Settings) -> Platforms:
    """The platforms, with the key of the accounts by reference."""
    return Platforms(
        outbox=str(settings.channel),
        home=str(settings.home),
        secret_key=_variable("CM_SECRET_KEY"),
        addresses=settings.addresses,
        options={"tiktok_mode": settings.tiktok_mode},
        **_counts(settings),
    )


def vault(settings: Settings) -> "Credentials":
    """The connected accounts, for whoever is not run by Dagster."""
    from cm_assets.storage.credentials import Credentials

    return Credentials(Database(settings.database), settings.home, os.environ.get("CM_SECRET_KEY", ""))


def speakers(settings: Settings) -> Speakers:
    """The voices, with the servers' addresses and keys by reference."""
    url, key = _speech_variables()
    return Speakers(
        names=list(settings.voices),
        kokoro_model=str(settings.kokoro_model or ""),
        speech_url=_variable(url),
        speech_key=_variable(key),
        speech_model=settings.speech_model,
        speech_voice=settings.speech_voice,
        opentts_url=_variable("CM_OPENTTS_URL"),
        opentts_voice=settings.opentts_voice,
        cache=str(settings.cache / "speech"),
        **_counts(settings),
    )


def _speech_variables() -> tuple[str, str]:
    """The variables of the speech server's address and key. These go together: a key is for one server.

    What is set for speech alone is taken, else what the writer has. So the key of OpenAI is never sent to a server of
    one's own, nor the other way round, unless both have the same address.
    """
    own_url, own_key = os.environ.get("CM_SPEECH_BASE_URL", ""), os.environ.get("CM_SPEECH_API_KEY", "")
    if not own_url and not own_key:
        return "OPENAI_BASE_URL", "OPENAI_API_KEY"
    if own_url and not own_key:
        shared = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        if _origin(own_url) is not None and _origin(own_url) == _origin(shared):
            return "CM_SPEECH_BASE_URL", "OPENAI_API_KEY"
    return "CM_SPEECH_BASE_URL", "CM_SPEECH_API_KEY"


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port
