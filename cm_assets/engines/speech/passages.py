"""A text in passages that a service takes in one go, and their recordings joined again."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cm_assets.media.narration import TIMINGS, resampled, trimmed
from cm_assets.models.audio import Speech, Word
from cm_assets.models.base import SAMPLE_RATE, Seconds

PAUSE: Seconds = 0.26
"""Silence between two passages at the voice's own pace: that after a sentence."""

_CLOSING = "\"'”’»)]"  # noqa: RUF001 - typographic signs
_SENTENCE_END = re.compile(rf"[.!?…。！？][{re.escape(_CLOSING)}]*$")  # noqa: RUF001
_CLAUSE_END = re.compile(rf"[,;:—–、，；：][{re.escape(_CLOSING)}]*$")  # noqa: RUF001
_CUTS = re.compile(r"[。！？、，；：!?;,]")  # noqa: RUF001 - where scripts without blanks can be cut


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a text.

    Attributes:
        text: its words, parted by blanks.
        words: for each of them, which word of the whole text it is, or is a part of.
    """

    text: str
    words: tuple[int, ...]


def passages(text: str, limit: int, *, size: Callable[[str], int] = len) -> list[Passage]:
    """The text in as few passages as its sentences allow; a sentence beyond the limit is cut at a clause.

    Args:
        text: with at least one word.
        limit: of a passage's size.
        size: what a service counts; characters by default.
    """
    units = [(part, index) for index, word in enumerate(text.split()) for part in _parts(word, limit, size)]
    sentences: list[list[tuple[str, int]]] = [[]]
    for unit in units:
        sentences[-1].append(unit)
        if _SENTENCE_END.search(unit[0]):
            sentences.append([])
    joined: list[list[tuple[str, int]]] = []
    for piece in (piece for sentence in sentences if sentence for piece in _halved(sentence, limit, size)):
        if joined and size(_text(joined[-1] + piece)) <= limit:
            joined[-1] += piece
        else:
            joined.append(list(piece))
    return [Passage(_text(units), tuple(index for _, index in units)) for units in joined]


def joined(text: str, said: Sequence[tuple[Passage, Speech]], speed: float) -> Speech:
    """The passages' recordings as one, with a pause between them and nothing that clicks; a word each as shown."""
    shown = text.split()
    if len(said) == 1 and said[0][0].words == tuple(range(len(shown))):
        return said[0][1]
    parts, length = [], 0
    starts: dict[int, Seconds] = {}
    ends: dict[int, Seconds] = {}
    gap = np.zeros(round(PAUSE / speed * SAMPLE_RATE), np.float32)
    for place, (passage, whole) in enumerate(said):
        speech = trimmed(whole)
        for index, word in zip(passage.words, speech.words, strict=True):
            starts.setdefault(index, length / SAMPLE_RATE + word.start)
            ends[index] = length / SAMPLE_RATE + word.end
        parts += [gap] if place else []
        parts.append(resampled(speech.samples, speech.sample_rate))
        length = sum(map(len, parts)) + len(gap)
    words = tuple(Word(text=word, start=starts[index], end=ends[index]) for index, word in enumerate(shown))
    timing = max((speech.timing for _, speech in said), key=TIMINGS.index)
    return Speech(np.concatenate(parts), SAMPLE_RATE, words, timing)


def _text(units: Sequence[tuple[str, int]]) -> str:
    return " ".join(part for part, _ in units)


def _parts(word: str, limit: int, size: Callable[[str], int]) -> list[str]:
    """A word as it is; one beyond the limit, as in scripts without blanks, in parts that end at marks if there are."""
    parts = []
    while size(word) > limit:
        # Sizes grow with every character, so the longest beginning that fits is found by halving.
        low, high = 1, len(word)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if size(word[:middle]) <= limit else (low, middle - 1)
        marks = [match.end() for match in _CUTS.finditer(word, 0, low) if match.end() >= low // 2]
        cut = marks[-1] if marks else low
        parts.append(word[:cut])
        word = word[cut:]
    return [*parts, word] if word else parts


def _halved(units: Sequence[tuple[str, int]], limit: int, size: Callable[[str], int]) -> list[list[tuple[str, int]]]:
    if len(units) == 1 or size(_text(units)) <= limit:
        return [list(units)]
    middle = len(_text(units)) / 2
    places = range(1, len(units))
    clauses = [place for place in places if _CLAUSE_END.search(units[place - 1][0])]
    cut = min(clauses or places, key=lambda place: abs(len(_text(units[:place])) - middle))
    return [*_halved(units[:cut], limit, size), *_halved(units[cut:], limit, size)]
