"""Moving backgrounds of the illustrated scenes: small, soft, and the last frame meets the first.

Each family is a function from a canvas and a palette to a function of time. Pictures are drawn at a fifth or a sixth of
the frame's size and scaled up when they are shown; nothing in them is finer than what survives that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cm_assets.engines.footage import lights, paper
from cm_assets.engines.footage.canvas import Canvas, Moving, Picture, Plane, step, tinted
from cm_assets.engines.footage.palettes import Palette

LOOP_SECONDS = 6
LOOP_FPS = 15
"""Slow motion of soft shapes needs no more; each picture is shown twice."""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of background.

    Attributes:
        draw: makes the function of time.
        shrink: how many times smaller than the frame it is drawn.
        stages: what suits it behind the main illustration.
        alone: whether there is enough in it to look at without illustrations.
    """

    draw: Callable[[Canvas, Palette, np.random.Generator], Moving]
    shrink: int
    stages: tuple[str, ...]
    alone: bool = True


FAMILIES: Mapping[str, Family] = {
    "mesh": Family(lights.mesh, 6, ("disc", "rings", "glow"), alone=False),
    "aurora": Family(lights.aurora, 6, ("glow",)),
    "bokeh": Family(lights.bokeh, 6, ("glow", "rings")),
    "rays": Family(lights.rays, 6, ("glow",)),
    "waves": Family(paper.waves, 5, ("glow",)),
    "hills": Family(paper.hills, 5, ("none",)),
    "dusk": Family(paper.dusk, 5, ("glow", "rings")),
    "silk": Family(lights.silk, 6, ("disc", "glow")),
}
"""By name."""


def frames(family: str, canvas: Canvas, palette: Palette, seed: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The pictures of one loop in order, shape (3, height, width)."""
    random = np.random.default_rng(seed)
    moving = FAMILIES[family].draw(canvas, palette, random)
    shade, light = _stage(canvas, palette)
    # Rounding an even gradient makes steps that are seen; rounding it with noise does not. The same noise in each
    # frame costs the encoder nothing.
    grain = random.uniform(0, 1, (canvas.height, canvas.width)).astype(np.float32)
    count = LOOP_SECONDS * LOOP_FPS
    for index in range(count):
        picture = moving(index / count) * shade + light
        yield np.clip(picture * 255 + grain, 0, 255).astype(np.uint8)


def _stage(canvas: Canvas, palette: Palette) -> tuple[Plane, Picture]:
    """What every family is multiplied with, for quiet corners, and what is added: light behind the main one."""
    x, y = canvas.axes()
    wide, high = canvas.width / canvas.unit, canvas.height / canvas.unit
    focus_x, focus_y = canvas.focus[0] * wide, canvas.focus[1] * high
    away = np.hypot((x[None, :] - wide / 2) / wide, (y[:, None] - high / 2) / high)
    shade = 1 - 0.38 * np.clip(away / 0.72, 0, 1) ** 2.4
    foot = np.clip((y[:, None] / high - 0.5) / 0.4, 0, 1)
    shade = shade * (1 - 0.22 * foot * foot * (3 - 2 * foot))
    distance = np.hypot(x[None, :] - focus_x, y[:, None] - focus_y)
    light = 0.26 * np.exp(-((distance / 0.34) ** 2))
    edge = 1.6 / canvas.unit
    if canvas.stage == "disc":
        light = 0.12 * light + 0.15 * step((0.385 - distance) / edge) + 0.07 * step((0.5 - distance) / edge)
    elif canvas.stage == "rings":
        ring = sum(
            strength * np.exp(-(((distance - radius) / 0.0055) ** 2))
            for radius, strength in ((0.36, 0.34), (0.47, 0.2), (0.6, 0.12))
        )
        light = 0.75 * light + ring
    elif canvas.stage == "none":
        light = light * 0
    return shade.astype(np.float32), tinted(light, palette.accent)
