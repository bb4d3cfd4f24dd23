"""Which of a stock site's clips, and which of its files. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cm_assets.engines.footage import library
from cm_assets.engines.footage.search_terms import thing
from cm_assets.models.base import Seconds
from cm_assets.models.clips import FootageQuery

MOST_ENLARGED = 2.0
"""Beyond this a clip looks soft on a phone; `checks/clips.py` says so too."""

LEAST_SEEN = 0.5
"""Share of a clip's picture that the frame should show: a landscape clip in a portrait frame has a third."""

UNCONFIRMED = 10
"""Clips whose own words do not say what was searched for, and that are believed to the site: its first ones."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """One file of a clip.

    Attributes:
        width, height: pixels.
        url: of the file.
    """

    width: int
    height: int
    url: str


@dataclass(frozen=True, slots=True)
class StockClip:
    """A clip as a stock site lists it.

    Attributes:
        key: `<site>:<id>`.
        page: its own page, for people.
        title: what it shows, in words.
        seconds: its length.
        author: a name to print.
        renditions: its files; those that are no plain video are left out.
    """

    key: str
    page: str
    title: str
    seconds: Seconds
    author: str
    renditions: tuple[Rendition, ...]

    @property
    def words(self) -> frozenset[str]:
        """Stems of the words that describe it."""
        return library.words(self.title)


def rendition(clip: StockClip, width: int, height: int) -> Rendition | None:
    """The smallest file that fills the frame, what is cropped considered; else the largest, if it is fit at all."""

    def enlarged(one: Rendition) -> float:
        return enlargement(one.width, one.height, width, height)

    covering = [one for one in clip.renditions if enlarged(one) <= 1]
    if covering:
        return min(covering, key=lambda one: (one.width * one.height, one.url))
    largest = min(clip.renditions, key=lambda one: (enlarged(one), one.url), default=None)
    return largest if largest and enlarged(largest) <= MOST_ENLARGED else None


def enlargement(width: int, height: int, frame_width: int, frame_height: int) -> float:
    """How many times a picture of this size is enlarged to fill the frame, what is over being cropped."""
    return max(frame_width / width, frame_height / height)


def confirmed(clips: Sequence[StockClip], term: str) -> list[StockClip]:
    """Clips whose own words name the thing that the term names, whatever else is said of it."""
    return [clip for clip in clips if _match(clip, term) > 0]


def ranked(
    clips: Sequence[StockClip], term: str, query: FootageQuery, shown: Mapping[str, float], earlier: str | None
) -> list[StockClip]:
    """Clips that fit into the frame, best first.

    What this video chose before stays; then decide how well its words match the term, whether the frame shows most of
    it, whether it lasts as long as the shot; of those that are alike in this, what other videos showed longest ago or
    never; then what else of the scene its words name; then the site's own order.

    Args:
        clips: in the site's order.
        term: that they were found for.
        query: what is wanted.
        shown: when other videos last showed them, by key.
        earlier: the key that this video chose for this slot before.
    """
    scene = library.words(" ".join((*query.terms, query.text)))
    order = {}
    for place, clip in enumerate(clips):
        chosen = rendition(clip, query.width, query.height)
        if chosen is None:
            continue
        shape, frame = chosen.width / chosen.height, query.width / query.height
        order[clip.key] = (
            clip.key != earlier,
            -_match(clip, term),
            min(shape, frame) / max(shape, frame) < LEAST_SEEN,
            clip.seconds < query.seconds,
            shown.get(clip.key, 0.0),
            -len(clip.words & scene),
            place,
        )
    return sorted((clip for clip in clips if clip.key in order), key=lambda clip: order[clip.key])


def _match(clip: StockClip, term: str) -> int:
    """2 if the clip's words have all of the term's, 1 if they have the thing itself, else 0."""
    wanted = library.words(term)
    if wanted and wanted <= clip.words:
        return 2
    # "Busy street" is no busy office, but a street.
    return 1 if library.words(thing(term)) & clip.words else 0
