"""Recordings that come from elsewhere: decoded within bounds to 48 kHz mono, and played faster or slower."""

import io
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cm_assets.models.base import SAMPLE_RATE, PermanentFailure, Seconds

if TYPE_CHECKING:
    from av import AudioFrame

Samples = npt.NDArray[np.float32]

CODECS = frozenset({"mp3", "mp3float", "flac", "opus", "libopus", "vorbis", "libvorbis", "aac", "alac"})
"""What may be decoded, beside the many kinds of PCM."""

_HEAD = 4096
"""Bytes of its beginning that tell what it is."""

UNKNOWN = 0x7000_0000
"""Sizes in the head of a WAV file from which on they mean that whoever wrote it did not know: streams say 0xFFFFFFFF,
0x7FFFFFFF or 2,000,000,000 there."""


class NoRecording(PermanentFailure):
    """By its first bytes it is of no kind that is taken."""


def decode(content: bytes, *, longest: Seconds) -> Samples:
    """The samples of a recording: float32, 48 kHz, mono, within [-1, 1].

    What it is, is judged by its first bytes, whatever its name or media type. The bytes are all that is read: nothing
    in them can name another file or address.

    Args:
        content: WAV, MP3, FLAC, Ogg (Opus, Vorbis), AAC, M4A or WebM.
        longest: seconds from which on it is refused.

    Raises:
        PermanentFailure: it is none of these, does not decode to its end, is shorter than it says, or too long.
    """
    return _decoded(io.BytesIO(content), len(content), longest)


def decode_file(path: Path, *, longest: Seconds) -> Samples:
    """The samples of a recording in a file, which is read as it is decoded; see `decode`."""
    with path.open("rb") as file:
        return _decoded(file, path.stat().st_size, longest)


def container_of(head: bytes) -> str | None:
    """The demuxer for a recording by its first bytes: none that would open other files."""
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return "wav"
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"ID3"):
        return "mp3"
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if len(head) > 1 and head[0] == 0xFF:
        # A frame of MPEG audio begins with eleven set bits; its layer is 0 in AAC's ADTS and not in MP3.
        if head[1] & 0xF6 == 0xF0:
            return "aac"
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
            return "mp3"
    return None


def _decoded(recording: BinaryIO, size: int, longest: Seconds) -> Samples:
    import av

    head = recording.read(_HEAD)
    container = container_of(head)
    if container is None:
        raise NoRecording("is no sound (WAV, MP3, FLAC, Ogg, AAC, M4A, WebM)")
    if container == "wav" and (missing := _missing(recording, size)):
        raise PermanentFailure(f"lacks its last {missing} bytes")
    recording.seek(0)
    parts: list[Samples] = []
    count, expected = 0, 0.0
    try:
        # Nothing but what is handed over is read: libav has no way to another file or address here.
        with av.open(recording, "r", format=container) as file:
            stream = next(iter(file.streams.audio), None)
            if stream is None:
                raise PermanentFailure("has no sound")
            codec = stream.codec_context.name
            if codec not in CODECS and not codec.startswith("pcm_"):
                raise PermanentFailure(f"is coded as {codec}, which is not taken")
            if stream.duration is not None and stream.time_base is not None and _tells_length(container, head):
                told = float(stream.duration * stream.time_base)
                # Whoever streams does not know, and may write the largest number that there is room for.
                expected = told if told <= longest else 0.0
            for part in _resampled(file.decode(stream)):
                parts.append(part)
                count += len(part)
                if count > longest * SAMPLE_RATE:
                    raise PermanentFailure(f"is longer than {longest:.0f} s")
    except av.FFmpegError as error:
        raise PermanentFailure(f"cannot be read: {error.strerror}") from None
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if not len(samples):
        raise PermanentFailure("holds no sound")
    if not np.isfinite(samples).all():
        raise PermanentFailure("holds samples that are no numbers")
    if len(samples) / SAMPLE_RATE < expected - 0.1:
        raise PermanentFailure(f"ends after {len(samples) / SAMPLE_RATE:.1f} of its {expected:.1f} seconds")
    return np.clip(samples, -1, 1).astype(np.float32)


def stretched(samples: Samples, speed: float) -> Samples:
    """The samples played `speed` times as fast (0.5 to 2.0), at the same pitch: ffmpeg's `atempo`.

    Args:
        samples: 48 kHz, mono.
        speed: above 1 for fewer samples.
    """
    import av
    from av.filter import Graph

    if speed == 1:
        return samples
    graph = Graph()
    entry = graph.add_abuffer(format="flt", sample_rate=SAMPLE_RATE, layout="mono")
    tempo = graph.add("atempo", f"{speed:.4f}")
    end = graph.add("abuffersink")
    entry.link_to(tempo)
    tempo.link_to(end)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts = 0
    parts: list[Samples] = []
    for given in (frame, None):
        entry.push(given)
        while True:
            try:
                parts.append(_flat(end.pull()))
            except (av.BlockingIOError, av.EOFError):
                break
    return np.clip(np.concatenate(parts), -1, 1).astype(np.float32)


def _resampled(frames: "Iterable[AudioFrame]") -> Iterator[Samples]:
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    for frame in frames:
        for ready in resampler.resample(frame):
            yield _flat(ready)
    for ready in resampler.resample(None):
        yield _flat(ready)


def _flat(frame: Any) -> Samples:
    """The samples of a frame of format `flt` and one channel."""
    return np.asarray(frame.to_ndarray(), np.float32).ravel()


def _tells_length(container: str, head: bytes) -> bool:
    """Whether the length in its head was counted: libav guesses the others' by their bit rate."""
    return container in {"flac", "mov"} or (container == "mp3" and any(mark in head for mark in (b"Xing", b"Info")))


def _missing(recording: BinaryIO, size: int) -> int:
    """Bytes that a WAV file's head promises and that are not there; 0 where its writer did not know."""
    place = 12
    while place + 8 <= size:
        recording.seek(place)
        name, length = struct.unpack("<4sI", recording.read(8))
        if name == b"data":
            return max(0, int(length) - (size - place - 8)) if length < UNKNOWN else 0
        place += 8 + length + length % 2
    return 0
