"""The picture of a video: every shot as a cached segment, two at a time, joined by copy, checked, then put in place."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cm_assets.media.ffmpeg import Ffmpeg, Group, arguments, source, together
from cm_assets.media.probe import open_quickly
from cm_assets.media.segments import CRF, TIMESCALE, Look, ShotPicture, encode, frame_fault
from cm_assets.models.base import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, PermanentFailure
from cm_assets.models.protocols import Progress
from cm_assets.storage.file_cache import FileCache

__all__ = ["CRF", "FileCache", "Look", "ShotPicture", "compose", "verify"]

WORKERS = 2
"""Shots that are encoded at once: as many as the smallest machine has cores."""


def compose(
    ffmpeg: Ffmpeg,
    shots: Sequence[ShotPicture],
    look: Look,
    soundtrack: Path,
    folder: Path,
    cache: FileCache,
    progress: Progress,
) -> Path:
    """Make the finished MP4.

    Args:
        ffmpeg: does the work.
        shots: adjoining, in order.
        look: how they are encoded.
        soundtrack: AAC of exactly the shots' length.
        folder: for the result and what is made on the way.
        cache: keeps encoded shots.
        progress: told the share of frames that are encoded, by several threads, one after the other.

    Raises:
        Failure: a shot could not be made, or the result is not what it should be.
    """
    frames = sum(shot.frames for shot in shots)
    done = _Count(frames, progress)
    segments = [folder / f"{number:04d}.mp4" for number in range(len(shots))]

    def making(number: int) -> Callable[[Group], None]:
        return lambda group: encode(
            ffmpeg, shots[number], look, segments[number], cache, partial(done.tell, number), group
        )

    together([making(number) for number in range(len(shots))], workers=WORKERS)
    video = folder / "video.mp4"
    part = folder / "video.part.mp4"
    _join(ffmpeg, segments, [shot.frames for shot in shots], soundtrack, part, folder)
    verify(part, frames)
    part.replace(video)
    cache.trim()
    return video


def verify(video: Path, frames: int) -> None:
    """Check that a file has exactly `frames` frames on the 30 fps grid, and sound of the same length.

    Raises:
        PermanentFailure: it has not.
    """
    fault = frame_fault(video, frames)
    if fault:
        raise PermanentFailure(f"the joined video has {fault}")
    with open_quickly(video) as file:
        sound = file.streams.audio[0]
        base = sound.time_base
        samples = 0 if base is None else round((sound.duration or 0) * base * SAMPLE_RATE)
    # AAC comes in blocks of 1024 samples; the last one may be counted whole.
    if not 0 <= samples - frames * SAMPLES_PER_FRAME <= 1024:
        raise PermanentFailure(f"the sound is {samples} samples long where {frames * SAMPLES_PER_FRAME} were expected")


def _join(
    ffmpeg: Ffmpeg, segments: Sequence[Path], frames: Sequence[int], soundtrack: Path, target: Path, folder: Path
) -> None:
    import ffmpeg as graphs

    listing = folder / "segments.txt"
    # The names are our own numbers, so there is nothing to escape.
    lines = (f"file {path.name}\nduration {count / FPS:.9f}\n" for path, count in zip(segments, frames, strict=True))
    listing.write_text("ffconcat version 1.0\n" + "".join(lines))
    picture = graphs.input(f"file:{listing}", format="concat", safe=1, protocol_whitelist="file").video
    graph = graphs.output(
        picture,
        source(soundtrack).audio,
        f"file:{target}",
        format="mp4",
        vcodec="copy",
        acodec="copy",
        movflags="+faststart",
        movie_timescale=SAMPLE_RATE,
        video_track_timescale=TIMESCALE,
        fflags="+bitexact",
        map_metadata=-1,
    )
    ffmpeg.run(arguments(graph))


class _Count:
    """Frames that several threads have done, as one share."""

    def __init__(self, frames: int, progress: Progress) -> None:
        self._frames = frames
        self._progress = progress
        self._done: dict[int, int] = {}
        self._lock = threading.Lock()

    def tell(self, number: int, frames: int) -> None:
        with self._lock:
            self._done[number] = frames
            self._progress(min(sum(self._done.values()) / self._frames, 1.0))
