"""Forced alignment: when each word of a known text is heard in a recording, for voices that do not tell it."""

# ruff: noqa: RUF001 - phonetic letters

import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cm_assets.engines.speech.phonemes import Item, Phonemizer
from cm_assets.engines.speech.reading import Reading, read
from cm_assets.models.audio import Word
from cm_assets.models.base import Seconds

SAMPLE_RATE = 16_000
"""Of the acoustic model, Hz."""

_PHONES: Mapping[str, str] = {
    "ɜɹ": "ER", "əɹ": "ER", "ɚ": "ER", "A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "æ": "AE",
    "a": "AE", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "o": "AO", "ə": "AH", "ɐ": "AH", "ᵊ": "AH", "ʌ": "AH", "ɛ": "EH",
    "e": "EH", "ɜ": "ER", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "u": "UW", "ʊ": "UH", "b": "B", "d": "D", "ð": "DH",
    "f": "F", "ɡ": "G", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R",
    "r": "R", "s": "S", "ʃ": "SH", "t": "T", "T": "D", "ɾ": "D", "ʔ": "T", "θ": "TH", "v": "V", "w": "W", "x": "K",
    "z": "Z", "ʒ": "ZH", "ʤ": "JH", "ʧ": "CH",
}  # fmt: skip
"""From misaki's alphabet to that of the CMU pronouncing dictionary."""

_TRIES = ((1e-80, 0.0), (1e-150, 0.0), (1e-80, 3e-4))
"""How unlikely a path may be and still be followed, and how loud a room's noise is laid under the recording.

The narrow beam is quicker and now and then loses fast speech. Digital silence is nothing that the model has ever heard,
and words beside it are lost now and then; noise brings them back, but has other words begin too early.
"""

_WINDOW: Seconds = 20.0
"""Of a recording in which words are looked for at once: what that costs grows with the square of it."""

_OPEN: Seconds = 5.0
"""At the end of a window, where its words are looked for again with what follows them."""

_LEAST: Seconds = 1.0
"""By which the next window begins later: less is a word that takes a whole window, and so is not said there."""

_QUICKEST = 6
"""Words a second that nobody's speech exceeds for long."""

_EARLY: Seconds = 0.03
"""The recogniser counts the silence of a closed mouth to the word that follows it."""

_PEAK = 0.7
"""Of what the model hears."""

_LOUD = 0.05
"""A sample that is no room's."""

_ROOM: Seconds = 0.2
"""After the last sound, and before the next."""

Span = tuple[Seconds, Seconds]
"""Start and end."""

_PHONE = re.compile("|".join(sorted(_PHONES, key=len, reverse=True)))


def align(
    text: str, samples: npt.NDArray[np.float32], sample_rate: int, *, phonemizer: Phonemizer | None = None
) -> tuple[Word, ...] | None:
    """The words of an English text, with the times at which the recording says them; None if it does not say them.

    Words are looked for by their sounds, so that names and numbers are found too. Words that are not said, such as an
    emoji, take no time.

    Args:
        text: what is said.
        samples: mono, in [-1, 1].
        sample_rate: theirs, Hz.
        phonemizer: of the speaker's accent; American by default.
    """
    readings = read(text)
    items = (phonemizer or _american()).items(readings)
    length = len(samples) / sample_rate
    recording = _for_model(samples, sample_rate)
    times = _times(items, recording)
    if not times:
        return None
    starts: dict[int, Seconds] = {}
    ends: dict[int, Seconds] = {}
    for item, (start, end) in zip(items, times, strict=True):
        starts.setdefault(item.word, start)
        ends[item.word] = end
    return in_order(readings, starts, ends, length)


@functools.cache
def _american() -> Phonemizer:
    """Half a CPU second, once a process."""
    return Phonemizer()


def in_order(
    readings: Sequence[Reading], starts: Mapping[int, Seconds], ends: Mapping[int, Seconds], length: Seconds
) -> tuple[Word, ...]:
    """A word for every reading, none stepping back; those without times take none, after the word before them.

    Args:
        readings: all words of the text.
        starts: by index of the word, seconds.
        ends: likewise.
        length: of the recording, seconds.
    """
    words = []
    now = 0.0
    for index, reading in enumerate(readings):
        start = min(max(starts.get(index, now), now), length)
        now = min(max(ends.get(index, start), start), length)
        words.append(Word(text=reading.shown, start=start, end=now))
    return tuple(words)


def _for_model(samples: npt.NDArray[np.float32], sample_rate: int) -> bytes:
    """16-bit samples at 16 kHz. Linear interpolation after a moving average is plenty for a recogniser.

    A moment of silence comes after it: a word with which a recording ends is not heard without.
    """
    peak = float(np.max(np.abs(samples), initial=0.0))
    if not peak:
        return b""
    if sample_rate > SAMPLE_RATE:
        width = max(1, round(sample_rate / SAMPLE_RATE))
        samples = np.convolve(samples, np.full(width, 1 / width, np.float32), "same")
    places = np.arange(int(len(samples) * SAMPLE_RATE / sample_rate)) * (sample_rate / SAMPLE_RATE)
    resampled = np.interp(places, np.arange(len(samples)), samples) * (_PEAK / peak)
    heard = np.concatenate([resampled, np.zeros(int(_ROOM * SAMPLE_RATE))])
    return bytes(np.clip(heard * 32767, -32768, 32767).astype("<i2").tobytes())


def _times(items: Sequence[Item], recording: bytes) -> list[Span]:
    """Start and end of each item; empty if the recording does not say them.

    A long recording is gone through window by window. How many of the words a window has is found with them; those near
    its end, which may be cut or lack what follows them, are left to the next one, which begins between two words.
    """
    second = 2 * SAMPLE_RATE
    found: list[Span] = []
    begin = 0
    while len(recording) - begin > 2 * _WINDOW * second:
        window = recording[begin : begin + int(_WINDOW * second)]
        heard = _recognised(items[len(found) :][: int(_WINDOW * _QUICKEST)], window, to_the_last=False)
        if heard is None:
            return []
        closed = [span for span in heard if span[1] <= _WINDOW - _OPEN]
        found += [(start + begin / second, end + begin / second) for start, end in closed]
        after = heard[len(closed)][0] if len(closed) < len(heard) else _WINDOW
        before = closed[-1][1] if closed else max(0.0, after - _ROOM)
        if (between := (before + after) / 2) < _LEAST:
            return []
        begin = _next_sound(recording, begin + round(between * SAMPLE_RATE) * 2)
    rest = _recognised(items[len(found) :], recording[begin:], to_the_last=True)
    return [] if rest is None else found + [(start + begin / second, end + begin / second) for start, end in rest]


def _next_sound(recording: bytes, begin: int) -> int:
    """The byte from which it is worth to listen on: a window that is mostly a pause is heard badly."""
    loud = np.flatnonzero(np.abs(np.frombuffer(recording, "<i2", offset=begin).astype(np.int32)) > _LOUD * 32767)
    return begin + 2 * max(0, int(loud[0]) - int(_ROOM * SAMPLE_RATE)) if len(loud) else begin


def _recognised(items: Sequence[Item], recording: bytes, *, to_the_last: bool) -> list[Span] | None:
    """Start and end of the items, of all or of as many as the recording says; None if it does not say them."""
    for beam, noise in _TRIES:
        spans = _decoded(items, _in_a_room(recording, noise), beam, to_the_last)
        if spans is not None:
            return spans
    return None


def _in_a_room(recording: bytes, noise: float) -> bytes:
    """The recording with some noise, the same at each call."""
    if not noise:
        return recording
    samples = np.frombuffer(recording, "<i2")
    noisy = samples + np.random.default_rng(0).normal(0, noise * 32767, len(samples))
    return bytes(np.clip(noisy, -32768, 32767).astype("<i2").tobytes())


def _decoded(items: Sequence[Item], recording: bytes, beam: float, to_the_last: bool) -> list[Span] | None:
    if not items or not recording:
        return None
    from pocketsphinx import Decoder

    decoder = Decoder(lm=None, samprate=SAMPLE_RATE, loglevel="FATAL", beam=beam, wbeam=beam, pbeam=beam)
    names = [f"w{place}" for place in range(len(items))]
    for place, (name, item) in enumerate(zip(names, items, strict=True)):
        phones = " ".join(_PHONES[found] for found in _PHONE.findall(item.phonemes))
        decoder.add_word(name, phones or "AH", update=place + 1 == len(items))
    if to_the_last:
        decoder.set_align_text(" ".join(names))
    else:
        words = [(place, place + 1, 1.0, name) for place, name in enumerate(names)]
        ends = [(place, len(names), 1.0) for place in range(len(names))]
        decoder.add_fsg("words", decoder.create_fsg("words", 0, len(names), [*words, *ends]))
        decoder.activate_search("words")
    decoder.start_utt()
    decoder.process_raw(recording, full_utt=True)
    decoder.end_utt()
    segments = tuple(decoder.seg() or ())
    if not segments:
        return None
    rate = decoder.config["frate"]
    found = {part.word: (part.start_frame / rate + _EARLY, (part.end_frame + 1) / rate) for part in segments}
    spans = [found[name] for name in names if name in found]
    return None if to_the_last and len(spans) < len(items) else spans
