"""The footage source `pixabay`: https://pixabay.com/api/docs/#api_search_videos."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cm_assets.engines.footage.answers import Service
from cm_assets.engines.footage.catalogue import Access
from cm_assets.engines.footage.listing import Id, Length, listed, page, printable, renditions
from cm_assets.engines.footage.ranking import MOST_ENLARGED, StockClip
from cm_assets.models.base import Model, Seconds
from cm_assets.models.clips import FootageQuery
from cm_assets.models.protocols import Rests

PER_PAGE = 100

PAUSE: Seconds = 60.0
"""Its window: 100 calls in 60 seconds."""

LANGUAGES = frozenset("cs da de en es fr id it hu nl no pl pt ro sk fi sv tr vi th bg ru el ja ko zh".split())  # noqa: SIM905


class _File(Model, extra="ignore"):
    """A rendition; one that is missing has an empty address."""

    url: str = ""
    width: int = 0
    height: int = 0


class _Hit(Model, extra="ignore"):
    id: Id
    pageURL: str = ""  # noqa: N815 - Pixabay's
    tags: str = ""
    duration: Length
    user: str = ""
    videos: Mapping[str, _File]


class Pixabay:
    """Searches Pixabay.

    Args:
        access: its video search and key; the key travels in the address, so nobody logs that.
        answers: folder of answers.
        rests: until when it is not to be called.
    """

    name = "pixabay"
    licence = "Pixabay Content License"

    def __init__(self, access: Access, answers: Path, rests: Rests) -> None:
        self._service = Service(
            self.name,
            access,
            answers,
            rests,
            headers={},
            secrets={"key": access.key.strip()},
            field="hits",
            pause=PAUSE,
        )

    def search(self, term: str, query: FootageQuery) -> list[StockClip]:
        """Clips for a term in Pixabay's order, large enough for the frame; it cannot be asked for an orientation.

        Raises:
            Refused: Pixabay does not take the term.
            Failure: one of its three classes.
        """
        parameters = {
            "q": term,
            "video_type": "film",
            "min_width": str(math.ceil(query.width / MOST_ENLARGED)),
            "min_height": str(math.ceil(query.height / MOST_ENLARGED)),
            "safesearch": "true",
            "per_page": str(PER_PAGE),
        }
        language = query.language.partition("-")[0].lower().replace("nb", "no")
        if language in LANGUAGES:
            parameters["lang"] = language
        return listed(self._service.ask(parameters), _Hit, _clip, self.name)


def _clip(hit: Any) -> StockClip:
    return StockClip(
        key=f"pixabay:{hit.id}",
        page=page(hit.pageURL, r"pixabay\.com", f"https://pixabay.com/videos/id-{hit.id}/"),
        title=printable(hit.tags),
        seconds=hit.duration,
        author=printable(hit.user),
        renditions=renditions((file.width, file.height, file.url) for file in hit.videos.values()),
    )
