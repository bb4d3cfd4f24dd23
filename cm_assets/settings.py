"""Configuration: `CM_*` variables with their defaults. Never a secret's value.

Those are read in `resources`, and in `engines/notifying` where people and programs are told what happens.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ByteSize, Field, StringConstraints, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

RATED = ("openai", "youtube", "tiktok", "tiktok_info", "tiktok_status")
"""Services whose calls can be limited."""

RATES: Mapping[str, tuple[tuple[int, float], ...]] = {
    "youtube": ((100, 86400.0),),
    "tiktok": ((6, 60.0), (15, 86400.0)),
    "tiktok_info": ((20, 60.0),),
    "tiktok_status": ((30, 60.0),),
}
"""Limits that the services themselves have: YouTube begins 100 uploads a day for a project, TikTok 15 for an account,
for which it counts three kinds of calls."""

EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""Of one who is told what happens: a slug, since it becomes part of the variables' names."""

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def _names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _rates(text: str) -> dict[str, tuple[tuple[int, float], ...]]:
    rates = dict(RATES)
    for part in filter(None, (part.strip() for part in text.split(";"))):
        service, _, limits = part.partition("=")
        if service.strip() not in RATED:
            raise ValueError(f"{service.strip()!r} is no service that is called; known: {', '.join(RATED)}")
        found = [re.fullmatch(r"\s*([1-9]\d{0,8})\s*/\s*(second|minute|hour|day)\s*", one) for one in limits.split(",")]
        if not all(found):
            raise ValueError(f"{part!r} is no limit: say it as in openai=10/minute,500/day")
        rates[service.strip()] = tuple((int(one[1]), _UNITS[one[2]]) for one in found if one)
    return rates


class Settings(BaseSettings):
    """What can be configured. Each field is the variable `CM_<FIELD>`.

    Attributes:
        home: the folder of the database, artifacts, outbox and Dagster's storage; absolute.
        artifacts_url: folder or fsspec URL of the artifact store; `<home>/artifacts` by default.
        dagster_home: the Dagster home whose daemons make this home's videos, where `cm up` and `cm make` do not.
        database_url: `postgresql://...` of a database for intent, rates and Dagster; SQLite files in `home` by default.
        outbox: the local channel folder; `<home>/outbox` by default.
        calendar: the content calendar; `<home>/calendar.yaml` by default.
        voices: voice engines in order of preference.
        footage: footage sources in order of preference.
        footage_folder: the user's own videos and pictures.
        music_folder: the user's own music.
        kokoro_model: path of kokoro-v1.0.int8.onnx, instead of the packaged weights.
        ffmpeg: path of the ffmpeg to use; else a fit one of the system, else the bundled one.
        x264_preset: `superfast`, or `veryfast` for files 40 % smaller at 1.5 times the CPU.
        openai_model: model that writes scripts for topics.
        rates: how often a service may be called, such as `openai=10/minute,500/day`; several apart by semicolons.
        youtube_url: address of a server that stands in for YouTube's.
        tiktok_url: address of a server that stands in for TikTok's.
        tiktok_mode: `direct` posts, or drafts in the account's `inbox` that their creator finishes in the app.
        notify: names of the endpoints that are told what happens to videos whose requests name none.
        max_concurrent_runs: videos in the making at once.
        max_lost_runs: runs of a video that may die without a word before the video counts as failed.
        cache_bytes: bound of the render's segment cache.
        keep_intermediates_days: days after which the narration and clips of a published video go; None for never.
        keep_days: days after its end after which a whole video retires; None for never.
        max_disk: bytes, such as `50GB`, that the home and a local artifact store may take; None for no bound.
        min_free: bytes that stay free on their disks.
    """

    model_config = SettingsConfigDict(env_prefix="CM_", frozen=True, extra="ignore")

    home: Path = Path(".cm")
    artifacts_url: str = ""
    dagster_home: Path | None = None
    database_url: Annotated[str, Field(repr=False)] = ""
    outbox: Path | None = None
    calendar: Path | None = None
    voices: Annotated[tuple[str, ...], NoDecode] = ("hibari", "kokoro")
    footage: Annotated[tuple[str, ...], NoDecode] = ("folder", "illustrated")
    footage_folder: Path | None = None
    music_folder: Path | None = None
    kokoro_model: Path | None = None
    ffmpeg: Path | None = None
    x264_preset: str = "superfast"
    openai_model: str = "gpt-5-mini"
    rates: Annotated[Mapping[str, tuple[tuple[int, float], ...]], NoDecode] = RATES
    youtube_url: str = ""
    tiktok_url: str = ""
    tiktok_mode: Literal["direct", "inbox"] = "direct"
    notify: Annotated[tuple[EndpointName, ...], NoDecode] = ()
    max_concurrent_runs: Annotated[int, Field(ge=1, le=100)] = 4
    max_lost_runs: Annotated[int, Field(ge=1, le=100)] = 5
    cache_bytes: Annotated[int, Field(ge=0)] = 2_000_000_000
    keep_intermediates_days: Annotated[float, Field(ge=0, le=36500)] | None = None
    keep_days: Annotated[float, Field(ge=0.01, le=36500)] | None = None
    max_disk: Annotated[ByteSize, Field(gt=0)] | None = None
    min_free: Annotated[ByteSize, Field(ge=0)] = ByteSize(500_000_000)

    @field_validator("database_url", mode="after")
    @classmethod
    def _is_postgres(cls, url: str) -> str:
        if url and not url.startswith("postgresql://"):
            raise ValueError("give postgresql://USER@HOST/NAME, or nothing for SQLite files in the home")
        return url

    _split = field_validator("voices", "footage", "notify", mode="before")(_names)

    @field_validator("rates", mode="before")
    @classmethod
    def _read_rates(cls, value: object) -> object:
        return _rates(value) if isinstance(value, str) else value

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
    def calendar_file(self) -> Path:
        """The content calendar; there may be none."""
        return self.calendar or self.home / "calendar.yaml"

    @property
    def cache(self) -> Path:
        """Folder of what can be made again: render segments, local copies of remote artifacts."""
        return self.home / "cache"

    @property
    def has_language_model(self) -> bool:
        """Whether an endpoint or a key for writing about topics is set. Which ones, `resources` knows."""
        return bool(os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"))
