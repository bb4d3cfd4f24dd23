"""The narration track: scenes spoken one after the other on the frame grid, as 48 kHz mono samples and FLAC."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cm_assets.models.audio import SceneAudio, Speech, Word
from cm_assets.models.base import SAMPLE_RATE, SAMPLES_PER_FRAME, PermanentFailure, Seconds
from cm_assets.models.protocols import Progress

Samples = npt.NDArray[np.float32]

LEAD: Seconds = 0.1
"""Silence before the first sound of a scene."""

PAUSE: Seconds = 0.25
"""Silence after the last sound of a scene, before it is filled up to a whole frame."""

CEILING = 10 ** (-1 / 20)
"""The highest sample of a track, -1 dBFS; a louder track is turned down as a whole."""

_SILENT = 10 ** (-50 / 20)
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Narration:
    """What was spoken.

    Attributes:
        samples: float32, 48 kHz, mono, 1600 for each frame of the scenes.
        scenes: adjoining stretches of the samples.
        timing: `model` if all word times come from the voice itself, else `alignment`, or `estimated` if some are.
    """

    samples: Samples
    scenes: tuple[SceneAudio, ...]
    timing: str


TIMINGS = ("model", "alignment", "estimated")
"""Where word times come from, the best first; a narration is as good as the worst of its scenes."""


def narrate(scene_texts: Sequence[str], voice: Callable[[str], Speech], *, progress: Progress) -> Narration:
    """Speak the scenes in order, each with a short silence before and a pause after it.

    Holds the track once, and each utterance at the voice's own sample rate besides.

    Args:
        scene_texts: one text for each scene.
        voice: speaks a text.
        progress: told after each scene.

    Raises:
        PermanentFailure: nothing in any scene can be spoken.
        Failure: whatever the voice raises.
    """
    spoken: list[Speech] = []
    for place, text in enumerate(scene_texts):
        spoken.append(trimmed(voice(text)))
        progress((place + 1) / len(scene_texts))
    if not any(np.any(scene.samples) for scene in spoken):
        raise PermanentFailure("scenes: nothing in the script can be spoken, only symbols: write at least one word")

    track = np.zeros(sum(map(_frames, spoken)) * SAMPLES_PER_FRAME, np.float32)
    scenes = []
    first = 0
    for scene in spoken:
        start = first * SAMPLES_PER_FRAME + round(LEAD * SAMPLE_RATE)
        end = start + _length_at_48k(scene.samples, scene.sample_rate)
        resample(scene.samples, scene.sample_rate, track[start:end])
        frames = _frames(scene)
        length = frames * SAMPLES_PER_FRAME / SAMPLE_RATE
        scenes.append(SceneAudio(first_frame=first, frames=frames, words=_placed(scene.words, length)))
        first += frames
    _turn_down(track)
    return Narration(track, tuple(scenes), max((scene.timing for scene in spoken), key=TIMINGS.index))


def resampled(samples: Samples, sample_rate: int) -> Samples:
    """The samples at 48 kHz, as many as the same time takes; see `resample`."""
    result = np.zeros(_length_at_48k(samples, sample_rate), np.float32)
    resample(samples, sample_rate, result)
    return result


def resample(samples: Samples, sample_rate: int, into: Samples) -> None:
    """Write the samples at 48 kHz, nothing delayed.

    Resamples spectra of overlapping blocks. The top twelfth of the narrower band is faded out, so that what a block
    echoes stays within the overlap and nothing folds back.

    Args:
        samples: mono, in [-1, 1].
        sample_rate: theirs, Hz.
        into: as many samples as the same time takes at 48 kHz.
    """
    if sample_rate == SAMPLE_RATE:
        into[:] = samples
        return
    common = math.gcd(sample_rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // common, sample_rate // common
    margin = down * math.ceil(2048 / down)
    size = down * math.ceil(_BLOCK / down)
    wide, wide_out, cut = (margin * 2 + size), (margin * 2 + size) * up // down, margin * up // down
    bins = min(wide, wide_out) // 2 + 1
    faded = bins // 12
    window = np.ones(bins, np.float32)
    window[bins - faded :] = np.cos(np.linspace(0, np.pi / 2, faded, dtype=np.float32)) ** 2
    for place, start in enumerate(range(0, len(samples), size)):
        block = np.zeros(wide, np.float32)
        known = samples[max(0, start - margin) : start + size + margin]
        lead = max(0, margin - start)
        block[lead : lead + len(known)] = known
        spectrum = np.zeros(wide_out // 2 + 1, np.complex64)
        spectrum[:bins] = np.fft.rfft(block)[:bins] * window
        out = np.fft.irfft(spectrum, wide_out)[cut : wide_out - cut] * (up / down)
        first = place * len(out)
        room = into[first : first + len(out)]
        room[:] = out[: len(room)]


def write_flac(samples: Samples, path: Path) -> None:
    """Write 48 kHz mono samples as 16-bit FLAC: equal samples give equal bytes.

    Args:
        samples: in [-1, 1].
        path: a file that may exist and is replaced.
    """
    import av

    with av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(
            "flac", rate=SAMPLE_RATE, layout="mono", format="s16", options={"flags": "+bitexact"}
        )
        position = 0
        for start in range(0, len(samples), _BLOCK):
            block = np.clip(np.rint(samples[start : start + _BLOCK] * 32767), -32768, 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts = position
            position += len(block)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(samples: Samples) -> tuple[float, float]:
    """Integrated loudness in LUFS and sample peak in dBFS of 48 kHz mono samples; -70 and -120 for silence.

    ITU-R BS.1770-4: K-weighting, blocks of 400 ms that overlap by three quarters, gates at -70 LUFS absolute and 10 LU
    below the mean. The weighting is applied as a finite impulse response, long enough to hold all of it that a float32
    can.
    """
    peak = _peak(samples)
    step = SAMPLE_RATE // 10
    power = np.array([np.mean(np.square(block, dtype=np.float64)) for block in _k_weighted(samples, step)])
    if len(power) < 4 or peak == 0:
        return -70.0, round(_decibels(peak), 2)
    blocks = np.convolve(power, np.full(4, 0.25), "valid")
    loud = blocks[_lufs(blocks) > -70]
    if len(loud):
        loud = loud[_lufs(loud) > _lufs(np.mean(loud)) - 10]
    loudness = float(_lufs(np.mean(loud))) if len(loud) else -70.0
    return round(loudness, 2), round(_decibels(peak), 2)


def trimmed(speech: Speech) -> Speech:
    """The utterance from its first sound to its last, faded at both ends, its words' times moved along."""
    loud = np.abs(speech.samples) > _SILENT
    if not np.any(loud):
        return speech
    # A margin keeps the soft attack of a consonant and the fading of a vowel.
    first = max(0, int(np.argmax(loud)) - round(0.03 * speech.sample_rate))
    last = min(len(speech.samples), len(loud) - int(np.argmax(loud[::-1])) + round(0.06 * speech.sample_rate))
    kept = speech.samples[first:last].astype(np.float32)
    ramp = np.linspace(0, 1, min(len(kept) // 2, round(0.005 * speech.sample_rate)), dtype=np.float32)
    kept[: len(ramp)] *= ramp
    kept[len(kept) - len(ramp) :] *= ramp[::-1]
    shift = first / speech.sample_rate
    words = tuple(
        word.model_copy(update={"start": max(0.0, word.start - shift), "end": max(0.0, word.end - shift)})
        for word in speech.words
    )
    return Speech(kept, speech.sample_rate, words, speech.timing)


def _frames(speech: Speech) -> int:
    silence = round(LEAD * SAMPLE_RATE) + round(PAUSE * SAMPLE_RATE)
    return math.ceil((_length_at_48k(speech.samples, speech.sample_rate) + silence) / SAMPLES_PER_FRAME)


def _placed(words: Sequence[Word], length: Seconds) -> tuple[Word, ...]:
    """The words after the scene's lead, within the scene, none stepping back."""
    placed = []
    now = 0.0
    for word in words:
        start = min(max(word.start + LEAD, now), length)
        now = min(max(word.end + LEAD, start), length)
        # Rounded down, so that nothing is pushed beyond the scene's end.
        placed.append(Word(text=word.text, start=math.floor(start * 1e4) / 1e4, end=math.floor(now * 1e4) / 1e4))
    return tuple(placed)


def _length_at_48k(samples: Samples, sample_rate: int) -> int:
    return round(len(samples) * SAMPLE_RATE / sample_rate)


def _peak(samples: Samples) -> float:
    return max(float(np.max(samples, initial=0.0)), -float(np.min(samples, initial=0.0)))


def _turn_down(track: Samples) -> None:
    peak = _peak(track)
    if peak > CEILING:
        track *= np.float32(CEILING / peak)


_TAPS = 1 << 14


def _k_weighted(samples: Samples, step: int) -> Iterator[npt.NDArray[np.float32]]:
    """Steps of the K-weighted samples, the last one shorter than a step left out."""
    response = _k_response(_TAPS * 4)
    size = _TAPS * 3
    size -= size % step
    tail = np.zeros(_TAPS, np.float32)
    for start in range(0, len(samples), size):
        block = np.concatenate([tail, samples[start : start + size]])
        tail = block[len(block) - _TAPS :]
        weighted = np.fft.irfft(np.fft.rfft(block, _TAPS * 4) * response, _TAPS * 4)[_TAPS : len(block)]
        for place in range(0, len(weighted) - step + 1, step):
            yield weighted[place : place + step].astype(np.float32)


def _k_response(size: int) -> npt.NDArray[np.complex128]:
    """The two filters of BS.1770 at 48 kHz, tables 1 and 2, as a frequency response for real transforms of `size`."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return np.asarray(shelf * high_pass, np.complex128)


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(np.asarray(power, np.float64), 1e-12)), np.float64)


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(max(amplitude, 1e-6))
