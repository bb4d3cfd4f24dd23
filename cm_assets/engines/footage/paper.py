"""Backgrounds of cut paper: sheets one before another, each with its shadow."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from cm_assets.engines.footage.canvas import (
    TURN,
    Canvas,
    Moving,
    Picture,
    Plane,
    mix,
    numbers,
    ramp,
    stars,
    step,
    tinted,
)
from cm_assets.engines.footage.palettes import Colour, Palette


def _layers(
    canvas: Canvas, colours: Sequence[Colour], edges: Callable[[int, float], Plane], sky: Moving, shadow: float
) -> Moving:
    """Sheets of cut paper one before another, each with a shadow on the one behind it."""
    _, y = canvas.axes()
    inks = [np.asarray(colour, np.float32)[:, None, None] for colour in colours]

    def at(time: float) -> Picture:
        picture = sky(time)
        for number, ink in enumerate(inks):
            edge = edges(number, time)
            top = int(np.searchsorted(y, float(edge.min()) - 0.16))
            below = y[top:, None] - edge[None, :]
            dark = 1 - shadow * np.exp(np.minimum(below, 0) / 0.045)
            cover = np.clip(below * (canvas.unit / 1.4) + 0.5, 0, 1)
            # Paper is lit from above: a sheet is lighter at its edge.
            lit = cover * (1 + 0.16 * np.exp(np.minimum(-below, 0) / 0.16))
            part = picture[:, top:]
            part *= dark * (1 - cover)
            part += lit * ink
        return picture

    return at


def _ridge(x: Plane, place: float, *folds: tuple[float, float, float]) -> Plane:
    """A line from left to right: waves of an amplitude, a frequency and a phase around its place."""
    line = np.full_like(x, place)
    for amplitude, frequency, phase in folds:
        line += amplitude * np.sin(frequency * x + phase)
    return line


def waves(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """Layers of slow waves."""
    x, _ = canvas.axes()
    high = canvas.height / canvas.unit
    count = 5
    phase = [numbers(random, 0, TURN, 3) for _ in range(count)]
    sky = ramp(canvas, (mix(palette.bright, palette.accent, 0.25), palette.bright), (0, 0.55))
    colours = [mix(palette.bright, palette.mid, min(1.0, 0.35 + 0.3 * number)) for number in range(2)]
    colours += [mix(palette.mid, palette.deep, share) for share in (0.12, 0.5, 0.9)]

    def edges(number: int, time: float) -> Plane:
        place = high * (0.14 + 0.185 * number)
        way = 1 if number % 2 else -1
        turn = way * TURN * time
        rise = 0.012 * math.sin(phase[number][2] + TURN * time)
        return _ridge(x, place + rise, (0.075, 2.6, phase[number][0] + turn), (0.035, 5.3, phase[number][1] - turn))

    return _layers(canvas, colours, edges, lambda _: sky.copy(), 0.28)


def hills(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """Paper hills under a large pale sun."""
    x, y = canvas.axes()
    wide, high = canvas.width / canvas.unit, canvas.height / canvas.unit
    count = 4
    phase = [numbers(random, 0, TURN, 3) for _ in range(count)]
    air = ramp(
        canvas,
        (palette.mid, mix(palette.mid, palette.bright, 0.75), mix(palette.bright, palette.accent, 0.45)),
        (0, 0.42, 0.72),
    )
    sun_x, sun_y = canvas.focus[0] * wide, canvas.focus[1] * high
    distance = np.hypot(x[None, :] - sun_x, y[:, None] - sun_y)
    disc = step((0.36 - distance) * canvas.unit / 2.2)
    halo = np.exp(-np.clip(distance - 0.36, 0, None) / 0.22)
    colours = [mix(palette.bright, palette.mid, 0.55), palette.mid, mix(palette.mid, palette.deep, 0.5), palette.deep]

    def sky(time: float) -> Picture:
        breath = 0.12 + 0.012 * math.sin(TURN * time)
        return air + tinted(breath * halo + 0.2 * disc, palette.accent)

    def edges(number: int, time: float) -> Plane:
        place = high * (0.565 + 0.115 * number)
        drift = 0.03 * (number + 1) * math.sin(TURN * time)
        return _ridge(x + drift, place, (0.085, 2.1, phase[number][0]), (0.04, 4.9, phase[number][1]))

    return _layers(canvas, colours, edges, sky, 0.24)


def dusk(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """The sky after sunset, stars over dark ridges."""
    x, _ = canvas.axes()
    high = canvas.height / canvas.unit
    air = ramp(
        canvas,
        (mix(palette.deep, (0, 0, 0), 0.3), palette.deep, palette.mid, palette.bright, palette.accent),
        (0, 0.25, 0.55, 0.78, 0.9),
    )
    sparks = stars(canvas, random, 110, 0.6)
    phase = [numbers(random, 0, TURN, 3) for _ in range(3)]
    colours = [mix(palette.mid, palette.deep, share) for share in (0.35, 0.7, 1.0)]

    def edges(number: int, time: float) -> Plane:
        drift = 0.02 * (number + 1) * math.sin(TURN * time)
        first, second, third = phase[number]
        place = high * (0.72 + 0.1 * number)
        return _ridge(x + drift, place, (0.06, 3.1, first), (0.03, 7.7, second), (0.012, 17, third))

    return _layers(canvas, colours, edges, lambda time: air + sparks(time), 0.1)
