"""The captions' faces: which there are, what they can show, and how wide a text is in them."""

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anyascii import anyascii

_FOLDER = Path(__file__).parent / "faces"


def fonts_folder() -> Path:
    """The folder that holds all faces; libass takes one."""
    return _FOLDER


@dataclass(frozen=True, slots=True)
class Face:
    """A bundled face.

    Attributes:
        name: as libass knows it.
        file: in the fonts folder.
    """

    name: str
    file: str

    def covers(self, text: str) -> bool:
        """Whether it has a glyph for every character."""
        return self._tables.advances.keys() >= set(text)

    def width(self, text: str, size: float) -> float:
        """Pixels that a text takes at `size` pixels an em, as libass sets it: without kerning.

        Ligatures (fi, ff) make it a little narrower in fact, never wider. Characters without a glyph count nothing.
        """
        advances, per_em = self._tables.advances, self._tables.per_em
        return sum(advances.get(character, 0) for character in text) * size / per_em

    def ass_size(self, size: float) -> float:
        """The ASS font size that gives `size` pixels an em: libass scales the face's Windows ascent plus descent."""
        return size * self._tables.height / self._tables.per_em

    def cap_height(self, size: float) -> float:
        """Height of a capital letter in pixels at `size` pixels an em."""
        return size * self._tables.capital / self._tables.per_em

    @property
    def _tables(self) -> "_Tables":
        return _read(self.file)


FJALLA = Face("Fjalla One", "FjallaOne-Regular.ttf")
LATO = Face("Lato Black", "Lato-Black.ttf")
FREDOKA = Face("Fredoka One", "FredokaOne-Regular.ttf")
FACES = (FJALLA, LATO, FREDOKA)

_NAMED = re.compile(r":\w+:")
"""How anyascii spells a symbol that has a name and no letters."""


@functools.lru_cache(maxsize=4096)
def showable(text: str, face: Face) -> tuple[str, Face]:
    """What of a word can be shown, and in which face: never a box where a glyph is missing.

    Emoji and other signs without a glyph are left out, other scripts are spelt in Latin letters, so that no line ever
    mixes directions.
    """
    kept = "".join(character for character in unicodedata.normalize("NFC", text) if _is_text(character))
    for candidate in (face, *FACES):
        if candidate.covers(kept):
            return kept, candidate
    spelt = "".join(character if face.covers(character) else _spelt(character) for character in kept).strip()
    return "".join(character for character in spelt if face.covers(character)), face


def _is_text(character: str) -> bool:
    """Whether a character is one that people read, and neither a picture nor a control."""
    category = unicodedata.category(character)
    return category[0] not in "CZ" and (category != "So" or any(face.covers(character) for face in FACES))


def _spelt(character: str) -> str:
    letters = anyascii(character)
    return "" if _NAMED.fullmatch(letters) else letters


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a font file says, in its own units: advance widths by character, and heights."""

    advances: Mapping[str, int]
    per_em: int
    height: int
    capital: int


@functools.cache
def _read(file: str) -> _Tables:
    from fontTools.ttLib import TTFont

    with TTFont(_FOLDER / file, lazy=True) as font:
        advances = font["hmtx"].metrics
        windows = font["OS/2"]
        return _Tables(
            advances={chr(code): advances[glyph][0] for code, glyph in font.getBestCmap().items()},
            per_em=font["head"].unitsPerEm,
            height=windows.usWinAscent + windows.usWinDescent,
            capital=getattr(windows, "sCapHeight", 0) or font["glyf"]["H"].yMax,
        )
