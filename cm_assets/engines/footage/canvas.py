"""What backgrounds are drawn on and with: places in units of the shorter side, gradients, soft lights, stars."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cm_assets.engines.footage.palettes import Colour

Plane = npt.NDArray[np.float32]
"""Shape (height, width)."""
Picture = npt.NDArray[np.float32]
"""Shape (3, height, width): red, green, blue, 0 to 1. Channels first: numpy is slow where the last axis is short."""
Moving = Callable[[float], Picture]
"""A picture at a time from 0 to 1; all motion in it has whole periods, so that the end meets the start."""

TURN = 2 * math.pi


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is drawn on.

    Attributes:
        width, height: pixels.
        focus: where the main illustration will be, in shares of width and height.
        stage: what is behind it: `glow`, `disc`, `rings` or `none`.
    """

    width: int
    height: int
    focus: tuple[float, float]
    stage: str

    @property
    def unit(self) -> float:
        """The shorter side: what sizes are measured in."""
        return float(min(self.width, self.height))

    def axes(self) -> tuple[Plane, Plane]:
        """Columns' and rows' places in units, from the top left corner."""
        x = (np.arange(self.width, dtype=np.float32) + 0.5) / self.unit
        y = (np.arange(self.height, dtype=np.float32) + 0.5) / self.unit
        return x, y


def numbers(random: np.random.Generator, low: float, high: float, count: int) -> list[float]:
    """Plain floats: numpy's own scalars would widen every array that they touch."""
    return [float(value) for value in random.uniform(low, high, count)]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """A colour between two."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def tinted(light: Plane, colour: Colour) -> Picture:
    """Light of one colour."""
    ink = np.asarray(colour, np.float32)[:, None, None]
    return ink * light.astype(np.float32, copy=False)


def step(value: Plane) -> Plane:
    """0 below an edge, 1 above it, and smooth over a pixel: `value` is in pixels."""
    covered: Plane = np.clip(value + 0.5, 0, 1)
    return covered


def window(places: Plane, centre: float, reach: float) -> slice:
    """The indices of the places that lie within `reach` of a centre."""
    first, last = np.searchsorted(places, (centre - reach, centre + reach))
    return slice(int(first), int(last))


def ramp(canvas: Canvas, colours: Sequence[Colour], stops: Sequence[float]) -> Picture:
    """A vertical gradient; `stops` are shares of the height."""
    y = np.linspace(0, 1, canvas.height)
    columns = [np.interp(y, stops, [colour[channel] for colour in colours]) for channel in range(3)]
    gradient = np.stack(columns).astype(np.float32)
    return np.repeat(gradient[:, :, None], canvas.width, axis=2)


def _bells(places: Plane, centres: Plane, radii: Plane) -> Plane:
    away = (places[None, :] - centres[:, None]) / radii[:, None]
    bells: Plane = np.exp(-away * away).astype(np.float32)
    return bells


def blobs(x: Plane, y: Plane, centre_x: Plane, centre_y: Plane, radii: Plane, colours: Plane) -> Picture:
    """Sum of round soft lights; the exponential of a sum of squares is a product of a row and a column."""
    rows, columns = _bells(y, centre_y, radii), _bells(x, centre_x, radii)
    return np.stack([(rows * colours[:, channel, None]).T @ columns for channel in range(3)])


def stars(canvas: Canvas, random: np.random.Generator, count: int, lowest: float) -> Callable[[float], Plane]:
    """Points that twinkle, in the upper `lowest` share of the picture."""
    rows = (random.uniform(0.01, lowest, count) * canvas.height).astype(int)
    columns = random.integers(1, canvas.width - 2, count)
    strength, phase = random.uniform(0.12, 0.75, count) ** 1.5, random.uniform(0, TURN, count)
    speed = random.integers(1, 4, count)

    def at(time: float) -> Picture:
        picture = np.zeros((canvas.height, canvas.width), np.float32)
        light = (strength * (0.62 + 0.38 * np.sin(phase + speed * TURN * time))).astype(np.float32)
        for row, column, share in ((0, 0, 1.0), (0, 1, 0.35), (1, 0, 0.35), (0, -1, 0.35), (-1, 0, 0.35)):
            np.add.at(picture, ((rows + row) % canvas.height, columns + column), light * share)
        return picture

    return at
