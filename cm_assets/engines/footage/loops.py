"""Makes the background loop of an illustrated scene: a small video without an end that shows."""

import errno
import hashlib
from pathlib import Path

from cm_assets.engines.footage import backgrounds
from cm_assets.engines.footage.canvas import Canvas
from cm_assets.engines.footage.palettes import Palette
from cm_assets.media.ffmpeg import arguments, find
from cm_assets.models.base import TransientFailure

ENCODING = (
    {"c:v": "libx264", "preset": "ultrafast", "crf": 6, "bf": 0, "threads": 1}
    | {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv"}
    | {"fflags": "+bitexact", "flags:v": "+bitexact", "map_metadata": -1}
)
"""Nearly lossless, or the noise that hides the steps of a gradient would not survive; it is a small picture."""


def make(
    family: str,
    palette: Palette,
    width: int,
    height: int,
    focus: tuple[float, float],
    stage: str,
    seed: int,
    binary: Path,
    into: Path,
) -> Path:
    """The loop as an MP4 in the folder `into`, several times smaller than the `width` x `height` that it is made for.

    Raises:
        TransientFailure: the disk is full.
        PermanentFailure: ffmpeg failed.
    """
    import ffmpeg

    shrink = backgrounds.FAMILIES[family].shrink
    canvas = Canvas(_even(width / shrink), _even(height / shrink), focus, stage)
    raw, part = into / "loop.raw", into / "loop.part.mp4"
    try:
        with raw.open("wb") as file:
            for frame in backgrounds.frames(family, canvas, palette, seed):
                file.write(frame[[1, 2, 0]].tobytes())  # planes in ffmpeg's order: green, blue, red
        size = f"{canvas.width}x{canvas.height}"
        pictures = ffmpeg.input(
            f"file:{raw.absolute()}", f="rawvideo", pix_fmt="gbrp", s=size, r=backgrounds.LOOP_FPS, threads=1
        )
        graph = (
            pictures.filter("scale", out_color_matrix="bt709", out_range="tv")
            .filter("format", pix_fmts="yuv420p")
            .output(f"file:{part.absolute()}", **ENCODING)
        )
        find(binary).run(arguments(graph))
        path = into / f"{hashlib.sha256(part.read_bytes()).hexdigest()[:16]}.mp4"
        return part.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TransientFailure("the disk is full: free some space, then make the video again") from None
        raise
    finally:
        raw.unlink(missing_ok=True)
        part.unlink(missing_ok=True)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
