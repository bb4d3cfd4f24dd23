"""Backgrounds of light: colours that melt, aurora, lights out of focus, beams, silk."""

import math

import numpy as np

from cm_assets.engines.footage.canvas import (
    TURN,
    Canvas,
    Moving,
    Picture,
    blobs,
    mix,
    numbers,
    ramp,
    stars,
    tinted,
    window,
)
from cm_assets.engines.footage.palettes import Palette


def mesh(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """Large colours that melt into each other."""
    x, y = canvas.axes()
    wide, high = canvas.width / canvas.unit, canvas.height / canvas.unit
    count = 7
    deep, mid, bright = palette.deep, palette.mid, palette.bright
    colours = np.asarray(
        [deep, mid, bright, mix(mid, bright, 0.5), deep, mid, mix(deep, palette.accent, 0.5)], np.float32
    )
    home_x = ((np.arange(count) * 0.618 + random.uniform()) % 1 * wide).astype(np.float32)
    home_y = ((np.arange(count) + random.uniform(0.2, 0.8, count)) / count * high).astype(np.float32)
    phase, reach = random.uniform(0, TURN, count), random.uniform(0.1, 0.2, count)
    direction = random.choice((-1.0, 1.0), count)
    radii = np.full(count, 0.34 * float(np.sqrt(wide * high)), np.float32)

    def at(time: float) -> Picture:
        turn = phase + direction * TURN * time
        place_x = (home_x + reach * np.cos(turn)).astype(np.float32)
        place_y = (home_y + reach * np.sin(turn)).astype(np.float32)
        weight = blobs(x, y, place_x, place_y, radii, np.ones((count, 3), np.float32))
        return blobs(x, y, place_x, place_y, radii, colours) / (weight + 1e-4)

    return at


def aurora(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """Curtains of light over a night sky."""
    x, y = canvas.axes()
    high = canvas.height / canvas.unit
    sky = ramp(
        canvas, (mix(palette.deep, (0, 0, 0), 0.35), palette.deep, mix(palette.deep, palette.mid, 0.75)), (0, 0.5, 1)
    )
    curtains = []
    for place, colour in (
        (0.3, palette.bright),
        (0.47, mix(palette.mid, palette.bright, 0.5)),
        (0.62, palette.accent),
    ):
        curtains.append((place * high, colour, numbers(random, 0, TURN, 4)))
    sparks = stars(canvas, random, 60, 0.55)

    def at(time: float) -> Picture:
        picture = sky + sparks(time)
        for place, colour, phase in curtains:
            fold = 0.11 * np.sin(2.3 * x + phase[0] + TURN * time) + 0.06 * np.sin(5.1 * x + phase[1] - TURN * time)
            streaks = (
                0.62 + 0.24 * np.sin(9 * x + phase[2] + TURN * time) + 0.14 * np.sin(23 * x + phase[3] - TURN * time)
            )
            below = y[:, None] - (place + fold)[None, :]
            glow = np.exp(-np.where(below > 0, below / 0.055, -below / 0.36)) * streaks[None, :]
            picture += tinted(0.52 * glow, colour)
        return picture

    return at


def bokeh(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """Lights out of focus."""
    x, y = canvas.axes()
    wide, high = canvas.width / canvas.unit, canvas.height / canvas.unit
    base = mesh(canvas, Palette(palette.deep, mix(palette.deep, palette.mid, 0.8), palette.mid, palette.mid), random)
    count = 20
    tints = [
        palette.bright,
        palette.accent,
        mix(palette.bright, palette.accent, 0.5),
        mix(palette.mid, palette.bright, 0.6),
    ]
    discs = [(numbers(random, 0, 1, 5), tints[index % len(tints)]) for index in range(count)]

    def at(time: float) -> Picture:
        picture = base(time)
        for (across, down, size, strength, start), colour in discs:
            phase, radius = start * TURN, 0.03 + 0.12 * size
            centre_x = across * wide + 0.05 * math.sin(phase + TURN * time)
            centre_y = down * high + 0.09 * math.cos(phase + TURN * time)
            soft = 0.012 + radius * 0.1
            columns, rows = window(x, centre_x, radius + soft), window(y, centre_y, radius + soft)
            distance = np.hypot(x[columns][None, :] - centre_x, y[rows][:, None] - centre_y)
            # A lens draws a light out of focus with a rim that is brighter than its middle.
            light = np.clip((radius - distance) / soft + 0.5, 0, 1) * (
                0.62 + 0.38 * np.clip(distance / radius, 0, 1) ** 3
            )
            breath = (0.09 + 0.21 * strength) * (0.8 + 0.2 * math.sin(2 * phase + TURN * time))
            picture[:, rows, columns] += tinted(breath * light, colour)
        return picture

    return at


def rays(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """Light from above that falls in broad beams."""
    x, y = canvas.axes()
    wide = canvas.width / canvas.unit
    source_x = float(random.choice((-0.12, 0.5, 1.12))) * wide
    dx, dy = x[None, :] - source_x, y[:, None] + 0.35
    angle = np.arctan2(dx, dy).astype(np.float32)
    distance = np.hypot(dx, dy).astype(np.float32)
    ground = ramp(canvas, (mix(palette.mid, palette.bright, 0.35), palette.mid, palette.deep), (0, 0.45, 1))
    fall = (np.exp(-distance / 1.15) * 1.15).astype(np.float32)
    counts = (*numbers(random, 5, 9, 1), *numbers(random, 13, 19, 1), *numbers(random, 27, 36, 1))
    phase = numbers(random, 0, TURN, len(counts))
    tint = mix(palette.bright, palette.accent, 0.5)
    table = np.linspace(-np.pi, np.pi, 1024, dtype=np.float32)
    index = np.clip((angle + np.pi) / (2 * np.pi) * 1023, 0, 1023).astype(np.int32)
    dust = stars(canvas, random, 34, 0.95)

    def at(time: float) -> Picture:
        beam = sum(
            share * np.sin(counts[number] * table + phase[number] + (1 if number % 2 else -1) * TURN * time)
            for number, share in enumerate((0.4, 0.3, 0.18))
        )
        light = (np.clip(0.3 + beam, 0, None) ** 1.3).astype(np.float32)[index] * fall
        return ground + tinted(0.62 * light, tint) + 0.35 * dust(time)

    return at


def silk(canvas: Canvas, palette: Palette, random: np.random.Generator) -> Moving:
    """Folds of cloth that move through the light."""
    x, y = canvas.axes()
    phase = numbers(random, 0, TURN, 4)
    lean = float(random.choice((-0.55, 0.55)))
    across = y[:, None] + lean * x[None, :] + 0.12 * np.sin(2.1 * x[None, :] + 1.4 * y[:, None] + phase[0])
    across = across + 0.05 * np.sin(4.3 * x[None, :] - 2.2 * y[:, None] + phase[1])
    low, span = float(across.min()), float(np.ptp(across))
    index = ((across - low) / span * 2047).astype(np.int32)
    table = np.linspace(0, span, 2048, dtype=np.float32)
    stops, colours = (
        (0, 0.35, 0.68, 1),
        (
            mix(palette.deep, palette.mid, 0.3),
            palette.mid,
            mix(palette.mid, palette.bright, 0.55),
            mix(palette.mid, palette.bright, 0.9),
        ),
    )

    def at(time: float) -> Picture:
        fold = (
            0.5
            + 0.3 * np.sin(4.4 * table + phase[2] + TURN * time)
            + 0.2 * np.sin(9.1 * table + phase[3] - TURN * time)
        )
        return np.stack([np.interp(fold, stops, [c[k] for c in colours]).astype(np.float32)[index] for k in range(3)])

    return at
