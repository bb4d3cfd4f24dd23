"""What a media file is, found out without trusting it."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cm_assets.media.ffmpeg import CONTAINERS, Ffmpeg, arguments, source
from cm_assets.models.base import FPS, PermanentFailure, Seconds

if TYPE_CHECKING:
    from av.container import InputContainer
    from PIL import Image

VIDEO_CONTAINERS = frozenset({"mov", "matroska", "avi", "mpegts"})
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP")

SMALLEST, LARGEST = 64, 8192
"""Bounds of a side in pixels: below, nothing can be seen; above, one frame takes more than 100 MB."""

MOST_PIXELS = 7680 * 4320
MOST_PICTURE_PIXELS = 50_000_000
"""Phones take 48 megapixels; Pillow holds four bytes of each."""


class UnknownMedia(PermanentFailure):
    """By its first bytes a file is of no kind that is taken."""


class SoundAlone(PermanentFailure):
    """A container of videos holds a sound and no moving picture."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file holds.

    Attributes:
        kind: `video` or `picture`.
        width, height: as shown, rotation and pixel shape applied; pixels.
        seconds: length of the picture, not of the sound; None for a picture.
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
    if path.stat().st_size == 0:
        raise PermanentFailure("the file is empty")
    container = _container(path)
    if container is None:
        raise UnknownMedia("is no video (MP4, MOV, MKV, WebM, AVI, MPEG-TS) and no picture (JPEG, PNG, WebP)")
    return _video(path, container) if container in VIDEO_CONTAINERS else _picture(path)


def open_quickly(path: Path, container: str | None = None) -> "InputContainer":
    """Open a file with PyAV for what its headers and packets say.

    To open a video, libav decodes its first frames: 50 ms at 1080p. Told to skip them it takes 0.5 ms, and does not
    know the pixel format yet. Frames can be decoded all the same: what opens the file has a decoder of its own.

    Raises:
        av.FFmpegError: it cannot be read.
    """
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS, "skip_frame": "all"}
    return av.open(str(path), format=container, options=options | {"probesize": "500000"})


def _video(path: Path, container: str) -> MediaInfo:
    import av

    try:
        with open_quickly(path, container) as file:
            stream = next((one for one in file.streams.video if not _is_cover_art(one)), None)
            if stream is None:
                raise SoundAlone("has no moving picture, only sound")
            context = stream.codec_context
            width, height = context.width, context.height
            _check_size(width, height, MOST_PIXELS)
            context.thread_type = "NONE"
            frame = next((frame for packet in file.demux(stream) for frame in decoded(context, packet)), None)
            if frame is None:
                raise PermanentFailure("has no frame that can be decoded")
            shape = stream.sample_aspect_ratio or Fraction(1)
            if Fraction(1, 4) <= shape <= 4:
                width = round(width * shape)
            if abs(round(frame.rotation)) % 180 == 90:
                width, height = height, width
            seconds = None
            if stream.duration is not None and stream.time_base is not None:
                seconds = float(stream.duration * stream.time_base)
            elif file.duration is not None:
                seconds = file.duration / av.time_base
            if not seconds or seconds < 0:
                raise PermanentFailure("has no length")
            return MediaInfo("video", width, height, seconds, context.name, container)
    except av.FFmpegError as error:
        raise PermanentFailure(f"cannot be read: {error.strerror}") from None


def decoded(context: Any, packet: Any) -> list[Any]:
    """The frames of one packet, at once: a frame tells how the video is turned, and need not wait for others."""
    return list(context.decode(packet)) or list(context.decode(None))


def _picture(path: Path) -> MediaInfo:
    with _opened(path) as image:
        width, height = image.size
        # EXIF orientations 5 to 8 lie on their side.
        if image.getexif().get(0x0112, 1) in {5, 6, 7, 8}:
            width, height = height, width
        kind = (image.format or "").lower()
        return MediaInfo("picture", width, height, None, kind, kind)


def _opened(path: Path) -> "Image.Image":
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is judged below
            image = Image.open(path, formats=PICTURE_FORMATS)
    except Image.DecompressionBombError as error:
        raise PermanentFailure(f"is too large: {error}") from None
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise PermanentFailure(f"cannot be read: {error}") from None
    try:
        _check_size(*image.size, MOST_PICTURE_PIXELS)
    except PermanentFailure:
        image.close()
        raise
    return image


def _is_cover_art(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


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

    # Smoothing the blocks' edges is a fifth of the work, and nobody looks at these frames.
    graph = source(path, t=f"{longest:g}", skip_loop_filter="all")["V"].filter("fps", fps=FPS)
    ffmpeg.run(arguments(graph.output("-", format="null")), on_frame=count)
    expected = min(info.seconds or 0, longest) * FPS
    # A truncated file decodes without a word and is only too short.
    if counted < 0.9 * expected - 3:
        raise PermanentFailure(f"ends after {counted / FPS:.1f} of its {(info.seconds or 0):.1f} seconds")
    return info


def validate_picture(path: Path) -> MediaInfo:
    """A picture that decodes to its end.

    Raises:
        PermanentFailure: it does not, and why.
    """
    info = probe(path)
    if info.kind != "picture":
        raise PermanentFailure("is a video and not a picture")
    with _opened(path) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise PermanentFailure(f"cannot be read: {error}") from None
    return info


def _check_size(width: int, height: int, most: int) -> None:
    if min(width, height) < SMALLEST:
        raise PermanentFailure(f"is too small: {width}x{height}, at least {SMALLEST}x{SMALLEST} is needed")
    if max(width, height) > LARGEST or width * height > most:
        raise PermanentFailure(
            f"is too large: {width}x{height}, at most {LARGEST} a side and {most / 1e6:.0f} megapixels can be used"
        )


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
