"""The footage source `pexels`: https://www.pexels.com/api/documentation/#videos-search."""

import re
from pathlib import Path
from typing import Any

from cm_assets.engines.footage.answers import Service
from cm_assets.engines.footage.catalogue import Access
from cm_assets.engines.footage.listing import Id, Length, listed, page, printable, renditions
from cm_assets.engines.footage.ranking import StockClip
from cm_assets.models.base import Model, Seconds
from cm_assets.models.clips import FootageQuery
from cm_assets.models.protocols import Rests

PER_PAGE = 80
"""The most that one call gives: calls are what is scarce."""

PAUSE: Seconds = 300.0
"""Its 429 carries no headers, and what is over is most often the hour's 200 calls."""

LOCALES = (
    *("en-US", "pt-BR", "es-ES", "ca-ES", "de-DE", "it-IT", "fr-FR", "sv-SE", "id-ID", "pl-PL", "ja-JP", "zh-TW"),
    *("zh-CN", "ko-KR", "th-TH", "nl-NL", "hu-HU", "vi-VN", "cs-CZ", "da-DK", "fi-FI", "uk-UA", "el-GR", "ro-RO"),
    *("nb-NO", "sk-SK", "tr-TR", "ru-RU"),
)
"""That its search takes."""


class _File(Model, extra="ignore"):
    """A rendition. Playlists (`hls`) have no size."""

    file_type: str | None = None
    width: int | None = None
    height: int | None = None
    link: str


class _User(Model, extra="ignore"):
    name: str = ""


class _Video(Model, extra="ignore"):
    id: Id
    url: str = ""
    duration: Length
    user: _User = _User()
    video_files: tuple[_File, ...]


class Pexels:
    """Searches Pexels.

    Args:
        access: its video search and key.
        answers: folder of answers.
        rests: until when it is not to be called.
    """

    name = "pexels"
    licence = "Pexels License"

    def __init__(self, access: Access, answers: Path, rests: Rests) -> None:
        self._service = Service(
            self.name,
            access,
            answers,
            rests,
            headers={"authorization": access.key.strip()},
            secrets={},
            field="videos",
            pause=PAUSE,
        )

    def search(self, term: str, query: FootageQuery) -> list[StockClip]:
        """Clips for a term in Pexels's order, of the frame's orientation.

        Raises:
            Refused: Pexels does not take the term.
            Failure: one of its three classes.
        """
        parameters = {
            "query": term,
            "orientation": _orientation(query.width, query.height),
            "size": _size(query.width, query.height),
            "per_page": str(PER_PAGE),
        }
        if locale := _locale(query.language):
            parameters["locale"] = locale
        return listed(self._service.ask(parameters), _Video, _clip, self.name)


def _clip(video: Any) -> StockClip:
    return StockClip(
        key=f"pexels:{video.id}",
        page=page(video.url, r"(?:www\.)?pexels\.com", f"https://www.pexels.com/video/{video.id}/"),
        title=_title(video.url),
        seconds=video.duration,
        author=printable(video.user.name),
        renditions=renditions(
            (file.width, file.height, file.link) for file in video.video_files if file.file_type == "video/mp4"
        ),
    )


def _title(url: str) -> str:
    """The words of `https://www.pexels.com/video/<words>-<id>/`: all that Pexels says of what a clip shows."""
    slug = url.rstrip("/").rpartition("/")[2]
    return printable(re.sub(r"-?\d+$", "", slug).replace("-", " "))


def _orientation(width: int, height: int) -> str:
    return "square" if width == height else "portrait" if width < height else "landscape"


def _size(width: int, height: int) -> str:
    """The least size that is wanted: `small` is HD, `medium` Full HD and `large` 4K."""
    longer = max(width, height)
    return "small" if longer <= 1280 else "medium" if longer <= 1920 else "large"


def _locale(language: str) -> str | None:
    """The locale for a language; Pexels takes these and no others."""
    known = {locale.casefold(): locale for locale in reversed(LOCALES)}
    first = {locale.partition("-")[0]: locale for locale in reversed(LOCALES)} | {"no": "nb-NO"}
    return known.get(language.casefold()) or first.get(language.partition("-")[0].casefold())
