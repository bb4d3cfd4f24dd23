"""Configuration: `CM_*` variables with their defaults. Never a secret's value.

Those are read in `resources`, and in `engines/notifying` where people and programs are told what happens.
"""

import json
import os
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cm_assets.policies import POOLS

RATED = (
    *("openai", "openai_speech", "opentts", "pexels", "pixabay"),
    *("youtube", "tiktok", "tiktok_info", "tiktok_status"),
    "http",
)
"""Services whose calls can be limited, and `http`: the requests for videos that one caller of our own API sends."""

RATES: Mapping[str, tuple[tuple[int, float], ...]] = {
    "youtube": ((100, 86400.0),),
    "tiktok": ((6, 60.0), (15, 86400.0)),
    "tiktok_info": ((20, 60.0),),
    "tiktok_status": ((30, 60.0),),
}
"""Limits that the services themselves have: YouTube begins 100 uploads for a project from midnight to midnight in
California (`models.days`), TikTok 15 in 24 hours for an account, for which it counts three kinds of calls."""

JOBS = ("produce_video", "publish_video", "take_down_video")
"""What runs can be of."""

_Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]

EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""Of one who is told what happens: a slug, since it becomes part of the variables' names."""

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]
"""Of x264's."""

STOCK_KEYS = {"pexels": "PEXELS_API_KEY", "pixabay": "PIXABAY_API_KEY"}
"""Variables of the keys of the footage sources that need one. Only whether they are set is looked at here."""

_SIZE, _DOLLARS = "must be a size such as 500MB or 50GB", "must be US dollars, such as 1.50, and more than 0"
_COUNT, _DAYS = "must be a whole number from 1 to 100", "must be a number of days, such as 30, and at most 36500"

_EXPECTED: Mapping[str, str] = {
    "artifact_cache_bytes": _SIZE,
    "allow_private_hosts": "must be true or false",
    "budget_per_day": _DOLLARS,
    "budget_per_video": _DOLLARS,
    "cache_bytes": _SIZE,
    "dagster_url": "must be a name such as dagster.example.com, or an address that begins with https:// or http://",
    "footage_cache_bytes": _SIZE,
    "keep_days": _DAYS,
    "keep_intermediates_days": _DAYS,
    "log_format": "must be text or json",
    "max_backlog": "must be a whole number, 1 to 10,000,000",
    "max_concurrent_runs": "must be a whole number from 1 to 1,000",
    "max_disk": _SIZE,
    "max_lost_runs": _COUNT,
    "min_free": _SIZE,
    "pools": "must be as in render=4;speech=8",
    "serve_hosts": "must be names of hosts, without ports, apart by commas",
    "upload_bytes": _SIZE,
    "notify": "must be names of small letters, digits and hyphens, apart by commas",
    "tiktok_mode": "must be direct or inbox",
    "x264_preset": "must be a preset of x264, such as superfast or veryfast",
}
"""Of the fields that do not say it themselves."""

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def _names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _rates(text: str) -> dict[str, tuple[tuple[int, float], ...]]:
    rates = dict(RATES)
    for part in filter(None, (part.strip() for part in text.split(";"))):
        service, _, limits = part.partition("=")
        if service.strip() not in RATED:
            raise ValueError(
                f"{service.strip()!r} is no service that is called; say it as in openai=10/minute,500/day; "
                f"known: {', '.join(RATED)}"
            )
        found = [re.fullmatch(r"\s*([1-9]\d{0,8})\s*/\s*(second|minute|hour|day)\s*", one) for one in limits.split(",")]
        if not all(found):
            raise ValueError(f"{part!r} is no limit: say it as in openai=10/minute,500/day")
        limits_of_it = tuple((int(one[1]), _UNITS[one[2]]) for one in found if one)
        ordered = sorted(limits_of_it, key=lambda limit: limit[1])
        for (few, short), (many, long) in pairwise(ordered):
            if short == long or many <= few or many / long > few / short:
                raise ValueError(f"{part!r} has two limits of which one makes the other idle: leave that out")
        rates[service.strip()] = limits_of_it
    return rates


def _pools(text: str) -> dict[str, int]:
    pools = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, limit = (word.strip() for word in part.partition("="))
        if name not in POOLS:
            raise ValueError(f"{name!r} is no pool; say it as in render=4;speech=8; known: {', '.join(POOLS)}")
        if not re.fullmatch(r"[1-9]\d{0,3}", limit):
            raise ValueError(f"{part!r} is no limit: say it as in render=4;speech=8")
        pools[name] = int(limit)
    return pools


def _prices(text: str) -> dict[str, tuple[Decimal, ...]]:
    prices = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        model, _, amounts = part.rpartition("=")
        try:
            found = tuple(Decimal(one.strip()) for one in amounts.split("/"))
        except InvalidOperation:
            found = ()
        fine = all(one.is_finite() and 0 <= one <= 1_000_000 for one in found)
        if not model.strip() or len(found) not in {2, 3} or not fine:
            raise ValueError(f"{part!r} is no price: say it as in gpt-5-mini=0.25/2.00")
        prices[model.strip()] = found
    return prices


def _pods(text: str) -> dict[str, dict[str, Any]]:
    try:
        pods = json.loads(text)
    except ValueError:
        pods = None
    if not isinstance(pods, dict) or not all(isinstance(one, dict) for one in pods.values()):
        raise ValueError('must be JSON, by job, as in {"publish_video": {"container_config": {"resources": ...}}}')
    unknown = pods.keys() - set(JOBS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: there is no such job; there are {', '.join(JOBS)}")
    return pods


def problems(error: ValidationError) -> list[str]:
    """What is wrong with settings: the variable, and what is expected there. Never the value, which may be a secret."""
    found = []
    for item in error.errors(include_url=False, include_input=False):
        name = str(item["loc"][0])
        said = str(item["ctx"]["error"]) if item["type"] == "value_error" else _EXPECTED.get(name, item["msg"])
        found.append(f"CM_{name.upper()}: {said}")
    return list(dict.fromkeys(found))


class Settings(BaseSettings):
    """What can be configured. Each field is the variable `CM_<FIELD>`; one that is empty is not set.

    Attributes:
        home: the folder of the database, artifacts, outbox and Dagster's storage; absolute.
        artifacts_url: folder, `s3://bucket/folder` or fsspec URL of the artifact store; `<home>/artifacts` by default.
        dagster_home: the Dagster home whose daemons make this home's videos, where `cm up` and `cm make` do not.
        database_url: `postgresql://...` of a database for intent, rates and Dagster; SQLite files in `home` by default.
        outbox: the local channel folder; `<home>/outbox` by default.
        calendar: the content calendar; `<home>/calendar.yaml` by default.
        voices: voice engines in order of preference.
        footage: footage sources in order of preference; if empty, `folder` where there is one, `pexels` and `pixabay`
            where their keys are set, and `illustrated`.
        footage_cache_bytes: bound of the downloaded clips that all videos share.
        pexels_url: of Pexels's video search, or of what stands in for it.
        pixabay_url: of Pixabay's video search, or of what stands in for it.
        allow_private_hosts: whether media may be loaded from hosts that are not public, and by plain http.
        footage_folder: the user's own videos and pictures.
        music_folder: the user's own music.
        upload_bytes: bytes of one file that is handed in.
        kokoro_model: path of kokoro-v1.0.int8.onnx, instead of the packaged weights.
        ffmpeg: path of the ffmpeg to use; else a fit one of the system, else the bundled one.
        x264_preset: `superfast`, or `veryfast` for files 40 % smaller at 1.5 times the CPU.
        speech_model: model of the OpenAI-compatible speech server.
        speech_voice: with which it speaks where a request's voice is not one of its own.
        opentts_voice: likewise for OpenTTS, as `larynx:harvard`.
        openai_model: model that writes scripts for topics.
        prices: US dollars for a million tokens read/written, such as `gpt-5-mini=0.25/2.00`, with a third figure for
            those read again; several apart by semicolons.
        budget_per_video: US dollars that the language model may cost for one video; None for any amount.
        budget_per_day: US dollars that it may cost from midnight to midnight UTC; None for any amount.
        rates: how often a service may be called, such as `openai=10/minute,500/day`; several apart by semicolons.
        youtube_url: address of a server that stands in for YouTube's.
        tiktok_url: address of a server that stands in for TikTok's.
        tiktok_mode: `direct` posts, or drafts in the account's `inbox` that their creator finishes in the app.
        notify: names of the endpoints that are told what happens to videos whose requests name none.
        serve_hosts: names, beside this machine's own, by which the HTTP API is reached.
        dagster_url: address of Dagster's UI, to which the board links; of a name alone by https.
        max_backlog: videos that may be wanted and not done; whoever asks for more over HTTP is told to come back.
        max_concurrent_runs: videos in the making at once.
        pools: steps of a pool at once, over all runs and hosts, such as `render=4;speech=8`, where the limits of the
            policy table, which are those of one machine, do not fit.
        pods: what the runs of a job ask of a Kubernetes cluster, by job, as JSON, in the words of `dagster-k8s/config`;
            deploy/kubernetes. Nothing elsewhere.
        max_lost_runs: runs of a video that may die without a word before the video counts as failed.
        cache_bytes: bound of the render's segment cache.
        keep_intermediates_days: days after which the narration and clips of a published video go; None for never.
        keep_days: days after its end after which a whole video retires; None for never.
        artifact_cache_bytes: bound of the local copies of artifacts where these lie in a bucket or behind another URL.
        max_disk: bytes, such as `50GB`, that the home and a local artifact store may take; None for no bound.
        min_free: bytes that stay free on their disks.
        log_format: of what processes write about themselves: `text` for people, `json` for one object a line.
    """

    model_config = SettingsConfigDict(env_prefix="CM_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Path(".cm")
    artifacts_url: str = ""
    dagster_home: Path | None = None
    database_url: Annotated[str, Field(repr=False)] = ""
    outbox: Path | None = None
    calendar: Path | None = None
    voices: Annotated[tuple[str, ...], NoDecode] = ("hibari", "kokoro")
    footage: Annotated[tuple[str, ...], NoDecode] = ()
    footage_cache_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(5_000_000_000)
    pexels_url: str = "https://api.pexels.com/v1/videos/search"
    pixabay_url: str = "https://pixabay.com/api/videos/"
    allow_private_hosts: bool = False
    footage_folder: Path | None = None
    music_folder: Path | None = None
    upload_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(500_000_000)
    kokoro_model: Path | None = None
    speech_model: str = "tts-1"
    speech_voice: str = ""
    opentts_voice: str = ""
    ffmpeg: Path | None = None
    x264_preset: Preset = "superfast"
    openai_model: str = "gpt-5-mini"
    prices: Annotated[Mapping[str, tuple[Decimal, ...]], NoDecode] = {}
    budget_per_video: Annotated[Decimal, Field(gt=0, le=1_000_000)] | None = None
    budget_per_day: Annotated[Decimal, Field(gt=0, le=1_000_000)] | None = None
    rates: Annotated[Mapping[str, tuple[tuple[int, float], ...]], NoDecode] = RATES
    youtube_url: str = ""
    tiktok_url: str = ""
    tiktok_mode: Literal["direct", "inbox"] = "direct"
    notify: Annotated[tuple[EndpointName, ...], NoDecode] = ()
    serve_hosts: Annotated[tuple[_Host, ...], NoDecode] = ()
    dagster_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s]+)?$")] = ""
    max_backlog: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    max_concurrent_runs: Annotated[int, Field(ge=1, le=1000)] = 4
    pools: Annotated[Mapping[str, int], NoDecode] = {}
    pods: Annotated[Mapping[str, Mapping[str, Any]], NoDecode] = {}
    max_lost_runs: Annotated[int, Field(ge=1, le=100)] = 5
    cache_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(2_000_000_000)
    artifact_cache_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(10_000_000_000)
    keep_intermediates_days: Annotated[float, Field(ge=0, le=36500)] | None = None
    keep_days: Annotated[float, Field(ge=0.01, le=36500)] | None = None
    max_disk: Annotated[ByteSize, Field(gt=0)] | None = None
    min_free: Annotated[ByteSize, Field(ge=0)] = ByteSize(500_000_000)
    log_format: Literal["text", "json"] = "text"

    @field_validator("database_url", mode="after")
    @classmethod
    def _is_postgres(cls, url: str) -> str:
        if url and not url.startswith("postgresql://"):
            raise ValueError("give postgresql://USER@HOST/NAME, or nothing for SQLite files in the home")
        return url

    @field_validator("dagster_url", mode="before")
    @classmethod
    def _name_or_address(cls, url: object) -> object:
        # A proxy takes a name alone, and serves it by https.
        named = isinstance(url, str) and re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d+)?", url)
        return f"https://{url}" if named else url

    _split = field_validator("voices", "footage", "notify", "serve_hosts", mode="before")(_names)

    @field_validator("rates", mode="before")
    @classmethod
    def _read_rates(cls, value: object) -> object:
        return _rates(value) if isinstance(value, str) else value

    @field_validator("pools", mode="before")
    @classmethod
    def _read_pools(cls, value: object) -> object:
        return _pools(value) if isinstance(value, str) else value

    @field_validator("pods", mode="before")
    @classmethod
    def _read_pods(cls, value: object) -> object:
        return _pods(value) if isinstance(value, str) else value

    @field_validator("prices", mode="before")
    @classmethod
    def _read_prices(cls, value: object) -> object:
        return _prices(value) if isinstance(value, str) else value

    @field_validator(
        "home",
        "dagster_home",
        "outbox",
        "calendar",
        "footage_folder",
        "music_folder",
        "kokoro_model",
        "ffmpeg",
        mode="after",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - keeps symlinks

    @field_validator("pexels_url", "pixabay_url", "youtube_url", "tiktok_url", mode="after")
    @classmethod
    def _is_web(cls, url: str) -> str:
        if url and not re.match(r"https?://[^/\s]", url):
            raise ValueError("must be an address that begins with https:// or http://")
        return url

    @field_validator("artifacts_url", mode="after")
    @classmethod
    def _is_known_store(cls, url: str) -> str:
        protocol, mark, _ = url.partition("://")
        if protocol == "s3" and mark:
            if not re.fullmatch(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9](/[A-Za-z0-9!._*'()/-]*)?", url):
                raise ValueError("must be as in s3://bucket/folder; address and keys are AWS_ENDPOINT_URL, AWS_...")
        elif mark:
            from fsspec import available_protocols

            if protocol.rpartition("::")[2] not in available_protocols():
                raise ValueError(f"{protocol!r} is no kind of store; it must be a folder, or as in s3://bucket/folder")
        return url

    @property
    def artifacts(self) -> str:
        """URL of the artifact store."""
        return self.artifacts_url or str(self.home / "artifacts")

    @property
    def artifacts_folder(self) -> Path | None:
        """The artifact store's folder; None if it lies elsewhere than on this machine's disks."""
        protocol, mark, path = self.artifacts.partition("://")
        if mark and protocol not in {"file", "local"}:
            return None
        return Path(os.path.abspath(path if mark else self.artifacts))  # noqa: PTH100 - keeps symlinks

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the intent database."""
        if self.database_url:
            return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return f"sqlite:///{self.home / 'cm.sqlite'}"

    @property
    def on_postgres(self) -> bool:
        """Whether intent, rates and Dagster are in Postgres."""
        return bool(self.database_url)

    @property
    def addresses(self) -> dict[str, str]:
        """Of services that are not at their usual ones."""
        found = {"youtube": self.youtube_url, "tiktok": self.tiktok_url}
        return {name: url for name, url in found.items() if url}

    @property
    def channel(self) -> Path:
        """The local channel folder."""
        return self.outbox or self.home / "outbox"

    @property
    def rates_file(self) -> Path:
        """Where calls are counted."""
        return self.home / "rates.sqlite"

    @property
    def inbox(self) -> Path:
        """Folder into which request files are dropped."""
        return self.home / "inbox"

    @property
    def incoming(self) -> Path:
        """Folder of files that are being handed in."""
        return self.home / "incoming"

    @property
    def calendar_file(self) -> Path:
        """The content calendar; there may be none."""
        return self.calendar or self.home / "calendar.yaml"

    @property
    def cache(self) -> Path:
        """Folder of what can be made again: render segments, local copies of remote artifacts."""
        return self.home / "cache"

    @property
    def footage_sources(self) -> tuple[str, ...]:
        """Footage sources in order of preference: those that were named, else all that are configured."""
        if self.footage:
            return self.footage
        stock = tuple(name for name, key in STOCK_KEYS.items() if os.environ.get(key))
        return (*(("folder",) if self.footage_folder else ()), *stock, "illustrated")

    @property
    def missing_keys(self) -> tuple[str, ...]:
        """Variables of keys that sources need which `CM_FOOTAGE` names."""
        return tuple(key for name, key in STOCK_KEYS.items() if name in self.footage and not os.environ.get(key))

    @property
    def has_language_model(self) -> bool:
        """Whether an endpoint or a key for writing about topics is set. Which ones, `resources` knows."""
        return bool(os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"))

    @property
    def missing_servers(self) -> frozenset[str]:
        """The voice engines that neither an address nor a key is set for. Which ones others have, `resources` knows."""
        variables = {
            "openai_speech": ("CM_SPEECH_BASE_URL", "CM_SPEECH_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
            "opentts": ("CM_OPENTTS_URL",),
        }
        return frozenset(engine for engine, names in variables.items() if not any(map(os.environ.get, names)))
