"""Fitting footage and pictures into the frame: filled, never squeezed, and pictures with a slow move."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm_assets.media.ffmpeg import source
from cm_assets.media.probe import decoded, open_quickly
from cm_assets.models.base import FPS, PermanentFailure
from cm_assets.models.clips import ClipSpec

if TYPE_CHECKING:
    from PIL import Image

STEP = 1
"""Pixels a frame that a picture moves: a whole number, or the move would stutter."""

MOST_ENLARGED = 0.25
"""How much a picture without room of its own is enlarged, so that it can move at all."""

LEAST_LINES = 720
"""Footage of at least so many lines that does not say its colour matrix is BT.709 (as players take it)."""

_UNTOLD = frozenset({2, 3})
"""H.273 codes of a colour matrix for "not said". RGB says 0."""

_Size = tuple[int, int]


def filled(stream: Any, *, width: int, height: int, matrix: str | None = None) -> Any:
    """A clip that fills the frame: cut to its shape first, because scaling fewer pixels is cheaper, then scaled.

    Args:
        stream: any size, pixel shape and pixel format.
        width: of the frame, pixels.
        height: of the frame, pixels.
        matrix: the clip's colour matrix, if its frames do not tell.
    """
    if matrix is not None:
        stream = stream.filter("setparams", colorspace=matrix)
    shape = f"{width}/{height}"
    return (
        stream.filter("crop", w=f"2*trunc(min(iw,ih*{shape}/sar)/2)", h=f"2*trunc(min(ih,iw*sar/({shape}))/2)")
        .filter("scale", w=width, h=height, flags="bicubic", out_color_matrix="bt709", out_range="tv")
        .filter("setsar", sar=1)
        .filter("format", pix_fmts="yuv420p")
    )


def untold_matrix(path: Path) -> str | None:
    """The colour matrix of footage that does not say it; None if it says so, or if ffmpeg's own guess is right.

    Raises:
        PermanentFailure: it cannot be read.
    """
    import av

    try:
        with open_quickly(path) as file:
            stream = file.streams.video[0]
            context = stream.codec_context
            if min(context.width, context.height) < LEAST_LINES or int(context.colorspace) not in _UNTOLD:
                return None
            # Where the container does not say it, the coded frames may.
            context.thread_type = "NONE"
            frame = next((frame for packet in file.demux(stream) for frame in decoded(context, packet)), None)
            return "bt709" if frame is None or int(frame.colorspace) in _UNTOLD else None
    except (av.FFmpegError, IndexError) as error:
        raise PermanentFailure(f"cannot be read: {error}") from None


def panned(still: Path, spec: ClipSpec, *, width: int, height: int, frames: int) -> Any:
    """A picture that moves across the frame, by a pixel a frame and back where the shot is longer than the way.

    Args:
        still: what `write_still` made of the picture.
        spec: of the clip; the seed chooses the direction.
        width: of the frame, pixels.
        height: of the frame, pixels.
        frames: length of the shot.
    """
    full_width, full_height = _full(spec, width, height, frames)
    across, down = full_width - width, full_height - height
    room = max(across, down)
    # A triangle wave; one that starts at its far end shows the opposite direction.
    place = f"abs(mod(n*{STEP}+{room if spec.seed % 2 else 0},{2 * room})-{room})"
    return (
        source(still)
        .video.filter("scale", out_color_matrix="bt709", out_range="tv")
        .filter("setsar", sar=1)
        .filter("format", pix_fmts="yuv420p")
        .filter("loop", loop=-1, size=1)
        .filter("setpts", expr=f"N/({FPS}*TB)")
        .filter("fps", fps=FPS)
        # exact: an odd place would otherwise be rounded to the chroma's grid, and the move would stutter.
        .filter("crop", w=width, h=height, x=place if across else "0", y=place if down else "0", exact=1)
    )


def write_still(picture: Path, spec: ClipSpec, target: Path, *, width: int, height: int, frames: int) -> None:
    """Write a picture as it is seen while it moves: upright, in sRGB without alpha, larger than the frame by its way.

    Pillow does this and not ffmpeg, whose versions differ in whether a photo is turned as its EXIF data say.

    Raises:
        OSError: it cannot be read or written.
    """
    from PIL import Image, ImageOps

    full = _full(spec, width, height, frames)
    with Image.open(picture, formats=("JPEG", "PNG", "WEBP")) as image:
        # JPEG alone: decoded at a half or a quarter of its size where that is still enough.
        image.draft("RGB", (2 * max(full), 2 * max(full)))
        upright = ImageOps.exif_transpose(image)
        fitted = ImageOps.fit(_plain(upright), full, Image.Resampling.LANCZOS)
        fitted.save(target, "PNG", compress_level=1)


def _plain(image: "Image.Image") -> "Image.Image":
    """The picture in sRGB, over white where it is transparent."""
    import io

    import numpy as np
    from PIL import Image, ImageCms

    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip to 8
        image = Image.fromarray((np.asarray(image, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8))
    elif "transparency" in image.info or image.mode in {"LA", "PA", "RGBA", "La", "RGBa"}:
        with_alpha = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(with_alpha, mask=with_alpha.getchannel("A"))
    if profile and image.mode in {"RGB", "CMYK"}:
        try:
            srgb = ImageCms.createProfile("sRGB")
            turned = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):  # a broken or foreign profile: shown as if it had none
            turned = None
        image = turned or image
    return image.convert("RGB")


def _full(spec: ClipSpec, width: int, height: int, frames: int) -> _Size:
    """Size of the picture that moves behind the frame: it moves in the direction that has more of it to show."""
    wide = spec.width * height > spec.height * width
    side = width if wide else height
    own = (height * spec.width / spec.height if wide else width * spec.height / spec.width) - side
    room = max(2, min(frames * STEP, int(max(own, side * MOST_ENLARGED))))
    room -= room % 2
    return (width + room, height) if wide else (width, height + room)
