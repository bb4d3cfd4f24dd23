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

_BEAMS = (1e-80, 1e-150)
"""How unlikely a path may be and still be followed. The narrow one is quicker and now and then loses fast speech."""

_EARLY: Seconds = 0.03
"""The recogniser counts the silence of a closed mouth to the word that follows it."""

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
    times = next((times for beam in _BEAMS if (times := _recognised(items, recording, beam))), None)
    if times is None:
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
    """16-bit samples at 16 kHz. Linear interpolation after a moving average is plenty for a recogniser."""
    if not len(samples):
        return b""
    if sample_rate > SAMPLE_RATE:
        width = max(1, round(sample_rate / SAMPLE_RATE))
        samples = np.convolve(samples, np.full(width, 1 / width, np.float32), "same")
    places = np.arange(int(len(samples) * SAMPLE_RATE / sample_rate)) * (sample_rate / SAMPLE_RATE)
    resampled = np.interp(places, np.arange(len(samples)), samples)
    return bytes(np.clip(resampled * 32767, -32768, 32767).astype("<i2").tobytes())


def _recognised(items: Sequence[Item], recording: bytes, beam: float) -> list[tuple[Seconds, Seconds]]:
    """Start and end of each item; empty if the recording does not say them."""
    if not items or not recording:
        return []
    from pocketsphinx import Decoder

    decoder = Decoder(lm=None, samprate=SAMPLE_RATE, loglevel="FATAL", beam=beam, wbeam=beam, pbeam=beam)
    names = [f"w{place}" for place in range(len(items))]
    for place, (name, item) in enumerate(zip(names, items, strict=True)):
        phones = " ".join(_PHONES[found] for found in _PHONE.findall(item.phonemes))
        decoder.add_word(name, phones or "AH", update=place + 1 == len(items))
    decoder.set_align_text(" ".join(names))
    decoder.start_utt()
    decoder.process_raw(recording, full_utt=True)
    decoder.end_utt()
    rate = decoder.config["frate"]
    segments = decoder.seg() or ()
    found = {part.word: (part.start_frame / rate + _EARLY, (part.end_frame + 1) / rate) for part in segments}
    return [found[name] for name in names] if all(name in found for name in names) else []
