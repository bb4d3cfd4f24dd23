"""The sound of a video: narration over ducked music, at -14 LUFS, as one AAC track of exact length."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cm_assets.media.ffmpeg import Ffmpeg, arguments, source
from cm_assets.models.base import SAMPLE_RATE, PermanentFailure, Seconds
from cm_assets.models.render import Loudness

TARGET = -14.0
"""LUFS, integrated: what the platforms turn videos to."""

TOLERANCE = 0.5

CEILING = -1.0
"""dBTP that the finished file must not pass."""

LIMIT = -1.5
"""dBFS that the limiter lets through; what AAC adds comes on top."""

BED = 11.0
"""Decibels by which the music lies under the speech before it is ducked."""

LOOP_FADE: Seconds = 1.5
"""Length over which the end of a track passes into its beginning."""

PASSES = 4

_Stereo = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """A finished track.

    Attributes:
        path: M4A, AAC 48 kHz stereo.
        loudness: measured on it, as decoded.
    """

    path: Path
    loudness: Loudness


def build(
    ffmpeg: Ffmpeg, narration: Path, narration_loudness: float, music: Path | None, samples: int, folder: Path
) -> Soundtrack:
    """Mix the sound of a video.

    Args:
        ffmpeg: does the work.
        narration: 48 kHz mono, `samples` long.
        narration_loudness: LUFS of it.
        music: a track to loop under it, or None.
        samples: exact length at 48 kHz.
        folder: for the result and what is made on the way.

    Raises:
        PermanentFailure: the music cannot be read, or the target is out of reach.
    """
    mix = folder / "mix.wav"
    _mix(ffmpeg, narration, narration_loudness, music, samples, mix)
    measured = measure(ffmpeg, mix)
    gain, limit = TARGET - measured.integrated, LIMIT
    track = folder / "soundtrack.m4a"
    for _ in range(PASSES):
        _encode(ffmpeg, mix, gain, limit, samples, track)
        measured = measure(ffmpeg, track)
        loud_enough = abs(measured.integrated - TARGET) <= TOLERANCE / 2
        if loud_enough and measured.true_peak <= CEILING:
            return Soundtrack(track, measured)
        gain += 0 if loud_enough else TARGET - measured.integrated
        limit -= max(0.0, measured.true_peak - CEILING + 0.1)
    if abs(measured.integrated - TARGET) <= TOLERANCE and measured.true_peak <= CEILING:
        return Soundtrack(track, measured)
    raise PermanentFailure(
        f"the sound does not come to {TARGET:g} LUFS: {measured.integrated:.1f} LUFS, {measured.true_peak:.1f} dBTP"
    )


def measure(ffmpeg: Ffmpeg, path: Path) -> Loudness:
    """Integrated loudness and true peak of a file by EBU R 128."""
    graph = source(path).audio.filter("ebur128", peak="true", framelog="verbose").output("-", format="null")
    said = ffmpeg.run(arguments(graph), loglevel="info")
    summary = said[said.rfind("Summary:") :]
    integrated = re.search(r"I:\s+(-?[\d.]+|-inf) LUFS", summary)
    peak = re.search(r"Peak:\s+(-?[\d.]+|-inf) dBFS", summary)
    if integrated is None or peak is None:
        raise PermanentFailure("ffmpeg did not say how loud the track is")
    return Loudness(integrated=max(float(integrated[1]), -99.0), true_peak=max(float(peak[1]), -99.0))


def _mix(
    ffmpeg: Ffmpeg, narration: Path, narration_loudness: float, music: Path | None, samples: int, target: Path
) -> None:
    import ffmpeg as graphs

    speech = source(narration).audio.filter("aformat", channel_layouts="mono").filter("apad", whole_len=samples)
    speech = speech.filter("pan", args="stereo|c0=c0|c1=c0")
    if music is None:
        mixed = speech
    else:
        loop = target.with_name("loop.wav")
        loop_loudness = _write_loop(music, loop)
        gain = narration_loudness - BED - loop_loudness
        seconds = samples / SAMPLE_RATE
        out = min(1.5, seconds / 4)
        bed = (
            source(loop, stream_loop=-1)
            .audio.filter("atrim", end_sample=samples)
            .filter("volume", volume=f"{gain:.2f}dB")
            .filter("afade", type="in", duration=min(0.8, seconds / 4))
            .filter("afade", type="out", start_time=f"{seconds - out:.4f}", duration=f"{out:.4f}")
        )
        # Blocks of one size on both sides: with those that happen to arrive, two runs would differ in their last bits.
        speech, bed = (stream.filter("asetnsamples", n=1024, p=1) for stream in (speech, bed))
        voices = speech.filter_multi_output("asplit")
        ducked = graphs.filter(
            [bed, voices[1]],
            "sidechaincompress",
            threshold=0.05,
            ratio=3,
            attack=15,
            release=350,
            level_sc=10 ** ((-18 - narration_loudness) / 20),
        )
        mixed = graphs.filter([voices[0], ducked], "amix", inputs=2, normalize=0, duration="first")
    mixed = mixed.filter("atrim", end_sample=samples)
    ffmpeg.run(arguments(_plain(mixed, target, format="wav", acodec="pcm_f32le", ar=SAMPLE_RATE)))


def _encode(ffmpeg: Ffmpeg, mix: Path, gain: float, limit: float, samples: int, target: Path) -> None:
    sound = (
        source(mix)
        .audio.filter("volume", volume=f"{gain:.3f}dB")
        # level=0: the limiter would otherwise turn everything up to its limit.
        .filter("alimiter", limit=f"{10 ** (limit / 20):.6f}", attack=5, release=50, level=0)
        .filter("apad", whole_len=samples)
        .filter("atrim", end_sample=samples)
    )
    ffmpeg.run(arguments(_plain(sound, target, format="mp4", acodec="aac", audio_bitrate="192k", ar=SAMPLE_RATE)))


def _plain(stream: Any, target: Path, **options: Any) -> Any:
    """An output without a word about when and by what it was made: equal input gives equal bytes."""
    exact = {"fflags": "+bitexact", "flags:a": "+bitexact", "map_metadata": -1, "threads": 1}
    if options["format"] == "mp4":
        exact["movie_timescale"] = SAMPLE_RATE
    return stream.output(f"file:{target}", **(exact | options))


def _write_loop(music: Path, target: Path) -> float:
    """Write the track so that its end passes into its beginning; its loudness in LUFS."""
    import wave

    from cm_assets.media.narration import measure as measure_samples

    track = _decode(music)
    loud = np.flatnonzero(np.max(np.abs(track), axis=1) > 10 ** (-45 / 20))
    if len(loud) < SAMPLE_RATE:
        raise PermanentFailure(f"the music {music.name} is silent or shorter than a second")
    track = track[loud[0] : loud[-1] + 1]
    fade = min(int(LOOP_FADE * SAMPLE_RATE), len(track) // 3)
    angle = np.linspace(0, np.pi / 2, fade, dtype=np.float32)[:, None]
    head = track[:fade] * np.sin(angle) + track[-fade:] * np.cos(angle)
    loop = np.concatenate([head, track[fade:-fade]])
    loudness, _ = measure_samples(np.ascontiguousarray(loop.mean(axis=1)))
    with wave.open(str(target), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(loop, -1, 1) * 32767).astype("<i2").tobytes())
    return loudness


def _decode(path: Path, longest: Seconds = 600.0) -> _Stereo:
    """A music file as float32 samples of shape (n, 2) at 48 kHz; what is longer than ten minutes is cut."""
    import av

    resampler = av.AudioResampler(format="flt", layout="stereo", rate=SAMPLE_RATE)
    blocks: list[_Stereo] = []
    length = 0
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as file:
            if file.format.name not in {"mp3", "wav", "flac", "ogg", "mov,mp4,m4a,3gp,3g2,mj2", "aac", "matroska,webm"}:
                raise PermanentFailure(f"the music {path.name} is no MP3, WAV, FLAC, OGG or M4A")
            if not file.streams.audio:
                raise PermanentFailure(f"the music {path.name} has no sound")
            for frame in file.decode(audio=0):
                for part in resampler.resample(frame):
                    block = part.to_ndarray().reshape(-1, 2).astype(np.float32, copy=False)
                    blocks.append(block)
                    length += len(block)
                if length > longest * SAMPLE_RATE:
                    break
    except (av.FFmpegError, StopIteration) as error:
        raise PermanentFailure(f"the music {path.name} cannot be read: {error}") from None
    return np.concatenate(blocks) if blocks else np.zeros((0, 2), dtype=np.float32)
