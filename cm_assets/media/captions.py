"""Captions: the spoken words in groups that are read at a glance, each word at its place, all inside the safe area.

How they look is `designs`, how they are drawn `ass`; how they are written to caption files is `subtitles`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cm_assets.media.designs import DESIGNS, Design
from cm_assets.media.fonts import Face, showable
from cm_assets.media.phrasing import phrases
from cm_assets.models.audio import SceneAudio, Word
from cm_assets.models.base import FPS, Seconds
from cm_assets.models.request import CaptionPosition, Captions

Shown = tuple[str, Face]
"""A word as it is shown, and the face that has all its letters."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

MOST_LINES = 2

HOLD: Seconds = 1.2
"""How long a caption stays after its last word, if nothing follows."""

SMALLEST = 0.3
"""Share of the style's size down to which a long word shrinks; the longest of the dictionaries still fit."""

CUT = 0.6
"""Share of the style's size of a word that would have to shrink further and is cut instead."""

ELLIPSIS = "…"

LETTERS = 0.66
"""Half the height of a line's letters in ems, from an Å's ring to a g's tail."""

SAFE: Mapping[str, Box] = {
    "portrait": (0.13, 0.14, 0.87, 0.80),
    "landscape": (0.15, 0.06, 0.85, 0.93),
    "square": (0.06, 0.06, 0.94, 0.93),
}
"""Left, top, right and bottom of what stays free of controls, as shares of the frame; nothing is drawn outside.

Portrait: TikTok's row of buttons takes the right 140 of 1080 pixels, the header of Reels the top 14 % (Meta's guide for
advertisers), and title, account and sound the lowest fifth on TikTok, Reels and Shorts. An advertisement's own button
reaches higher still; these videos have none. Elsewhere: the 5 % of EBU R 95 at each edge and a little more, and on a
landscape lines that the eye takes in at once.
"""

PLACES: Mapping[str, Mapping[CaptionPosition, float]] = {
    "portrait": {"top": 0.2, "center": 0.5, "bottom": 0.69},
    "landscape": {"top": 0.14, "center": 0.5, "bottom": 0.84},
    "square": {"top": 0.15, "center": 0.5, "bottom": 0.82},
}
"""Height of a caption's middle, where two lines of it stay in the safe area; else it moves just inside."""

LOOK_ALIKES = str.maketrans({"{": "(", "}": ")", "\\": "/"})
"""What libass would obey, and what is shown instead: no escape for these works in every version of it."""


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
        starts: when each of them is said, in frames of the video.
        lines: what is drawn; words without anything to show are not among them.
        size: pixels an em.
        box: left, top, right and bottom in pixels of all that may be drawn, pop and outline included.
    """

    first_frame: int
    frames: int
    words: tuple[str, ...]
    starts: tuple[int, ...]
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
        starts_of_words = [min(max(scene.first_frame + round(word.start * FPS), start), end - 1) for word in group]
        cue = frame.cue(group, starts_of_words, start, end)
        if unseen:
            words = (*(word.text for word in unseen), *cue.words)
            cue = replace(cue, words=words, starts=(*[start] * len(unseen), *cue.starts))
        yield cue
        unseen = []


class _Frame:
    """Measures and places words on a frame of one size."""

    def __init__(self, width: int, height: int, position: CaptionPosition, design: Design) -> None:
        kind = shape(width, height)
        self.design = design
        self._width = width
        self._size = design.size * min(width, height) / 1080 * (0.86 if kind == "landscape" else 1.0)
        left, top, right, bottom = SAFE[kind]
        self._room = (right - left) * width
        self._top, self._bottom = top * height, bottom * height
        self._middle = PLACES[kind][position] * height

    def fits(self, words: Sequence[Word]) -> bool:
        """Whether the words fit in the most lines at full size."""
        lines = self._broken([one for word in words if (one := self._shown(word.text))[0]], self._size)
        return len(lines) <= MOST_LINES and all(self._reach(line, self._size) <= self._room for line in lines)

    def cue(self, words: Sequence[Word], starts: Sequence[int], start: int, end: int) -> Cue:
        """Place the words of a caption that is seen from frame `start` to before frame `end`."""
        seen = [
            (self._shown(word.text), first, after)
            for word, first, after in zip(words, starts, [*starts[1:], end], strict=True)
        ]
        times = iter([(first, after) for (text, _), first, after in seen if text])
        shown = [one for one, _, _ in seen if one[0]]
        size = self._size
        widest = max((self._reach([one], size) for one in shown), default=0.0)
        if widest > self._room:
            share = self._room / widest
            size *= share if share >= SMALLEST else CUT
            if share < SMALLEST:
                shown = [(self._cut(text, face, size), face) for text, face in shown]
        broken = self._broken(shown, size)
        first_y = self._first_line(len(broken), size)
        lines = []
        for number, line in enumerate(broken):
            widths = [face.width(text, size) for text, face in line]
            left = self._width / 2 - self._inner(widths, size) / 2
            row = []
            for (text, face), width in zip(line, widths, strict=True):
                y = first_y + number * self.design.leading * size
                row.append(CueWord(text, face, left + width / 2, y, width, *next(times)))
                left += width + self.design.gap * size
            lines.append(tuple(row))
        said = tuple(word.text for word in words)
        return Cue(start, end - start, said, tuple(starts), tuple(lines), size, self._box(lines, size))

    def _first_line(self, lines: int, size: float) -> float:
        """Where the middle of the first of so many lines lies, in pixels from the top."""
        below = (lines - 1) * self.design.leading * size
        half = below / 2 + self._half_line(size)
        return min(max(self._middle, self._top + half), self._bottom - half) - below / 2

    def _half_line(self, size: float) -> float:
        return (LETTERS * self.design.pop + self.design.around) * size

    def _shown(self, text: str) -> Shown:
        shown, face = showable(text.translate(LOOK_ALIKES), self.design.face)
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
        half = self._half_line(size)
        return (
            min(x - half_width for x, half_width in reach),
            lines[0][0].y - half,
            max(x + half_width for x, half_width in reach),
            lines[-1][0].y + half,
        )
