"""Fitting footage and pictures into the frame: filled, never squeezed, and pictures with a slow move."""

from typing import Any

from cm_assets.models.clips import ClipSpec

FASTEST = 1
"""Pixels a frame that a picture moves: a whole number, or the move would stutter."""


def filled(stream: Any, spec: ClipSpec, *, width: int, height: int) -> Any:
    """A clip that fills the frame: cut to its shape first, because scaling fewer pixels is cheaper, then scaled."""
    cut_width, cut_height = _cut(spec.width, spec.height, width, height)
    return (
        stream.filter("crop", w=cut_width, h=cut_height)
        .filter("scale", w=width, h=height, flags="bicubic", out_color_matrix="bt709", out_range="tv")
        .filter("setsar", sar=1)
        .filter("format", pix_fmts="yuv420p")
    )


def panned(stream: Any, spec: ClipSpec, *, width: int, height: int, frames: int) -> Any:
    """A picture that moves across the frame by a pixel a frame, in the direction that has more of it to show."""
    wide = spec.width * height > spec.height * width
    room = min(frames * FASTEST, (width if wide else height) // 4)
    full_width, full_height = (width + room, height) if wide else (width, height + room)
    still = filled(stream, spec, width=_even(full_width), height=_even(full_height))
    place = f"min(n,{room})" if spec.seed % 2 else f"{room}-min(n,{room})"
    return (
        still.filter("loop", loop=-1, size=1)
        .filter("setpts", expr="N/(30*TB)")
        .filter("fps", fps=30)
        # exact: an odd place would otherwise be rounded to the chroma's grid, and the move would stutter.
        .filter("crop", w=width, h=height, x=place if wide else "0", y="0" if wide else place, exact=1)
    )


def _cut(width: int, height: int, frame_width: int, frame_height: int) -> tuple[int, int]:
    """The largest part of a clip that has the frame's shape, in even pixels."""
    if width * frame_height > height * frame_width:
        return _even(height * frame_width / frame_height), height - height % 2
    return width - width % 2, _even(width * frame_height / frame_width)


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)
