"""Draws layered clips: sprites that float over a small background loop which is scaled up as it plays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cm_assets.media.ffmpeg import source
from cm_assets.models.base import FPS
from cm_assets.models.clips import ClipSpec, Layer

ENTRANCE_FRAMES = 14
"""Length of a layer's arrival: it fades in while it rises, overshoots a little and settles."""

FADE_FRAMES = 8

RISE = 0.055
"""From how far below its place a layer arrives, as a share of the canvas's height."""


def layered(spec: ClipSpec, files: Sequence[Path], *, width: int, height: int, frames: int) -> Any:
    """A stream of a clip of kind `layers`, built with ffmpeg-python.

    yuv420p, square pixels, 30 fps, time stamps from 0, exactly `frames` frames of `width` x `height`.

    Args:
        spec: of the clip; its canvas is scaled to `width` x `height`.
        files: the background video first, then the sprites that the layers name.
        width: of the output, pixels.
        height: of the output, pixels.
        frames: length.
    """
    if spec.kind != "layers":
        raise ValueError(f"a clip of kind {spec.kind} has no layers")
    picture = (
        source(files[0], threads=1, stream_loop=-1)
        .video.filter("scale", w=width, h=height, flags="bicubic", force_original_aspect_ratio="increase")
        .filter("crop", w=width, h=height)
        .filter("setsar", sar=1)
        .filter("format", pix_fmts="yuv420p")
        .filter("fps", fps=FPS)
    )
    for layer in spec.layers:
        sprite = _sprite(files[layer.file], layer, width / spec.width)
        x, y = _motion(layer, width / spec.width, height / spec.height, height)
        picture = picture.overlay(sprite, x=x, y=y, eval="frame", format="yuv420", eof_action="repeat")
    # Last: a sprite that arrives after the end would otherwise draw the clip out until it is there.
    return picture.filter("trim", end_frame=frames)


def _sprite(path: Path, layer: Layer, scale: float) -> Any:
    sprite = source(path, threads=1, f="png_pipe").video
    if scale != 1:
        sprite = sprite.filter("scale", w=f"2*ceil(iw*{scale:.6f}/2)", h=-2)
    # Once per sprite, not once per frame: the single picture is converted, then repeated by reference.
    sprite = sprite.filter("scale", out_color_matrix="bt709", out_range="tv").filter("format", pix_fmts="yuva420p")
    if layer.enter > 0:
        first = round(layer.enter * FPS)
        sprite = (
            sprite.filter("loop", loop=FADE_FRAMES, size=1, start=0)
            .filter("setpts", expr=f"(N+{first})/{FPS}/TB")
            .filter("fade", type="in", start_frame=0, nb_frames=FADE_FRAMES, alpha=1)
        )
    return sprite


def _motion(layer: Layer, scale_x: float, scale_y: float, height: int) -> tuple[str, str]:
    """Overlay positions as expressions of the time `t`, seconds. The layer moves on an ellipse."""
    turn = f"2*PI*(t/{layer.period:.4f}+{layer.phase:.4f})"
    x = f"{layer.x * scale_x:.2f}-w/2+{layer.sway_x * scale_x:.2f}*sin({turn})"
    y = f"{layer.y * scale_y:.2f}-h/2+{layer.sway_y * scale_y:.2f}*cos({turn})"
    if layer.enter > 0:
        # The "ease out back" curve is 1 + q*q*(2.7*q + 1.7) with q = p - 1: what is left of the way is the second term.
        left = f"(clip((t-{layer.enter:.4f})*{FPS / ENTRANCE_FRAMES:.4f},0,1)-1)"
        y += f"-{RISE * height:.1f}*{left}*{left}*(2.7*{left}+1.7)"
    return x, y
