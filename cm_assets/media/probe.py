"""What a media file is, found out without trusting it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cm_assets.media.ffmpeg import Ffmpeg, arguments, source
from cm_assets.models.base import FPS, PermanentFailure, Seconds

VIDEO_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm", "avi", "mpegts"})
PICTURE_CONTAINERS = frozenset({"png_pipe", "jpeg_pipe", "webp_pipe", "image2", "apng"})

SMALLEST, LARGEST = 64, 8192
"""Bounds of a side in pixels: below, nothing can be seen; above, one frame takes more than 100 MB."""

MOST_PIXELS = 7680 * 4320


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file holds.

    Attributes:
        kind: `video` or `picture`.
        width, height: as shown, rotation applied; pixels.
        seconds: length; None for a picture.
        codec: of the picture.
        container: of the file.
    """

    kind: Literal["video", "picture"]
    width: int
    height: int
    seconds: Seconds | None
    codec: str
    container: str


def probe(path: Path) -> MediaInfo:
    """What a file is, by its content.

    Raises:
        PermanentFailure: it is neither a video nor a picture that may be used, and why.
    """
    import av

    if path.stat().st_size == 0:
        raise PermanentFailure("the file is empty")
    container = _container(path)
    if container is None:
        raise PermanentFailure("is no video (MP4, MOV, MKV, WebM, AVI) and no picture (JPEG, PNG, WebP)")
    try:
        with av.open(str(path), format=container, options={"protocol_whitelist": "file"}) as file:
            if not file.streams.video:
                raise PermanentFailure("has no picture, only sound")
            stream = file.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            _check_size(width, height)
            frame = next(file.decode(stream), None)
            if frame is None:
                raise PermanentFailure("has no frame that can be decoded")
            if abs(round(frame.rotation)) % 180 == 90:
                width, height = height, width
            seconds = None
            if file.duration is not None and container in VIDEO_CONTAINERS:
                seconds = file.duration / av.time_base
            picture = container in PICTURE_CONTAINERS
            if not picture and not seconds:
                raise PermanentFailure("has no length")
            return MediaInfo(
                kind="picture" if picture else "video",
                width=width,
                height=height,
                seconds=None if picture else seconds,
                codec=stream.codec_context.name,
                container=container,
            )
    except av.FFmpegError as error:
        raise PermanentFailure(f"cannot be read: {error.strerror}") from None


def validate_video(ffmpeg: Ffmpeg, path: Path, *, longest: Seconds = 60.0) -> MediaInfo:
    """A video of which the first `longest` seconds decode without an error.

    Raises:
        PermanentFailure: it is not, and why.
    """
    info = probe(path)
    if info.kind != "video":
        raise PermanentFailure("is a picture and not a video")
    counted = 0

    def count(frames: int) -> None:
        nonlocal counted
        counted = frames

    graph = (
        source(path, t=f"{longest:g}").video.filter("scale", w=64, h=64, flags="fast_bilinear").filter("fps", fps=FPS)
    )
    ffmpeg.run(arguments(graph.output("-", format="null")), on_frame=count)
    expected = min(info.seconds or 0, longest) * FPS
    # A truncated file decodes without a word and is only too short.
    if counted < 0.9 * expected - 3:
        raise PermanentFailure(f"ends after {counted / FPS:.1f} of its {(info.seconds or 0):.1f} seconds")
    return info


def validate_picture(path: Path) -> MediaInfo:
    """A picture that decodes.

    Raises:
        PermanentFailure: it does not, and why.
    """
    info = probe(path)
    if info.kind != "picture":
        raise PermanentFailure("is a video and not a picture")
    return info


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST:
        raise PermanentFailure(f"is too small: {width}x{height}, at least {SMALLEST}x{SMALLEST} is needed")
    if max(width, height) > LARGEST or width * height > MOST_PIXELS:
        raise PermanentFailure(f"is too large: {width}x{height}, at most 7680x4320 can be used")


def _container(path: Path) -> str | None:
    """The demuxer for a file by its first bytes: none that would open other files."""
    with path.open("rb") as file:
        head = file.read(189)
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}:
        return "mov"
    signatures = {
        b"\x1a\x45\xdf\xa3": "matroska",
        b"\x89PNG\r\n\x1a\n": "png_pipe",
        b"\xff\xd8\xff": "jpeg_pipe",
    }
    for signature, container in signatures.items():
        if head.startswith(signature):
            return container
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp_pipe"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if len(head) > 188 and head[0] == head[188] == 0x47:
        return "mpegts"
    return None
