"""When each word of a recording is spoken, for voices that do not say it, or say it of other words than are shown."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cm_assets.engines.speech.alignment import align, in_order
from cm_assets.engines.speech.phonemes import CLAUSE_ENDS, SENTENCE_ENDS, Phonemizer
from cm_assets.engines.speech.reading import Reading, foreign_share, read
from cm_assets.models.audio import Word
from cm_assets.models.base import Seconds

Samples = npt.NDArray[np.float32]

_SLACK: Seconds = 0.1
"""By which a server's times may leave the recording or step back: they are rounded, and its silence is trimmed."""

_SPANNED = 0.4
"""Of a recording, at least, from a server's first word to its last: the rest may be silence."""

_STEP: Seconds = 0.01
_PAUSE: Seconds = 0.15
"""Silence from which on it is no closed mouth within a word."""

_REACH = 6
"""Marks, or pauses, of which at most all but one in a row are left over."""

_SPREAD = 0.05
"""Variance of a stretch's length, by its expected length: a second is off by 0.22 s as a rule."""

_UNHEARD = {True: 2.0, False: 0.4}
_UNMARKED = 0.5
"""What it costs to leave over a full stop, another mark, a pause."""


@dataclass(frozen=True, slots=True)
class Told:
    """A word as a server says it, which may be a part of a shown word, a mark, or a number in letters."""

    text: str
    start: Seconds
    end: Seconds


def timed(
    text: str, samples: Samples, sample_rate: int, language: str, *, phonemizer: Phonemizer | None = None
) -> tuple[tuple[Word, ...], str]:
    """The words of a text that a recording says, and where their times come from: `alignment` or `estimated`.

    The acoustic model hears English; the words of other languages get times by their lengths and the pauses.

    Args:
        text: what is said.
        samples: mono, in [-1, 1].
        sample_rate: theirs, Hz.
        language: BCP 47 tag.
        phonemizer: of the speaker's accent in English; American by default.
    """
    if is_heard(text, language):
        words = align(text, samples, sample_rate, phonemizer=phonemizer)
        if words is not None:
            return words, "alignment"
    return estimated(text, samples, sample_rate), "estimated"


def is_heard(text: str, language: str) -> bool:
    """Whether the acoustic model knows the sounds of a text."""
    return language.lower().replace("_", "-").split("-")[0] == "en" and foreign_share(text) <= 0.5


def estimated(text: str, samples: Samples, sample_rate: int) -> tuple[Word, ...]:
    """The words with times by their lengths.

    Pauses take no word's time, and a pause near a punctuation mark is taken for that mark's, so that an error ends
    with its clause.
    """
    readings = read(text)
    length = len(samples) / sample_rate
    said = [index for index, reading in enumerate(readings) if reading.spoken]
    if not said or not length:
        return in_order(readings, {}, {}, length)
    weights = np.cumsum([0.0, *(sum(len(word) + 1 for word in readings[index].spoken) for index in said)])
    sounds = _sounds(samples, sample_rate)
    # The clock of the voice alone, which stands still in pauses.
    spoken = np.cumsum([0.0, *(end - start for start, end in sounds)])
    pace = spoken[-1] / weights[-1]
    marks = [
        (float(weights[place + 1] * pace), readings[index].spoken[-1][-1] in SENTENCE_ENDS)
        for place, index in enumerate(said[:-1])
        if readings[index].spoken[-1][-1] in SENTENCE_ENDS | CLAUSE_ENDS
    ]
    knots = [(0.0, 0.0), *_matched(marks, [float(one) for one in spoken[1:-1]], float(spoken[-1]))]
    knots.append((float(spoken[-1]), float(spoken[-1])))
    clock = np.interp(weights * pace, [expected for expected, _ in knots], [heard for _, heard in knots])
    starts = {index: _moment(clock[place], sounds, spoken, "right") for place, index in enumerate(said)}
    ends = {index: _moment(clock[place + 1], sounds, spoken, "left") for place, index in enumerate(said)}
    return in_order(readings, starts, ends, length)


def _matched(
    marks: Sequence[tuple[Seconds, bool]], pauses: Sequence[Seconds], length: Seconds
) -> list[tuple[Seconds, Seconds]]:
    """Which mark is heard as which pause: pairs of the times at which it is expected and heard, in order.

    The cheapest chain of pairs, by how much the stretches between them are longer or shorter than expected, and by
    what is left over. A full stop without a pause is odd; a comma without one, or a pause without a mark, is not.

    Args:
        marks: when each is expected, and whether it ends a sentence.
        pauses: when each is heard.
        length: of the whole.
    """
    ends = [(0.0, True), *marks, (length, True)]
    heard = [0.0, *pauses, length]
    best: dict[tuple[int, int], tuple[float, tuple[int, int] | None]] = {(0, 0): (0.0, None)}
    for mark in range(1, len(ends)):
        for pause in range(1, len(heard)):
            if (mark == len(ends) - 1) != (pause == len(heard) - 1):
                continue
            steps = []
            for before in range(max(0, mark - _REACH), mark):
                left = sum(_UNHEARD[full] for _, full in ends[before + 1 : mark])
                wanted = max(ends[mark][0] - ends[before][0], _STEP)
                for earlier in range(max(0, pause - _REACH), pause):
                    if (before, earlier) in best:
                        off = heard[pause] - heard[earlier] - wanted
                        cost = off**2 / (_SPREAD * wanted) + left + _UNMARKED * (pause - earlier - 1)
                        steps.append((best[before, earlier][0] + cost, (before, earlier)))
            if steps:
                best[mark, pause] = min(steps)
    pairs = []
    step = best.get((len(ends) - 1, len(heard) - 1), (0.0, None))[1]
    while step is not None and step != (0, 0):
        pairs.append((ends[step[0]][0], heard[step[1]]))
        step = best[step][1]
    return pairs[::-1]


def reconciled(text: str, told: Sequence[Told], length: Seconds) -> tuple[Word, ...] | None:
    """The words of a text with the times that a server told of its own words; None if these are not the same words.

    Servers cut words at hyphens and apostrophes, count marks as words, and spell numbers out. A shown word takes the
    time of all that stands in its place.

    Args:
        text: as it is shown.
        told: in the order in which it is said.
        length: of the recording, seconds.
    """
    if not all(
        math.isfinite(one.start) and math.isfinite(one.end) and -_SLACK <= one.start <= one.end <= length + _SLACK
        for one in told
    ) or any(after.start < before.start - _SLACK for before, after in pairwise(told)):
        return None
    readings = read(text)
    said = [index for index, reading in enumerate(readings) if reading.spoken]
    heard = [one for one in told if _letters(one.text)]
    # Times that are all the same, or end early, are not of this recording.
    if not heard or heard[-1].end - heard[0].start < _SPANNED * length:
        return None
    theirs = [_letters(one.text) for one in heard]
    ours = [_as_heard(readings[index], frozenset(theirs)) for index in said]
    starts: dict[int, Seconds] = {}
    ends: dict[int, Seconds] = {}
    for kind, first, last, low, high in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            groups: list[tuple[int, int]] | None = [(place, place + 1) for place in range(last - first)]
        elif kind == "insert":
            # The unit of an amount, said after the number: it belongs to what was shown before it.
            if first:
                ends[said[first - 1]] = heard[high - 1].end
            continue
        else:
            groups = _grouped(ours[first:last], theirs[low:high])
        if groups is None:
            return None
        for index, (begin, end) in zip(said[first:last], groups, strict=True):
            starts[index], ends[index] = heard[low + begin].start, heard[low + end - 1].end
    return in_order(readings, starts, ends, length)


def _grouped(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]] | None:
    """For each of our words which stretch of theirs says it; None if that is not known."""
    if len(ours) == 1 and theirs:
        return [(0, len(theirs))]
    groups, begin = [], 0
    for word in ours:
        end = begin
        while end < len(theirs) and len("".join(theirs[begin:end])) < len(word):
            end += 1
        if "".join(theirs[begin:end]) != word:
            return None
        groups.append((begin, end))
        begin = end
    return groups if begin == len(theirs) else None


def _as_heard(reading: Reading, theirs: frozenset[str]) -> str:
    """A word's letters, as it is shown or, if a server spells it out, as it is said."""
    shown = _letters(reading.shown)
    return shown if shown in theirs else _letters("".join(reading.spoken))


def _letters(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text).casefold() if char.isalnum())


def _sounds(samples: Samples, sample_rate: int) -> list[tuple[Seconds, Seconds]]:
    """Stretches of voice, in order, with at least `_PAUSE` between them; all of it if nothing is loud."""
    step = max(1, round(_STEP * sample_rate))
    whole = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    levels = np.sqrt(np.mean(whole**2, axis=1)) if len(whole) else np.zeros(0)
    loud = np.flatnonzero(levels > 0.02 * np.percentile(levels, 95)) if levels.any() else np.zeros(0, np.int64)
    if not len(loud):
        return [(0.0, len(samples) / sample_rate)]
    breaks = np.flatnonzero(np.diff(loud) > _PAUSE / _STEP)
    firsts, lasts = [loud[0], *loud[breaks + 1]], [*loud[breaks], loud[-1]]
    scale = step / sample_rate
    return [(float(first) * scale, float(last + 1) * scale) for first, last in zip(firsts, lasts, strict=True)]


def _moment(
    clock: float, sounds: Sequence[tuple[Seconds, Seconds]], spoken: npt.NDArray[np.float64], side: str
) -> Seconds:
    """The time of the recording at which the voice alone has spoken so long; at a pause, after it or before it."""
    # What was added up in another order differs by a hair.
    hair = 1e-9 if side == "right" else -1e-9
    place = int(np.clip(np.searchsorted(spoken, clock + hair) - 1, 0, len(sounds) - 1))
    return sounds[place][0] + float(clock - spoken[place])


def letters_of(text: str) -> tuple[int, int]:
    """Letters that a voice says at least and at most: a measure of how long that takes, in any script.

    Numbers are counted in words. What no voice here would read to its end, such as a long identifier or a sentence of a
    script without blanks, is counted in Latin letters as well.
    """
    from anyascii import anyascii

    spoken = sum(len(word) for reading in read(text) for word in reading.spoken)
    written = sum(map(str.isalnum, anyascii(text)))
    return min(spoken, written), max(spoken, written)
