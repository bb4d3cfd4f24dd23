"""The caption styles: face, size, spacing, and how far what is drawn reaches around the letters."""

from collections.abc import Mapping
from dataclasses import dataclass

from cm_assets.media.fonts import FJALLA, FREDOKA, LATO, Face
from cm_assets.models.request import CaptionStyle


@dataclass(frozen=True, slots=True)
class Design:
    """How a style looks; lengths are shares of an em.

    Attributes:
        face: of the letters.
        size: pixels an em on a frame whose shorter side is 1080.
        upper: whether all is set in capitals.
        most_words: words in one caption.
        gap: space between words.
        leading: distance of two lines.
        outline: width of the letters' outline.
        pad: what a box or pill reaches over its text, at each side.
        shadow: how far the letters' shadow falls.
        pop: how much the spoken word grows, and `most_pop` by how many ems of its width at most.
    """

    face: Face
    size: float
    upper: bool
    most_words: int
    gap: float
    leading: float
    outline: float
    pad: float
    shadow: float
    pop: float
    most_pop: float

    @property
    def around(self) -> float:
        """How far what is drawn may reach over a word, in ems at each side; the last part is for soft edges."""
        return self.outline + self.pad + self.shadow + 0.02

    def growth(self, width: float, size: float) -> float:
        """How much a word of `width` pixels grows when it is spoken: a long one less, or it would touch the next."""
        return 1 + min(self.pop - 1, self.most_pop * size / width) if width else 1.0


_BOLD = Design(FJALLA, 122, True, 5, 0.31, 1.2, 0.085, 0.0, 0.0, 1.1, 0.22)

DESIGNS: Mapping[CaptionStyle, Design] = {
    "bold": _BOLD,
    "clean": Design(LATO, 78, False, 6, 0.26, 1.36, 0.0, 0.36, 0.0, 1.0, 0.0),
    "playful": Design(FREDOKA, 96, False, 5, 0.38, 1.32, 0.08, 0.17, 0.03, 1.06, 0.16),
    "none": _BOLD,  # laid out all the same: the caption files have its cues
}
