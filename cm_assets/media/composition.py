"""The picture of a video: every shot as a cached segment, two at a time, joined by copy, checked, then put in place."""

import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cm_assets.media.ffmpeg import Ffmpeg, Group, arguments, source
from cm_assets.media.pictures import filled, panned
from cm_assets.media.scenery import layered
from cm_assets.models.base import FPS, SAMPLE_RATE, PermanentFailure
from cm_assets.models.clips import ClipSpec
from cm_assets.models.protocols import Progress

CRF = 21
GOP = 2 * FPS
"""A key frame at least every two seconds, as the platforms ask for."""

WORKERS = 2

TIMESCALE = 15360
"""Ticks a second of the video track: 512 for each frame."""


@dataclass(frozen=True, slots=True)
class ShotPicture:
    """What one shot shows.

    Attributes:
        spec: the clip.
        files: its files on this machine, as the spec numbers them.
        digest: hash of the files' content.
        first_frame: where the shot starts in the video.
        frames: its length.
        captions: ASS document with the events of this stretch in video time, or None.
    """

    spec: ClipSpec
    files: tuple[Path, ...]
    digest: str
    first_frame: int
    frames: int
    captions: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """How all shots of a video are encoded.

    Attributes:
        width, height: pixels.
        preset: of x264.
        fonts: folder of the captions' faces.
    """

    width: int
    height: int
    preset: str
    fonts: Path

    def encoder(self) -> dict[str, Any]:
        """The encoder's options. x264's output depends on its threads, so they are pinned."""
        return {
            "vcodec": "libx264",
            "preset": self.preset,
            "crf": CRF,
            "profile:v": "high",
            "pix_fmt": "yuv420p",
            "g": GOP,
            "threads": 1,
            "color_primaries": "bt709",
            "color_trc": "bt709",
            "colorspace": "bt709",
            "color_range": "tv",
            "video_track_timescale": TIMESCALE,
            "fflags": "+bitexact",
            "flags:v": "+bitexact+cgop",
            "map_metadata": -1,
        }


class SegmentCache:
    """Encoded shots by their content, bounded in bytes; the least recently used go first.

    Safe for several processes: files appear whole, and one that another process drops was already linked to.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def take(self, key: str, target: Path) -> bool:
        """Link or copy a segment to `target`; False if it is not there."""
        path = self._folder / f"{key}.mp4"
        try:
            _link(path, target)
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def put(self, key: str, segment: Path) -> None:
        """Keep a segment."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{uuid.uuid4().hex}.part.mp4"
        try:
            _link(segment, part)
            part.replace(self._folder / f"{key}.mp4")
        finally:
            part.unlink(missing_ok=True)

    def trim(self) -> None:
        """Drop what is over the bound, and the rests of killed writers."""
        kept = []
        for path in self._folder.glob("*.mp4") if self._folder.is_dir() else ():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.name.startswith(".") and time.time() - status.st_mtime > 3600:
                path.unlink(missing_ok=True)
            elif not path.name.startswith("."):
                kept.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._limit:
                break
            path.unlink(missing_ok=True)
            total -= size


def compose(
    ffmpeg: Ffmpeg,
    shots: Sequence[ShotPicture],
    look: Look,
    soundtrack: Path,
    folder: Path,
    cache: SegmentCache,
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
        progress: told the share of frames that are encoded.

    Raises:
        Failure: a shot could not be made, or the result is not what it should be.
    """
    frames = sum(shot.frames for shot in shots)
    done = _Count(frames, progress)
    segments = [folder / f"{number:04d}.mp4" for number in range(len(shots))]
    with Group() as group:
        pool = ThreadPoolExecutor(WORKERS)
        try:
            futures: list[Future[None]] = [
                pool.submit(_segment, ffmpeg, shot, look, segment, cache, done, number, group)
                for number, (shot, segment) in enumerate(zip(shots, segments, strict=True))
            ]
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            # Whatever ends this, a time limit included: the pool would wait for the threads' ffmpegs.
            group.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    video = folder / "video.mp4"
    _join(ffmpeg, segments, [shot.frames for shot in shots], soundtrack, video, folder)
    verify(video, frames)
    cache.trim()
    return video


def verify(video: Path, frames: int) -> None:
    """Check that a file has exactly `frames` frames, each at its place on the 30 fps grid.

    Raises:
        PermanentFailure: it has not.
    """
    import av

    with av.open(str(video)) as file:
        stream = file.streams.video[0]
        base = stream.time_base
        assert base is not None
        times = sorted(round(packet.pts * base * FPS, 3) for packet in file.demux(stream) if packet.pts is not None)
    if [float(time) for time in times] != [float(number) for number in range(frames)]:
        raise PermanentFailure(f"the joined video has {len(times)} frames where {frames} were expected")


def _segment(
    ffmpeg: Ffmpeg,
    shot: ShotPicture,
    look: Look,
    target: Path,
    cache: SegmentCache,
    done: "_Count",
    number: int,
    group: Group,
) -> None:
    key = _key(ffmpeg, shot, look)
    if cache.take(key, target):
        done.tell(number, shot.frames)
        return
    part = target.with_suffix(".part.mp4")
    ass = target.with_suffix(".ass")
    if shot.captions is not None:
        ass.write_text(shot.captions)
    graph = _picture(shot, look, ass if shot.captions is not None else None)
    graph = graph.output(f"file:{part}", format="mp4", frames=shot.frames, **look.encoder())
    ffmpeg.run(arguments(graph), on_frame=lambda frame: done.tell(number, frame), group=group)
    verify(part, shot.frames)
    part.replace(target)
    cache.put(key, target)
    done.tell(number, shot.frames)


def _picture(shot: ShotPicture, look: Look, ass: Path | None) -> Any:
    """The filtered frames of a shot, from time zero."""
    spec, width, height = shot.spec, look.width, look.height
    if spec.kind == "layers":
        stream = layered(spec, shot.files, width=width, height=height, frames=shot.frames)
    elif spec.kind == "picture":
        stream = panned(source(shot.files[0]).video, spec, width=width, height=height, frames=shot.frames)
    else:
        loops = spec.seconds is not None and spec.seconds * FPS < shot.frames + 2
        clip = source(shot.files[0], **({"stream_loop": -1} if loops else {})).video
        stream = filled(clip.filter("fps", fps=FPS), spec, width=width, height=height)
    stream = stream.filter("trim", end_frame=shot.frames).filter("settb", expr="AVTB")
    # The captions know the video's time; each shot is drawn at its own and moved back.
    stream = stream.filter("setpts", expr=f"PTS-STARTPTS+{shot.first_frame}/{FPS}/TB")
    if ass is not None:
        stream = stream.filter("ass", filename=str(ass), fontsdir=str(look.fonts))
    stream = stream.filter("setpts", expr="PTS-STARTPTS")
    return stream.filter("setparams", range="tv", color_primaries="bt709", color_trc="bt709", colorspace="bt709")


def _key(ffmpeg: Ffmpeg, shot: ShotPicture, look: Look) -> str:
    # A picture's move and a layer's swing do not depend on where in the video the shot lies; the captions' times do.
    graph = _picture(shot, look, None) if shot.spec.kind != "layers" else None
    filters = "" if graph is None else " ".join(graph.output("-", **look.encoder()).get_args())
    for number, path in enumerate(shot.files):
        filters = filters.replace(str(path.absolute()), f"file {number}")
    text = [
        *(ffmpeg.version, shot.digest, shot.spec.model_dump_json(), str(shot.frames)),
        *(f"{look.width}x{look.height}", str(sorted(look.encoder().items())), filters, shot.captions or ""),
    ]
    if shot.captions is None:
        text = [part.replace(f"+{shot.first_frame}/{FPS}/TB", "") for part in text]
    return hashlib.sha256("\0".join(text).encode()).hexdigest()


def _join(
    ffmpeg: Ffmpeg, segments: Sequence[Path], frames: Sequence[int], soundtrack: Path, target: Path, folder: Path
) -> None:
    import ffmpeg as graphs

    listing = folder / "segments.txt"
    # The names are our own numbers, so there is nothing to escape.
    lines = (f"file {path.name}\nduration {count / FPS:.9f}\n" for path, count in zip(segments, frames, strict=True))
    listing.write_text("ffconcat version 1.0\n" + "".join(lines))
    part = target.with_suffix(".part.mp4")
    picture = graphs.input(f"file:{listing}", format="concat", safe=1, protocol_whitelist="file").video
    sound = source(soundtrack).audio
    graph = graphs.output(
        picture,
        sound,
        f"file:{part}",
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
    part.replace(target)


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
            share = sum(self._done.values()) / self._frames
        self._progress(min(share, 1.0))


def _link(source_path: Path, target: Path) -> None:
    try:
        os.link(source_path, target)
    except FileExistsError:
        target.unlink()
        os.link(source_path, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system
        shutil.copyfile(source_path, target)
