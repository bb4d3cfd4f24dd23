"""One shot of a video: what it looks like, which key it has in the cache, how it is encoded."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from cm_assets.media.ffmpeg import Ffmpeg, Group, arguments, source
from cm_assets.media.pictures import filled, panned, untold_matrix, write_still
from cm_assets.media.probe import open_quickly
from cm_assets.media.scenery import layered
from cm_assets.models.base import FPS, PermanentFailure
from cm_assets.models.clips import ClipSpec
from cm_assets.storage.file_cache import FileCache

CRF = 21
GOP = 2 * FPS
"""A key frame at least every two seconds, as the platforms ask for."""

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


def encode(
    ffmpeg: Ffmpeg,
    shot: ShotPicture,
    look: Look,
    target: Path,
    cache: FileCache,
    on_frame: Callable[[int], None],
    group: Group,
) -> None:
    """Write a shot as an MP4 of exactly its frames, out of the cache if it is there.

    Raises:
        Failure: it could not be made, naming the clip.
    """
    key = cache_key(ffmpeg, shot, look)
    if cache.take(key, target, sound=lambda path: not frame_fault(path, shot.frames)):
        on_frame(shot.frames)
        return
    part = target.with_suffix(".part.mp4")
    try:
        graph = drawn(shot, look, target.parent, target.stem)
        graph = graph.output(f"file:{part}", format="mp4", frames=shot.frames, **look.encoder())
        ffmpeg.run(arguments(graph), on_frame=on_frame, group=group)
        fault = frame_fault(part, shot.frames)
        if fault:
            raise PermanentFailure(f"ffmpeg made {fault}")
    except PermanentFailure as failure:
        name = shot.spec.label or shot.spec.key
        raise PermanentFailure(f"scene {shot.spec.scene + 1}, clip {name!r}: {failure}") from failure
    part.replace(target)
    cache.put(key, target)
    on_frame(shot.frames)


def drawn(shot: ShotPicture, look: Look, folder: Path, name: str) -> Any:
    """The frames of a shot as a stream from time zero; writes what it needs beside as `<folder>/<name>.*`.

    Raises:
        PermanentFailure: a picture cannot be read.
    """
    ass = None
    if shot.captions is not None:
        ass = folder / f"{name}.ass"
        ass.write_text(shot.captions, encoding="utf-8", errors="replace")
    files = shot.files
    if shot.spec.kind == "picture":
        files = (folder / f"{name}.png",)
        try:
            write_still(shot.files[0], shot.spec, files[0], width=look.width, height=look.height, frames=shot.frames)
        except (OSError, SyntaxError, ValueError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            raise PermanentFailure(f"the picture cannot be read: {error}") from None
    return _stream(shot, look, files, ass)


def cache_key(ffmpeg: Ffmpeg, shot: ShotPicture, look: Look) -> str:
    """Hash of all that the encoded shot depends on: content, never paths or, without captions, its place in time."""
    files = tuple(Path(f"/{number}{path.suffix.lower()}") for number, path in enumerate(shot.files))
    # The matrix is read from the file, so its digest stands for it.
    graph = _stream(shot, look, files, None, matrix=None)
    faces = [] if shot.captions is None else sorted((face.name, face.stat().st_size) for face in look.fonts.iterdir())
    parts = (
        *(ffmpeg.version, shot.digest, " ".join(graph.output("-", **look.encoder()).get_args())),
        *(
            str(shot.frames),
            shot.captions or "",
            str(faces),
            str(shot.first_frame) if shot.captions is not None else "",
        ),
    )
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def frame_fault(video: Path, frames: int) -> str:
    """What is wrong with a file that should have `frames` frames, each at its place on the 30 fps grid; else empty."""
    import av

    try:
        with open_quickly(video) as file:
            stream = file.streams.video[0]
            base = stream.time_base or Fraction(1)
            step = 1 / (FPS * base)
            times = sorted(packet.pts for packet in file.demux(stream) if packet.pts is not None)
    except (av.FFmpegError, IndexError) as error:
        return f"a file that cannot be read: {error}"
    if len(times) != frames:
        return f"{len(times)} frames where {frames} were expected"
    off = [number for number, time in enumerate(times) if time != number * step]
    return f"frame {off[0]} at the wrong time" if off else ""


_READ = "read it from the file"


def _stream(
    shot: ShotPicture, look: Look, files: Sequence[Path], ass: Path | None, *, matrix: str | None = _READ
) -> Any:
    spec, width, height = shot.spec, look.width, look.height
    if spec.kind == "layers":
        stream = layered(spec, files, width=width, height=height, frames=shot.frames)
    elif spec.kind == "picture":
        stream = panned(files[0], spec, width=width, height=height, frames=shot.frames)
    else:
        # Always looped: it costs nothing until the end, and what a file says about its length may be wrong.
        clip = source(files[0], stream_loop=-1, threads=1)["V"].filter("fps", fps=FPS)
        matrix = untold_matrix(files[0]) if matrix is _READ else matrix
        stream = filled(clip, width=width, height=height, matrix=matrix)
    stream = stream.filter("trim", end_frame=shot.frames)
    if ass is not None:
        # The captions know the video's time; each shot is drawn at its own and moved back.
        stream = (
            stream.filter("settb", expr="AVTB")
            .filter("setpts", expr=f"PTS-STARTPTS+{shot.first_frame}/{FPS}/TB")
            .filter("ass", filename=str(ass), fontsdir=str(look.fonts))
        )
    stream = stream.filter("setpts", expr="PTS-STARTPTS")
    return stream.filter("setparams", range="tv", color_primaries="bt709", color_trc="bt709", colorspace="bt709")
