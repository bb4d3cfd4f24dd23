"""The captions' faces: which there are, what they can show, and how wide a text is in them."""

import functools
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        return all(ord(character) in _characters(self.file) for character in text)

    def width(self, text: str, size: float) -> float:
        """Pixels that a text takes at `size` pixels an em, as libass sets it."""
        # Measured large and scaled down, so that no rounding to whole pixels adds up.
        return float(_measure(self.file).getlength(text)) * size / _MEASURE

    def ass_size(self, size: float) -> float:
        """The ASS font size that gives `size` pixels an em: libass scales the face's Windows ascent plus descent."""
        per_em, ascent, descent, _ = _metrics(self.file)
        return size * (ascent + descent) / per_em

    def cap_height(self, size: float) -> float:
        """Height of a capital letter in pixels at `size` pixels an em."""
        per_em, _, _, capital = _metrics(self.file)
        return size * capital / per_em


FJALLA = Face("Fjalla One", "FjallaOne-Regular.ttf")
LATO = Face("Lato Black", "Lato-Black.ttf")
FREDOKA = Face("Fredoka One", "FredokaOne-Regular.ttf")
FACES = (FJALLA, LATO, FREDOKA)

_MEASURE = 200


def showable(text: str, face: Face) -> tuple[str, Face]:
    """What of a word can be shown, and in which face: never a box where a glyph is missing.

    Emoji and other signs without a glyph are left out, other scripts are spelt in Latin letters.
    """
    kept = "".join(character for character in unicodedata.normalize("NFC", text) if _is_text(character))
    for candidate in (face, *FACES):
        if candidate.covers(kept):
            return kept, candidate
    spelt = "".join(character if face.covers(character) else anyascii(character) for character in kept)
    return "".join(character for character in spelt if face.covers(character)), face


def _is_text(character: str) -> bool:
    """Whether a character is one that people read, and neither a picture nor a control."""
    category = unicodedata.category(character)
    return category[0] not in "CZ" and (category != "So" or any(face.covers(character) for face in FACES))


@functools.cache
def _open(file: str) -> Any:
    from fontTools.ttLib import TTFont

    return TTFont(_FOLDER / file, lazy=True)


@functools.cache
def _characters(file: str) -> frozenset[int]:
    return frozenset(_open(file).getBestCmap())


@functools.cache
def _metrics(file: str) -> tuple[int, int, int, int]:
    font = _open(file)
    os2 = font["OS/2"]
    capital = getattr(os2, "sCapHeight", 0) or font["glyf"]["H"].yMax
    return font["head"].unitsPerEm, os2.usWinAscent, os2.usWinDescent, capital


@functools.cache
def _measure(file: str) -> Any:
    from PIL import ImageFont

    # Without kerning, in whole glyphs: each word is placed by itself, so only its own width matters.
    return ImageFont.truetype(str(_FOLDER / file), _MEASURE, layout_engine=ImageFont.Layout.BASIC)
