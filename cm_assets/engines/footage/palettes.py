"""Colours of the illustrated scenes: curated sets of four per mood, dark enough for white captions."""

from collections.abc import Mapping
from dataclasses import dataclass

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Four colours that look good together, dark to light.

    Attributes:
        deep: shadows and edges.
        mid: most of the picture.
        bright: moving light.
        accent: glow behind the main illustration, in small doses.
    """

    deep: Colour
    mid: Colour
    bright: Colour
    accent: Colour


def _palette(colours: str) -> Palette:
    deep, mid, bright, accent = (
        (int(code[0:2], 16) / 255, int(code[2:4], 16) / 255, int(code[4:6], 16) / 255) for code in colours.split()
    )
    return Palette(deep, mid, bright, accent)


PALETTES: Mapping[str, tuple[Palette, ...]] = {
    mood: tuple(map(_palette, colours))
    for mood, colours in {
        "calm": (
            "0b1f3a 16527a 2aa6a1 8be0d0",
            "141a3c 31439b 6d7ff0 b8c7ff",
            "0d2b2c 1c6459 4fae8c c9efcf",
            "1c1b3a 4b3f8f 9a7bd6 e2c8ff",
            "102a43 2b628f 5fa8d3 cae9ff",
        ),
        "energetic": (
            "1a0b3d 5b1fb5 ff3d81 ffb347",
            "0a1445 2346d8 12c2e9 c471f5",
            "2b0a2e 9c1e5b ff5f45 ffc15e",
            "071a3a 0d47a1 00b4f0 7cffcb",
            "20083f 6a11cb 2f7bff ff6ec4",
        ),
        "happy": (
            "0f3d5c 1b86b0 35c9b5 ffe27a",
            "4a1a66 b03080 ff7e67 ffd56b",
            "123c69 2b74d0 62bcf5 ffe9a8",
            "0c4a4e 14867a 66c95a fff09a",
            "3d1d7a 8040cc f078b0 ffd0a6",
        ),
        "nostalgic": (
            "2b1a2f 6d3350 d1745a f6c887",
            "1f2433 4b4f72 c08497 f7d9c4",
            "2d1b14 7a3f25 cf8446 f3d9a4",
            "16302e 3d655a a8985a f0deb0",
            "231942 5e548e b088bc e8c7d8",
        ),
        "tender": (
            "3a1530 8c3764 e0799b ffd3d3",
            "2a1f4e 6a55a8 c08ad8 ffdcee",
            "1e2a4a 4c6aa8 8eb0e4 ffe4dc",
            "40202c 9a4f5a e39a86 ffe0c2",
            "173540 3c7a86 7ebfb6 ffe7cf",
        ),
    }.items()
}
"""By the mood of the music."""


def palettes(mood: str) -> tuple[Palette, ...]:
    """The palettes of a mood; those of `calm` for one that is unknown."""
    return PALETTES.get(mood, PALETTES["calm"])
