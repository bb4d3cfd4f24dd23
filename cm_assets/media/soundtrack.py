"""The sound of a video: narration over ducked music, at -14 LUFS, as one AAC track of exact length."""

import re
import wave
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

GATE = -70.0
"""LUFS below which nothing counts as sound (EBU R 128)."""

CEILING = -1.0
"""dBTP that the finished file must not pass."""

LIMIT = -1.5
"""dBFS that the limiter lets through; what AAC adds comes on top."""

ATTACK = 5
"""Milliseconds in which the limiter sees a peak come."""

BED = 11.0
"""Decibels by which the music lies under the speech before it is ducked."""

BOTH_SIDES = 3.01
"""Decibels by which a mono track is louder from two loudspeakers (ITU-R BS.1770 adds the channels' powers)."""

LOOP_FADE: Seconds = 1.5
"""Length over which the end of a track passes into its beginning."""

REHEARSALS, PASSES = 2, 8
"""At most: measurements behind the limiter alone, and encoded tracks. Speech takes one or two, white noise five."""

BIT_RATE = "192k"

_INTEGRATED = r"I:\s+(-?[\d.]+|-inf) LUFS"


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
        narration_loudness: LUFS of it, as one channel.
        music: a track to loop under it, or None.
        samples: exact length at 48 kHz.
        folder: for the result and what is made on the way.

    Raises:
        PermanentFailure: the music cannot be read, there is nothing to hear, or the target is out of reach.
    """
    mix = folder / "mix.wav"
    loudness = _mix(ffmpeg, narration, narration_loudness, music, samples, mix)
    if loudness <= GATE:
        raise PermanentFailure("the sound is silent, or shorter than the 0.4 s that a loudness is measured over")
    gain, limit = TARGET - loudness, LIMIT
    for _ in range(REHEARSALS):
        # What the limiter takes away, found out without the encoder, which costs more than all else here.
        heard = _measured(ffmpeg, _mastered(mix, gain, limit))
        gain += TARGET - heard.integrated
        if abs(TARGET - heard.integrated) <= TOLERANCE / 2:
            break
    track = folder / "soundtrack.m4a"
    for _ in range(PASSES):
        _encode(ffmpeg, mix, gain, limit, samples, track)
        measured = measure(ffmpeg, track)
        loud_enough = abs(measured.integrated - TARGET) <= TOLERANCE / 2
        over = max(0.0, measured.true_peak - CEILING)
        if loud_enough and not over:
            return Soundtrack(track, measured)
        # A lower limit takes loudness away: given back at once, or the two would chase each other.
        limit -= over + 0.1 if over else 0.0
        gain += TARGET - measured.integrated + over / 2
    if abs(measured.integrated - TARGET) <= TOLERANCE and measured.true_peak <= CEILING:
        return Soundtrack(track, measured)
    raise PermanentFailure(
        f"the sound does not come to {TARGET:g} LUFS: {measured.integrated:.1f} LUFS, {measured.true_peak:.1f} dBTP"
    )


def measure(ffmpeg: Ffmpeg, path: Path) -> Loudness:
    """Integrated loudness and true peak of a file by EBU R 128."""
    return _measured(ffmpeg, source(path).audio)


def _measured(ffmpeg: Ffmpeg, sound: Any) -> Loudness:
    graph = sound.filter("ebur128", peak="true", framelog="verbose").output("-", format="null")
    said = ffmpeg.run(arguments(graph), loglevel="info")
    peak = _summed_up(said, r"Peak:\s+(-?[\d.]+|-inf) dBFS")
    return Loudness(integrated=_summed_up(said, _INTEGRATED), true_peak=peak)


def _summed_up(said: str, what: str) -> float:
    """A figure of the summary that `ebur128` prints at the end."""
    match = re.search(what, said[said.rfind("Summary:") :])
    if match is None:
        raise PermanentFailure("ffmpeg did not say how loud the track is")
    return max(float(match[1]), -99.0)


def _mix(
    ffmpeg: Ffmpeg, narration: Path, narration_loudness: float, music: Path | None, samples: int, target: Path
) -> float:
    """Write the mix; its loudness in LUFS."""
    import ffmpeg as graphs

    speech = source(narration).audio.filter("aformat", channel_layouts="mono").filter("apad", whole_len=samples)
    speech = speech.filter("pan", args="stereo|c0=c0|c1=c0")
    if music is None:
        mixed = speech
    else:
        loop = target.with_name("loop.wav")
        loop_loudness = _write_loop(ffmpeg, music, samples, loop)
        gain = narration_loudness + BOTH_SIDES - BED - loop_loudness
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
    mixed = mixed.filter("atrim", end_sample=samples).filter("ebur128", framelog="verbose")
    graph = _plain(mixed, target, format="wav", acodec="pcm_f32le", ar=SAMPLE_RATE)
    return _summed_up(ffmpeg.run(arguments(graph), loglevel="info"), _INTEGRATED)


def _mastered(mix: Path, gain: float, limit: float) -> Any:
    return (
        source(mix)
        .audio.filter("volume", volume=f"{gain:.3f}dB")
        # level=0: the limiter would otherwise turn everything up to its limit.
        .filter("alimiter", limit=f"{10 ** (limit / 20):.6f}", attack=ATTACK, release=50, level=0)
        # It looks ahead by its attack and delays the sound as long.
        .filter("atrim", start_sample=ATTACK * SAMPLE_RATE // 1000)
        .filter("asetpts", expr="PTS-STARTPTS")
    )


def _encode(ffmpeg: Ffmpeg, mix: Path, gain: float, limit: float, samples: int, target: Path) -> None:
    sound = _mastered(mix, gain, limit).filter("apad", whole_len=samples).filter("atrim", end_sample=samples)
    # The coder `fast` is less than half the work, and the better one above 64 kb/s (ffmpeg's documentation, "aac").
    graph = _plain(sound, target, format="mp4", acodec="aac", aac_coder="fast", audio_bitrate=BIT_RATE, ar=SAMPLE_RATE)
    ffmpeg.run(arguments(graph))


def _plain(stream: Any, target: Path, **options: Any) -> Any:
    """An output without a word about when and by what it was made: equal input gives equal bytes."""
    exact = {"fflags": "+bitexact", "flags:a": "+bitexact", "map_metadata": -1, "threads": 1}
    if options["format"] == "mp4":
        exact["movie_timescale"] = SAMPLE_RATE
    return stream.output(f"file:{target}", **(exact | options))


def _write_loop(ffmpeg: Ffmpeg, music: Path, samples: int, target: Path) -> float:
    """Write at most `samples` of the track, 48 kHz stereo, so that its end passes into its beginning.

    Streamed: no more than the seam is held in memory.

    Returns:
        Its loudness in LUFS.
    """
    track = target.with_name("loop.decoded.wav")
    try:
        # What little is broken in a song is skipped; what cannot be read at all leaves nothing to hear.
        song = source(music, t=f"{samples / SAMPLE_RATE + 60:.3f}").audio
        song = song.filter("silenceremove", start_periods=1, start_threshold="-45dB", detection="peak")
        song = song.filter("atrim", end_sample=samples + SAMPLE_RATE)
        wav = _plain(song, track, format="wav", acodec="pcm_s16le", ar=SAMPLE_RATE, ac=2)
        ffmpeg.run([*arguments(wav), "-noxerror"])
        length = _write_seamless(track, target, samples)
    except PermanentFailure as failure:
        raise PermanentFailure(f"the music {music.name} cannot be read: {failure}") from None
    finally:
        track.unlink(missing_ok=True)
    if length < SAMPLE_RATE:
        raise PermanentFailure(f"the music {music.name} is silent or shorter than a second")
    sound = source(target).audio.filter("ebur128", framelog="verbose").output("-", format="null")
    return _summed_up(ffmpeg.run(arguments(sound), loglevel="info"), _INTEGRATED)


def _write_seamless(track: Path, target: Path, samples: int) -> int:
    """Write a WAV of a WAV whose end was mixed into its beginning; its length in samples."""
    with wave.open(str(track), "rb") as file, wave.open(str(target), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        length = _last_loud(file)
        fade = 0 if length >= samples else min(int(LOOP_FADE * SAMPLE_RATE), length // 3)
        head, tail = _read(file, 0, fade), _read(file, length - fade, fade)
        angle = np.linspace(0, np.pi / 2, fade, dtype=np.float32)[:, None]
        seam = head * np.sin(angle) + tail * np.cos(angle)
        out.writeframes(np.clip(np.rint(seam), -32768, 32767).astype("<i2").tobytes())
        file.setpos(fade)
        left = length - 2 * fade
        while left > 0:
            block = file.readframes(min(left, SAMPLE_RATE))
            out.writeframes(block)
            left -= SAMPLE_RATE
        return length - fade


def _last_loud(file: wave.Wave_read) -> int:
    """Where the silence at the end of a track begins; 0 if there is nothing else."""
    end = file.getnframes()
    while end > 0:
        first = max(0, end - SAMPLE_RATE)
        loud = np.flatnonzero(np.max(np.abs(_read(file, first, end - first)), axis=1) > 32768 * 10 ** (-45 / 20))
        if len(loud):
            return first + int(loud[-1]) + 1
        end = first
    return 0


def _read(file: wave.Wave_read, first: int, count: int) -> npt.NDArray[np.float32]:
    """Samples of a 16-bit stereo file, shape (count, 2), full scale 32768."""
    file.setpos(first)
    return np.frombuffer(file.readframes(count), "<i2").reshape(-1, 2).astype(np.float32)
