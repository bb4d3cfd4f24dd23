"""Draws one illustration as it lies in a scene: at its size, turned, soft or sharp, with its shadow."""

import io
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from cm_assets.engines.footage.palettes import Colour

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Look:
    """How an illustration is drawn.

    Attributes:
        size: of the illustration, pixels; the picture around it is larger, for its shadow or blur.
        turn: degrees, counter-clockwise.
        blur: pixels; 0 is sharp.
        shadow: strength of its shadow, 0 to 1.
        haze: share of `tint` that it is mixed with, as things far away are.
        tint: colour of shadow and haze.
        opacity: 0 to 1.
    """

    size: int
    turn: float
    blur: float
    shadow: float
    haze: float
    tint: Colour
    opacity: float = 1


@lru_cache(maxsize=64)
def _original(code: str) -> "Image.Image":
    from PIL import Image

    file = resources.files("cm_assets.engines.footage") / "data" / "fluent" / f"{code}.webp"
    picture = Image.open(io.BytesIO(file.read_bytes()), formats=["WEBP"]).convert("RGBA")
    return picture.crop(picture.getbbox() or (0, 0, *picture.size))


def draw(code: str, look: Look) -> bytes:
    """A PNG with alpha, sides even, the illustration in its middle."""
    from PIL import Image, ImageFilter

    original = _original(code)
    share = look.size / max(original.size)
    size = (max(2, round(original.width * share)), max(2, round(original.height * share)))
    picture = original.convert("RGBa")  # premultiplied: edges keep their colour when they are resized
    if look.turn:
        picture = picture.rotate(look.turn, Image.Resampling.BICUBIC, expand=True)
        size = (round(picture.width * share), round(picture.height * share))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    if share > 1 and not look.blur:
        # 256 px enlarged twice is a little soft; a wide, weak mask brings the edges back without halos.
        sharp = picture.convert("RGBA")
        colours = sharp.convert("RGB").filter(ImageFilter.UnsharpMask(radius=1.6 * share, percent=55, threshold=1))
        picture = Image.merge("RGBA", (*colours.split(), sharp.getchannel("A"))).convert("RGBa")
    margin = round(look.size * 0.16 if look.shadow else 0) + round(2.2 * look.blur) + 2
    whole = Image.new("RGBa", (_even(size[0] + 2 * margin), _even(size[1] + 2 * margin)))
    corner = ((whole.width - size[0]) // 2, (whole.height - size[1]) // 2)
    whole.paste(picture, corner)
    if look.blur:
        whole = _soft(whole, look.blur)
    result = whole.convert("RGBA")
    ink = tuple(round(channel * 255) for channel in look.tint)
    if look.haze:
        result.paste(Image.blend(result.convert("RGB"), Image.new("RGB", result.size, ink), look.haze), (0, 0))
        result.putalpha(whole.getchannel("a"))
    if look.opacity < 1:
        result.putalpha(result.getchannel("A").point(lambda value: round(value * look.opacity)))
    dark = tuple(round(channel * 0.35) for channel in ink)
    ground = Image.new("RGBA", result.size, (*dark, 0))
    if look.shadow:
        ground.putalpha(_shadow(result.getchannel("A"), look))
    # Where nothing is drawn the colour still counts: four pixels share their chroma, and edges would turn black.
    ground.alpha_composite(result)
    out = io.BytesIO()
    ground.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _shadow(alpha: "Image.Image", look: Look) -> "Image.Image":
    """Two shadows: a near one that grounds it, and a wide one below that lifts it off the background."""
    from PIL import Image, ImageChops, ImageFilter

    small = alpha.resize((max(1, alpha.width // 4), max(1, alpha.height // 4)), Image.Resampling.BOX)
    drop = round(look.size * 0.055 / 4)
    wide = ImageChops.offset(small.filter(ImageFilter.GaussianBlur(look.size * 0.045 / 4)), 0, drop)
    near = ImageChops.offset(small.filter(ImageFilter.GaussianBlur(look.size * 0.016 / 4)), 0, drop // 3)
    both = ImageChops.add(
        wide.point(lambda v: round(v * look.shadow)), near.point(lambda v: round(v * look.shadow * 0.4))
    )
    return both.resize(alpha.size, Image.Resampling.BICUBIC)


def _soft(picture: "Image.Image", blur: float) -> "Image.Image":
    """A Gaussian blur, made small where it is wide: the eye sees no difference and it costs a fraction."""
    from PIL import Image, ImageFilter

    shrink = max(1, int(blur / 3))
    small = picture.resize((-(-picture.width // shrink), -(-picture.height // shrink)), Image.Resampling.BOX)
    bands = [band.filter(ImageFilter.GaussianBlur(blur / shrink)) for band in small.split()]
    return Image.merge("RGBa", bands).resize(picture.size, Image.Resampling.BICUBIC)


def _even(length: int) -> int:
    return length + length % 2
