"""Where the illustrations of a scene lie: templates by orientation, each with depth and room for the captions.

Captions run from about 60 to 78 % of the height, so the main illustration stays above 56 %; what lies lower is out of
focus and at the edges.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Depth = Literal["hero", "near", "far", "front"]
"""`near`: sharp beside the main one; `far`: soft, small and hazy behind it; `front`: large, out of focus before it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place for one illustration.

    Attributes:
        depth: how it is drawn.
        x, y: of its centre, shares of width and height.
        size: share of the frame's shorter side.
    """

    depth: Depth
    x: float
    y: float
    size: float


@dataclass(frozen=True, slots=True)
class Template:
    """An arrangement, the main illustration first, the others in the order in which they are filled."""

    name: str
    places: tuple[Place, ...]

    @property
    def hero(self) -> Place:
        """Where the main illustration lies."""
        return self.places[0]

    def mirrored(self) -> "Template":
        """The same from the other side."""
        return Template(self.name, tuple(replace(place, x=1 - place.x) for place in self.places))


def _template(name: str, *places: tuple[Depth, float, float, float]) -> Template:
    return Template(name, tuple(Place(*place) for place in places))


def _orbit(x: float, y: float, size: float, radius: float, small: float, aspect: float) -> Template:
    """Small ones on the ring that the background draws; `aspect` is width / height."""
    wide, high = max(aspect, 1.0), max(1 / aspect, 1.0)
    places: list[Place] = [Place("hero", x, y, size)]
    for angle in (-38, 142, 38, 218, -90):
        turn = math.radians(angle)
        places.append(Place("near", x + radius * math.cos(turn) / wide, y + radius * math.sin(turn) / high, small))
    return Template("orbit", (*places[:5], Place("front", 0.03, 0.93, 0.28), Place("far", 0.93, 0.07, 0.11)))


TEMPLATES: Mapping[str, tuple[Template, ...]] = {
    "portrait": (
        _template(
            "float",
            ("hero", 0.50, 0.355, 0.53),
            ("near", 0.83, 0.205, 0.20),
            ("near", 0.165, 0.185, 0.17),
            ("near", 0.86, 0.505, 0.15),
            ("far", 0.12, 0.475, 0.12),
            ("front", 0.03, 0.925, 0.30),
            ("front", 0.99, 0.865, 0.24),
        ),
        _template(
            "lean",
            ("hero", 0.415, 0.37, 0.54),
            ("near", 0.80, 0.215, 0.24),
            ("near", 0.845, 0.49, 0.17),
            ("far", 0.17, 0.155, 0.13),
            ("front", 1.0, 0.90, 0.32),
            ("far", 0.53, 0.115, 0.09),
        ),
        _template(
            "pair",
            ("hero", 0.385, 0.315, 0.46),
            ("near", 0.70, 0.465, 0.33),
            ("near", 0.82, 0.215, 0.16),
            ("far", 0.13, 0.50, 0.13),
            ("front", 0.02, 0.92, 0.28),
            ("far", 0.60, 0.125, 0.09),
        ),
        _template(
            "arc",
            ("hero", 0.50, 0.405, 0.50),
            ("near", 0.82, 0.225, 0.18),
            ("near", 0.18, 0.225, 0.18),
            ("near", 0.50, 0.145, 0.17),
            ("front", 0.01, 0.885, 0.26),
            ("front", 1.0, 0.93, 0.30),
        ),
        _orbit(0.5, 0.35, 0.42, 0.415, 0.175, 1080 / 1920),
    ),
    "landscape": (
        _template(
            "float",
            ("hero", 0.50, 0.345, 0.46),
            ("near", 0.715, 0.25, 0.22),
            ("near", 0.275, 0.27, 0.20),
            ("near", 0.70, 0.54, 0.14),
            ("far", 0.31, 0.55, 0.12),
            ("far", 0.87, 0.40, 0.13),
            ("front", 0.05, 0.86, 0.34),
        ),
        _template(
            "lean",
            ("hero", 0.37, 0.35, 0.47),
            ("near", 0.605, 0.265, 0.26),
            ("near", 0.715, 0.49, 0.19),
            ("near", 0.805, 0.215, 0.15),
            ("far", 0.155, 0.23, 0.13),
            ("front", 0.97, 0.84, 0.36),
            ("far", 0.18, 0.52, 0.10),
        ),
        _template(
            "pair",
            ("hero", 0.425, 0.325, 0.43),
            ("near", 0.605, 0.44, 0.30),
            ("near", 0.745, 0.24, 0.18),
            ("near", 0.225, 0.30, 0.16),
            ("far", 0.285, 0.545, 0.11),
            ("front", 0.03, 0.85, 0.32),
            ("far", 0.87, 0.45, 0.11),
        ),
        _template(
            "row",
            ("hero", 0.50, 0.345, 0.46),
            ("near", 0.245, 0.365, 0.27),
            ("near", 0.755, 0.365, 0.27),
            ("far", 0.385, 0.10, 0.10),
            ("far", 0.615, 0.10, 0.10),
            ("front", 0.99, 0.88, 0.34),
            ("front", 0.02, 0.90, 0.28),
        ),
        _orbit(0.5, 0.335, 0.34, 0.33, 0.15, 1920 / 1080),
    ),
    "square": (
        _template(
            "float",
            ("hero", 0.50, 0.35, 0.43),
            ("near", 0.83, 0.19, 0.18),
            ("near", 0.165, 0.20, 0.16),
            ("near", 0.855, 0.51, 0.13),
            ("far", 0.12, 0.51, 0.11),
            ("front", 0.03, 0.94, 0.26),
        ),
        _template(
            "lean",
            ("hero", 0.40, 0.345, 0.44),
            ("near", 0.76, 0.215, 0.21),
            ("near", 0.80, 0.485, 0.16),
            ("far", 0.13, 0.15, 0.11),
            ("front", 1.0, 0.94, 0.28),
        ),
        _template(
            "pair",
            ("hero", 0.385, 0.315, 0.40),
            ("near", 0.685, 0.435, 0.27),
            ("near", 0.81, 0.175, 0.15),
            ("far", 0.13, 0.52, 0.11),
            ("front", 0.02, 0.95, 0.26),
        ),
        _orbit(0.5, 0.345, 0.33, 0.325, 0.145, 1.0),
    ),
}
"""By orientation."""


def templates(width: int, height: int) -> Sequence[Template]:
    """The arrangements for a frame of this shape."""
    if width > 1.2 * height:
        return TEMPLATES["landscape"]
    return TEMPLATES["portrait" if height > 1.2 * width else "square"]
