"""From a text to `Speech` with a neural voice: what the engines share, each giving its model and its limits."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cm_assets.engines.speech import phonemes
from cm_assets.engines.speech.alignment import in_order
from cm_assets.engines.speech.phonemes import Item, Phonemizer
from cm_assets.engines.speech.reading import Reading, foreign_share, read
from cm_assets.engines.speech.timing import timed
from cm_assets.models.audio import Speech, Word
from cm_assets.models.base import PermanentFailure, Seconds

Samples = npt.NDArray[np.float32]

SAMPLE_RATE = 24_000
"""Of both models, Hz."""

DURATION_FRAME: Seconds = 0.025
"""Both models count a phoneme's length in frames of 600 samples."""

_LATENCY: Seconds = 0.05
"""By how much the durations are later than what is heard, at speed 1: measured on four voices at three speeds, against
the first sound after a pause (median error -10 to 10 ms)."""

SILENT_SCENE: Seconds = 0.8
"""Length of a text in which nothing can be said, such as an emoji alone: a beat."""

_HEAD: Seconds = 0.03
_TAIL: Seconds = 0.06
_QUIET = 10 ** (-50 / 20)
"""What is left of the model's own silence around an utterance, and the level under which it is silence."""

_SENTENCE_PAUSE: Seconds = 0.26
_CLAUSE_PAUSE: Seconds = 0.09
_WORD_PAUSE: Seconds = 0.02
"""Silence between utterances, beyond head and tail, at the voice's own pace."""


@dataclass(frozen=True, slots=True)
class Model:
    """A neural voice, ready to speak.

    Attributes:
        run: token numbers with the padding at both ends, and the speed, to samples in [-1, 1] at 24 kHz and the frames
            of each token, or none where it does not tell.
        ideal: phonemes up to which short sentences are spoken in one go.
        limit: phonemes that the model takes in one go.
    """

    run: Callable[[list[int], float], tuple[Samples, Sequence[int]]]
    ideal: int
    limit: int


def speak(text: str, model: Model, phonemizer: Phonemizer, speed: float) -> Speech:
    """The text spoken, with a time for each of its words: the model's own durations, or forced alignment without them.

    A text without anything to say is a short silence. Equal texts give equal samples.

    Raises:
        PermanentFailure: the text is not in the Latin alphabet, for the most part.
    """
    readings = read(text)
    if foreign_share(text) > 0.5:
        raise PermanentFailure(
            f"language: this voice speaks English, and the text is mostly in another script ({text[:40]!r}): translate "
            "it, or choose a voice of its language"
        )
    items = phonemizer.items(readings)
    if not items:
        return silence(readings)
    parts: list[Samples] = []
    starts: dict[int, Seconds] = {}
    ends: dict[int, Seconds] = {}
    length = 0
    said = phonemes.utterances(items, ideal=model.ideal, limit=model.limit)
    for place, utterance in enumerate(said):
        samples, times = _utter(utterance, model, speed)
        offset = length / SAMPLE_RATE
        for item, (start, end) in zip(utterance, times, strict=False):
            starts.setdefault(item.word, offset + start)
            ends[item.word] = offset + end
        parts.append(samples)
        length += len(samples)
        if place + 1 < len(said):
            gap = np.zeros(round(_pause_after(utterance) / speed * SAMPLE_RATE), np.float32)
            parts.append(gap)
            length += len(gap)
    samples = np.concatenate(parts)
    if len(starts) < len({item.word for item in items}):
        return Speech(samples, SAMPLE_RATE, *timed(text, samples, SAMPLE_RATE, "en", phonemizer=phonemizer))
    return Speech(samples, SAMPLE_RATE, in_order(readings, starts, ends, length / SAMPLE_RATE), "model")


def check_speed_and_language(speed: float, language: str, engine: str) -> None:
    """Refuse what no neural voice here can do.

    Raises:
        PermanentFailure: naming the field.
    """
    if not 0.5 <= speed <= 2.0:
        raise PermanentFailure(f"speed: {speed:g} is not between 0.5 and 2.0")
    if language.lower().replace("_", "-").split("-")[0] != "en":
        raise PermanentFailure(f"language: {engine} speaks English (en), not {language!r}")


def verify(content: bytes, sha256: str, what: str, advice: str) -> None:
    """Refuse weights that are not byte for byte the expected ones.

    Raises:
        PermanentFailure: naming them.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise PermanentFailure(
            f"{what} is not the expected file (sha256 {found[:12]}..., not {sha256[:12]}...): {advice}"
        )


def session(model: bytes, *, threads: int) -> Any:
    """An inference session on the CPU that computes the same on every call and takes no more than its threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _utter(items: Sequence[Item], model: Model, speed: float) -> tuple[Samples, list[tuple[Seconds, Seconds]]]:
    """Samples of one utterance without the silence around it, and start and end of each item, if the model told."""
    known = phonemes.alphabet()
    tokens = [0, *(known[symbol] for symbol in phonemes.text_of(items)), 0]
    samples, frames = model.run(tokens, speed)
    trimmed, cut = _trimmed(samples)
    if len(frames) != len(tokens):
        return trimmed, []
    bounds = np.concatenate([[0.0], np.cumsum(np.asarray(frames, np.float64))]) * DURATION_FRAME - _LATENCY / speed
    times = []
    token = 1
    for item in items:
        voiced = len(item.phonemes.rstrip("".join(phonemes.SENTENCE_ENDS | phonemes.CLAUSE_ENDS)))
        times.append((float(bounds[token]), float(bounds[token + voiced])))
        token += len(item.phonemes) + 1
    # The last phoneme's frames run on into the silence that was cut off.
    shift = cut / SAMPLE_RATE
    return trimmed, [
        tuple(np.clip((start - shift, end - shift), 0, len(trimmed) / SAMPLE_RATE)) for start, end in times
    ]


def _trimmed(samples: Samples) -> tuple[Samples, int]:
    """The samples with short silences at both ends that start and end at zero, and how many were cut off before."""
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    if not len(loud):
        return samples, 0
    first = max(0, int(loud[0]) - round(_HEAD * SAMPLE_RATE))
    last = min(len(samples), int(loud[-1]) + round(_TAIL * SAMPLE_RATE))
    kept = samples[first:last].copy()
    ramp = np.linspace(0, 1, min(120, len(kept) // 2), dtype=np.float32)
    kept[: len(ramp)] *= ramp
    kept[len(kept) - len(ramp) :] *= ramp[::-1]
    return kept, first


def _pause_after(items: Sequence[Item]) -> Seconds:
    mark = items[-1].phonemes[-1]
    if mark in phonemes.SENTENCE_ENDS:
        return _SENTENCE_PAUSE
    return _CLAUSE_PAUSE if mark in phonemes.CLAUSE_ENDS else _WORD_PAUSE


def silence(readings: Sequence[Reading]) -> Speech:
    """A beat, for a text in which nothing can be said."""
    step = SILENT_SCENE / max(1, len(readings))
    words = tuple(
        Word(text=reading.shown, start=place * step, end=(place + 1) * step) for place, reading in enumerate(readings)
    )
    return Speech(np.zeros(round(SILENT_SCENE * SAMPLE_RATE), np.float32), SAMPLE_RATE, words, "model")
