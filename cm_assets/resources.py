"""Engines and stores as Dagster resources. Secrets are named here, as environment variables.

Those of the endpoints that are told what happens are `engines/notifying`'s: they are needed without Dagster.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from cm_assets.models.base import Failure, Model
from cm_assets.models.protocols import FootageSource, Platform, Progress, ScriptWriter, Voice
from cm_assets.models.request import VideoRequest
from cm_assets.policies import STAGES
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore

if TYPE_CHECKING:
    from cm_assets.engines.speech.chain import Narrated
    from cm_assets.media.composition import SegmentCache
    from cm_assets.media.ffmpeg import Ffmpeg


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

        take = _counted(self.rates, self.rates_url)
        return writer_for(
            request,
            model=self.model,
            base_url=self.base_url or None,
            api_key=self.api_key or None,
            before_call=lambda: take("openai"),
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
            before_call=_counted(self.rates, self.rates_url),
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
    """

    outbox: str

    def named(self, _name: str) -> Platform:
        """The platform of a name."""
        from cm_assets.engines.platforms.outbox import Outbox

        return Outbox(Path(self.outbox))


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


def _counted(rates: Mapping[str, list[list[float]]], url: str) -> Callable[[str], None]:
    """Counts a call of a service by its name, as the resources' fields say where; it may raise AskedToWait."""
    from cm_assets.storage.rates import Rates

    limits = {name: [(int(count), seconds) for count, seconds in each] for name, each in rates.items()}
    return Rates(url, limits).take


def _counting(settings: Settings) -> dict[str, Any]:
    return {
        "rates": {name: [list(limit) for limit in limits] for name, limits in settings.rates.items()},
        # By reference: a database's address can hold a password.
        "rates_url": dg.EnvVar("CM_DATABASE_URL") if settings.on_postgres else f"sqlite:///{settings.rates_file}",
    }


def _variable(name: str) -> str:
    """A variable by reference, as addresses and keys are; empty if it is not set."""
    return dg.EnvVar(name) if os.environ.get(name) else ""


def writers(settings: Settings) -> Writers:
    """The writers, with the endpoint's address and key by reference."""
    return Writers(
        model=settings.openai_model,
        base_url=_variable("OPENAI_BASE_URL"),
        api_key=_variable("OPENAI_API_KEY"),
        **_counting(settings),
    )


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
        **_counting(settings),
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
