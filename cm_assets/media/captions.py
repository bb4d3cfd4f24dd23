"""Captions: the spoken words in groups that are read at a glance, each word at its place, all inside the safe area.

How they are drawn is `ass`; how they are written to caption files is `subtitles`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cm_assets.media.fonts import FJALLA, FREDOKA, LATO, Face, showable
from cm_assets.media.phrasing import phrases
from cm_assets.models.audio import SceneAudio, Word
from cm_assets.models.base import FPS, Seconds
from cm_assets.models.request import CaptionPosition, Captions, CaptionStyle

Shown = tuple[str, Face]
"""A word as it is shown, and the face that has all its letters."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

MOST_LINES = 2

HOLD: Seconds = 1.2
"""How long a caption stays after its last word, if nothing follows."""

SMALLEST = 0.3
"""Share of the style's size down to which a long word shrinks; below, it is cut."""

ELLIPSIS = "…"

LETTERS = 0.66
"""Half the height of a line's letters in ems, from an Å's ring to a g's tail."""

SAFE_WIDTH = {"portrait": 0.78, "landscape": 0.70, "square": 0.86}
"""Part of the frame's width for a line. The platforms lay their buttons over the right 11 % of a portrait."""

PLACES: dict[str, dict[CaptionPosition, float]] = {
    "portrait": {"top": 0.17, "center": 0.5, "bottom": 0.69},
    "landscape": {"top": 0.14, "center": 0.5, "bottom": 0.84},
    "square": {"top": 0.15, "center": 0.5, "bottom": 0.82},
}
"""Height of a caption's middle. In portrait the lowest fifth belongs to the platforms' title and sound line."""


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


DESIGNS: dict[CaptionStyle, Design] = {
    "bold": Design(FJALLA, 122, True, 5, 0.31, 1.2, 0.085, 0.0, 0.05, 1.1, 0.22),
    "clean": Design(LATO, 78, False, 6, 0.26, 1.36, 0.0, 0.36, 0.0, 1.0, 0.0),
    "playful": Design(FREDOKA, 96, False, 5, 0.38, 1.32, 0.08, 0.17, 0.03, 1.06, 0.16),
}
DESIGNS["none"] = DESIGNS["bold"]


@dataclass(frozen=True, slots=True)
class CueWord:
    """A word at its place.

    Attributes:
        text: as it is shown.
        face: that can show it.
        x, y: its middle, pixels.
        width: pixels, without outline, pill and pop.
        first_frame, end_frame: while it is spoken; of the video.
    """

    text: str
    face: Face
    x: float
    y: float
    width: float
    first_frame: int
    end_frame: int


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at once.

    Attributes:
        first_frame: when it appears, in frames of the video.
        frames: how long it stays.
        words: what is said, as in the script, for caption files.
        lines: what is drawn; words without anything to show are not among them.
        size: pixels an em.
        box: left, top, right and bottom in pixels of all that may be drawn, pop and outline included.
    """

    first_frame: int
    frames: int
    words: tuple[str, ...]
    lines: tuple[tuple[CueWord, ...], ...]
    size: float
    box: Box


def shape(width: int, height: int) -> str:
    """`portrait`, `landscape` or `square`."""
    return "square" if width == height else "portrait" if height > width else "landscape"


def lay_out(scenes: Sequence[SceneAudio], *, captions: Captions, width: int, height: int) -> tuple[Cue, ...]:
    """The captions of a video.

    Args:
        scenes: the narration's scenes with their words.
        captions: style and position.
        width: of the frame, pixels.
        height: of the frame, pixels.
    """
    frame = _Frame(width, height, captions.position, DESIGNS[captions.style])
    return tuple(cue for scene in scenes for cue in _of_scene(scene, frame))


def _of_scene(scene: SceneAudio, frame: "_Frame") -> Iterator[Cue]:
    groups = phrases(scene.words, frame.design.most_words, frame.fits)
    starts = [scene.first_frame + min(round(group[0].start * FPS), scene.frames - 1) for group in groups]
    ends = [*starts[1:], scene.first_frame + scene.frames]
    unseen: list[Word] = []
    for group, start, next_start in zip(groups, starts, ends, strict=True):
        if start == next_start:
            # Spoken within one frame: nobody could read it, but the caption files keep its words.
            unseen += group
            continue
        held = scene.first_frame + round((group[-1].end + HOLD) * FPS)
        end = max(min(next_start, held), start + 1)
        spoken = tuple(word.text for word in (*unseen, *group))
        yield frame.cue(group, spoken, start, end, scene.first_frame)
        unseen = []


class _Frame:
    """Measures and places words on a frame of one size."""

    def __init__(self, width: int, height: int, position: CaptionPosition, design: Design) -> None:
        kind = shape(width, height)
        self.design = design
        self._width = width
        self._size = design.size * min(width, height) / 1080 * (0.86 if kind == "landscape" else 1.0)
        self._room = SAFE_WIDTH[kind] * width
        self._middle = PLACES[kind][position] * height

    def fits(self, words: Sequence[Word]) -> bool:
        """Whether the words fit in the most lines at full size."""
        lines = self._broken([one for word in words if (one := self._shown(word.text))[0]], self._size)
        return len(lines) <= MOST_LINES and all(self._reach(line, self._size) <= self._room for line in lines)

    def cue(self, words: Sequence[Word], spoken: tuple[str, ...], start: int, end: int, scene_start: int) -> Cue:
        """Place the words of a caption that is seen from frame `start` to before frame `end`."""
        starts = [min(max(scene_start + round(word.start * FPS), start), end - 1) for word in words]
        seen = [
            (self._shown(word.text), first, after)
            for word, first, after in zip(words, starts, [*starts[1:], end], strict=True)
        ]
        times = iter([(first, after) for (text, _), first, after in seen if text])
        shown = [one for one, _, _ in seen if one[0]]
        size = self._size
        widest = max((self._reach([one], size) for one in shown), default=0.0)
        if widest > self._room:
            size *= max(SMALLEST, self._room / widest)
            shown = [(self._cut(text, face, size), face) for text, face in shown]
        broken = self._broken(shown, size)
        lines = []
        for number, line in enumerate(broken):
            y = self._middle + (number - (len(broken) - 1) / 2) * self.design.leading * size
            widths = [face.width(text, size) for text, face in line]
            left = self._width / 2 - self._inner(widths, size) / 2
            row = []
            for (text, face), width in zip(line, widths, strict=True):
                row.append(CueWord(text, face, left + width / 2, y, width, *next(times)))
                left += width + self.design.gap * size
            lines.append(tuple(row))
        return Cue(start, end - start, spoken, tuple(lines), size, self._box(lines, size))

    def _shown(self, text: str) -> Shown:
        shown, face = showable(text, self.design.face)
        return showable(shown.upper(), face) if self.design.upper else (shown, face)

    def _inner(self, widths: Sequence[float], size: float) -> float:
        return sum(widths) + self.design.gap * size * (len(widths) - 1)

    def _reach(self, line: Sequence[Shown], size: float) -> float:
        """Width of a line with all that is drawn around it, whichever of its words is spoken."""
        widths = [face.width(text, size) for text, face in line]
        grown = max((width * (self.design.growth(width, size) - 1) for width in widths), default=0.0)
        return self._inner(widths, size) + grown + 2 * self.design.around * size

    def _cut(self, text: str, face: Face, size: float) -> str:
        """The word as far as it fits, with an ellipsis."""
        if self._reach([(text, face)], size) <= self._room:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self._reach([(text[:middle] + ELLIPSIS, face)], size) <= self._room:
                low = middle
            else:
                high = middle - 1
        return text[:low] + ELLIPSIS

    def _broken(self, shown: Sequence[Shown], size: float) -> list[list[Shown]]:
        """Lines of words: as few as fit, and where two are needed, as equal as can be."""
        lines: list[list[Shown]] = []
        for word in shown:
            if lines and self._reach([*lines[-1], word], size) <= self._room:
                lines[-1].append(word)
            else:
                lines.append([word])
        if len(lines) == 2:
            ways = [[list(shown[:cut]), list(shown[cut:])] for cut in range(1, len(shown))]
            return min(ways, key=lambda way: max(self._reach(line, size) for line in way))
        return lines

    def _box(self, lines: Sequence[Sequence[CueWord]], size: float) -> Box:
        if not lines:
            return (self._width / 2, self._middle, self._width / 2, self._middle)
        around = self.design.around * size
        reach = [
            (word.x, word.width * self.design.growth(word.width, size) / 2 + around) for line in lines for word in line
        ]
        half = LETTERS * size * self.design.pop + around
        return (
            min(x - half_width for x, half_width in reach),
            lines[0][0].y - half,
            max(x + half_width for x, half_width in reach),
            lines[-1][0].y + half,
        )
