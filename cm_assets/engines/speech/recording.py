"""A user's own recording in the place of a voice: its words are found, and it is cut into the scenes where they say it.

Nothing is put in or taken out between the first word and the last, so that it sounds as it was spoken.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cm_assets.engines.speech.alignment import align
from cm_assets.engines.speech.chain import Narrated
from cm_assets.engines.speech.timing import estimated, is_heard, letters_of
from cm_assets.media.examination import LONGEST_NARRATION
from cm_assets.media.narration import CEILING, LEAD, PAUSE, Narration, measure
from cm_assets.media.recordings import decode_file
from cm_assets.models.audio import RECORDING, SceneAudio, Word
from cm_assets.models.base import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, PermanentFailure, Seconds

Samples = npt.NDArray[np.float32]

LEVEL = -25.0
"""LUFS to which a recording is brought, within its peaks: about that of the voices here."""

_PACE = 12.0
"""Letters a second of a calm voice: 2.6 English words."""

_SHORTEST, _LONGEST = 0.5, 3.0
"""Times of what the words take at that pace."""

_SLACK: Seconds = 4.0
"""Silence that may lie around the shortest text."""

_MARGIN: Seconds = 0.3
"""Around the words, in which what is heard may still be theirs."""

_MOST_BESIDE: Seconds = 2.0
"""Of voice before the first word and after the last: a cough, a chair. More says something else."""

_WINDOW = SAMPLE_RATE // 20

_FADE = SAMPLE_RATE // 200


def misfit(text: str, seconds: Seconds) -> str:
    """Why a recording of a length cannot be of a text; empty if it can.

    Args:
        text: all that is said.
        seconds: of the recording.
    """
    fewest, most = letters_of(text)
    words = len(text.split())
    usual = f"{words} words take about {most / _PACE:.0f} s, and the recording has {seconds:.0f} s"
    if seconds < _SHORTEST * fewest / _PACE:
        return f"{usual}: it does not say all of them"
    if seconds > _LONGEST * most / _PACE + _SLACK:
        return f"{usual}: it says more than them"
    return ""


def tell(texts: Sequence[str], path: Path, *, name: str, language: str) -> Narrated:
    """The narration that a recording is.

    Args:
        texts: of the scenes, as they are said one after the other.
        path: of the recording.
        name: by which people know it.
        language: of the texts, BCP 47. The words of English are found by their sounds, others' by their lengths.

    Raises:
        PermanentFailure: it does not say these words; begins with `narration`.
    """
    try:
        samples = decode_file(path, longest=LONGEST_NARRATION)
    except PermanentFailure as failure:
        raise PermanentFailure(f"narration: the recording {failure}") from None
    text = " ".join(texts)
    if why := misfit(text, len(samples) / SAMPLE_RATE):
        raise PermanentFailure(f"narration: {why}")
    words, timing = _timed(text, samples, language)
    narration = _cut(texts, words, _levelled(samples), timing)
    return Narrated(narration, RECORDING, name, (), 0)


def _timed(text: str, samples: Samples, language: str) -> tuple[Sequence[Word], str]:
    if not is_heard(text, language):
        return estimated(text, samples, SAMPLE_RATE), "estimated"
    words = align(text, samples, SAMPLE_RATE)
    if words is None:
        raise PermanentFailure(
            "narration: the recording does not say the words of the scenes: give the words as they are spoken, or set "
            "`language` if it is not English"
        )
    if (beside := _beside(samples, words)) > _MOST_BESIDE:
        raise PermanentFailure(
            f"narration: the recording says more than the words of the scenes: {beside:.1f} s before the first word "
            "and after the last; cut it, or give all of its words"
        )
    return words, "alignment"


def _beside(samples: Samples, words: Sequence[Word]) -> Seconds:
    """How long it is about as loud as the words are, before and after them."""
    whole = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW).astype(np.float64)
    levels = np.sqrt(np.mean(whole**2, axis=1))
    first = max(0, math.floor((words[0].start - _MARGIN) * SAMPLE_RATE / _WINDOW))
    last = math.ceil((words[-1].end + _MARGIN) * SAMPLE_RATE / _WINDOW)
    usual = float(np.percentile(levels[first:last], 75)) if last > first else 0.0
    loud = np.count_nonzero(levels[:first] > usual / 3) + np.count_nonzero(levels[last:] > usual / 3)
    return float(loud) * _WINDOW / SAMPLE_RATE


def _levelled(samples: Samples) -> Samples:
    loudness, peak = measure(samples)
    gain = 10 ** ((LEVEL - loudness) / 20)
    return (samples * np.float32(min(gain, CEILING / 10 ** (peak / 20)))).astype(np.float32)


def _cut(texts: Sequence[str], words: Sequence[Word], samples: Samples, timing: str) -> Narration:
    """The recording from just before its first word to just after its last, in scenes of whole frames.

    A scene begins just before its first word, or half-way between two words that follow one another quickly.
    """
    groups: list[Sequence[Word]] = []
    place = 0
    for text in texts:
        count = len(text.split())
        groups.append(words[place : place + count])
        place += count
    begin = max(0.0, words[0].start - LEAD)
    end = min(len(samples) / SAMPLE_RATE, words[-1].end + PAUSE)
    bounds = [0]
    for before, after in pairwise(groups):
        gap = after[0].start - before[-1].end
        moment = max(after[0].start - LEAD, before[-1].end + gap / 2) - begin
        bounds.append(max(bounds[-1] + 1, round(moment * FPS)))
    bounds.append(max(bounds[-1] + 1, math.ceil((end - begin) * FPS)))
    track = np.zeros(bounds[-1] * SAMPLES_PER_FRAME, np.float32)
    first = round(begin * SAMPLE_RATE)
    kept = samples[first : first + len(track)]
    track[: len(kept)] = kept
    ramp = np.linspace(0, 1, _FADE, dtype=np.float32)
    track[:_FADE] *= ramp
    track[max(0, len(kept) - _FADE) : len(kept)] *= ramp[::-1][: len(kept)]
    scenes = tuple(
        SceneAudio(
            first_frame=start, frames=stop - start, words=_placed(group, begin + start / FPS, (stop - start) / FPS)
        )
        for group, (start, stop) in zip(groups, pairwise(bounds), strict=True)
    )
    return Narration(track, scenes, timing)


def _placed(words: Sequence[Word], begin: Seconds, length: Seconds) -> tuple[Word, ...]:
    """Words with times from a scene's beginning, within the scene, none stepping back."""
    placed = []
    now = 0.0
    for word in words:
        start = min(max(word.start - begin, now), length)
        now = min(max(word.end - begin, start), length)
        # Rounded down, so that nothing is pushed beyond the scene's end.
        placed.append(Word(text=word.text, start=math.floor(start * 1e4) / 1e4, end=math.floor(now * 1e4) / 1e4))
    return tuple(placed)
