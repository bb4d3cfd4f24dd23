"""What the sources that search stock sites share: offers for a shot, and a clip of an offer."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cm_assets.engines.footage.answers import Refused
from cm_assets.engines.footage.downloads import Downloads
from cm_assets.engines.footage.ranking import (
    MOST_ENLARGED,
    UNCONFIRMED,
    Rendition,
    StockClip,
    confirmed,
    enlargement,
    ranked,
    rendition,
)
from cm_assets.engines.footage.search_terms import searches
from cm_assets.media.ffmpeg import find
from cm_assets.media.probe import validate_video
from cm_assets.models.base import PermanentFailure, Seconds
from cm_assets.models.clips import ClipSpec, Credit, FetchedClip, FootageQuery, Step
from cm_assets.models.protocols import ClipHistory

LONGEST_LOOK: Seconds = 60.0
"""Of a clip is decoded to see that it is whole; no more of it is used."""

log = logging.getLogger(__name__)


class Site(Protocol):
    """A stock site."""

    name: str
    licence: str

    def search(self, term: str, query: FootageQuery) -> list[StockClip]:
        """Clips for a term, in the site's order.

        Raises:
            Refused: the site does not take the term.
            Failure: one of its three classes.
        """


@dataclass(frozen=True, slots=True)
class Offer:
    """A clip that a stock site has for a query, not loaded yet.

    Attributes:
        query: what it is for.
        clip: the clip.
        rendition: the file of it to load.
        term: that found it.
        step: how it was found.
    """

    query: FootageQuery
    clip: StockClip
    rendition: Rendition
    term: str
    step: Step

    @property
    def key(self) -> str:
        """Identity of the clip."""
        return self.clip.key


class Stock:
    """A footage source that searches a stock site and loads what is chosen.

    Choosing and loading are apart, so that a video's clips are chosen one after the other and loaded together.

    Args:
        site: to search.
        downloads: loads and keeps files.
        ffmpeg: path of the binary that looks through them.
        history: which clips were shown.
    """

    def __init__(self, site: Site, downloads: Downloads, ffmpeg: Path, history: ClipHistory) -> None:
        self.name = site.name
        self._site = site
        self._downloads = downloads
        self._ffmpeg = ffmpeg
        self._history = history

    def offers(self, query: FootageQuery) -> Iterator[Offer]:
        """Clips for a query, best first; each further search is made when its offers are asked for.

        First come clips whose own words confirm what was searched for: by the scene's terms, by broader ones, by words
        of the narration. Then those that the site found for the scene's own terms, and that do not say why.

        Raises:
            Failure: one of its three classes; a source that was asked to wait or that is down says so each time.
        """
        if query.clip is not None:
            return
        earlier = self._history.earlier(query.slot)
        rest: list[tuple[str, list[StockClip]]] = []
        for step, term in searches(query):
            found = self._search(term, query)
            fitting = confirmed(found, term)
            yield from self._offered(fitting, term, step, query, earlier)
            if step == "terms":
                first = found[:UNCONFIRMED]
                rest.append((term, [clip for clip in first if clip not in fitting]))
        for term, clips in rest:
            yield from self._offered(clips, term, "unconfirmed", query, earlier)

    def _search(self, term: str, query: FootageQuery) -> list[StockClip]:
        try:
            return self._site.search(term, query)
        except Refused as error:
            log.warning("footage: %s", error)
            return []

    def _offered(
        self, clips: list[StockClip], term: str, step: Step, query: FootageQuery, earlier: str | None
    ) -> Iterator[Offer]:
        shown = self._history.last_shown([clip.key for clip in clips]) if clips else {}
        for clip in ranked(clips, term, query, shown, earlier):
            file = rendition(clip, query.width, query.height)
            if file is not None:
                yield Offer(query, clip, file, term, step)

    def choose(self, offer: Offer) -> None:
        """Remember that this video shows the clip."""
        self._history.note(offer.query.slot, offer.key)

    def load(self, offer: Offer, into: Path, stop: threading.Event) -> Path:
        """Load the file of an offer into a folder. In any thread: it only waits for the network.

        Raises:
            Stopped: `stop` was set.
            Failure: one of its three classes; permanent if this clip cannot be had.
        """
        path = into / f"{hashlib.sha256(offer.key.encode()).hexdigest()[:16]}.mp4"
        self._downloads.take(offer.rendition.url, path, stop)
        return path

    def clip(self, offer: Offer, path: Path) -> FetchedClip:
        """The clip of an offer that was loaded, seen through to its end.

        Raises:
            PermanentFailure: it is no whole video, and why; the file is dropped.
        """
        try:
            info = validate_video(find(self._ffmpeg), path, longest=LONGEST_LOOK)
            if info.container != "mov":
                raise PermanentFailure("is no MP4")
            if enlargement(info.width, info.height, offer.query.width, offer.query.height) > MOST_ENLARGED:
                raise PermanentFailure(f"has {info.width}x{info.height} pixels, fewer than its list says")
        except PermanentFailure:
            self._downloads.drop(offer.rendition.url)
            path.unlink(missing_ok=True)
            raise
        query, clip = offer.query, offer.clip
        spec = ClipSpec(
            scene=query.scene,
            kind="video",
            key=clip.key,
            label=clip.title or clip.key,
            terms=(offer.term,),
            found_by=offer.step,
            width=info.width,
            height=info.height,
            seconds=min(info.seconds or 0.0, LONGEST_LOOK),
            seed=(query.seed + query.scene + query.shot) % 2**32,
            credit=Credit(source=self.name, author=clip.author, licence=self._site.licence, url=clip.page),
        )
        return FetchedClip(spec, (path,))
