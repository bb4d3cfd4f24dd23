"""Captions as an ASS document, for libass to draw: three designs, and the spoken word in each."""

import math
from collections.abc import Iterator, Sequence

from cm_assets.media.captions import LOOK_ALIKES, Cue, CueWord
from cm_assets.media.designs import DESIGNS, Design
from cm_assets.models.base import FPS
from cm_assets.models.request import Captions

HIGHLIGHTS = {"bold": "#FFD60A", "clean": "#43E8A8", "playful": "#FF3D81"}
"""Each style's colour for the word that is being spoken."""

WHITE = "#FFFFFF"
BLACK = "#000000"
INK = "#101014"
PLUM = "#2A1440"

POP_MS = 90
"""How long a word grows, and how long it settles."""

PANEL_ALPHA = 0x38
"""Transparency of the box behind the lines: a fifth shines through."""

PILL_HALF = 0.62
"""Half the height of a pill in ems."""


_STYLE_FORMAT = (
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
    "MarginR, MarginV, Encoding"
)


def document(
    cues: Sequence[Cue], *, first_frame: int, frames: int, captions: Captions, width: int, height: int
) -> str | None:
    """The captions of a stretch of the video, in the video's own time.

    Args:
        cues: of the whole video.
        first_frame: where the stretch starts.
        frames: how long it is.
        captions: the style.
        width: of the frame, pixels.
        height: of the frame, pixels.

    Returns:
        An ASS document with every cue that is seen in the stretch; None if there is none, or the style is `none`.
    """
    if captions.style == "none":
        return None
    seen = [
        cue for cue in cues if cue.first_frame < first_frame + frames and first_frame < cue.first_frame + cue.frames
    ]
    events = [event for cue in seen for event in _events(cue, captions)]
    if not events:
        return None
    return "\n".join([*_head(width, height), *events, ""])


def _head(width: int, height: int) -> list[str]:
    return [
        "[Script Info]",
        "ScriptType: v4.00+",
        f"PlayResX: {width}",
        f"PlayResY: {height}",
        "ScaledBorderAndShadow: yes",
        "WrapStyle: 2",
        "YCbCr Matrix: None",
        "",
        "[V4+ Styles]",
        _STYLE_FORMAT,
        "Style: Word,Lato Black,40,&H00FFFFFF,&H00FFFFFF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,0,0,5,0,0,0,1",
        "",
        "[Events]",
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
    ]


def _events(cue: Cue, captions: Captions) -> Iterator[str]:
    design = DESIGNS[captions.style]
    highlight = captions.highlight or HIGHLIGHTS[captions.style]
    end = cue.first_frame + cue.frames
    if captions.style == "clean" and cue.lines:
        yield _event(0, cue.first_frame, end, _panel(cue, design))
    for word in (word for line in cue.lines for word in line):
        spoken, over = word.first_frame, max(word.end_frame, word.first_frame)
        calm = _word(word, cue.size, design, captions.style, None)
        if spoken > cue.first_frame:
            yield _event(2, cue.first_frame, spoken, calm)
        if over > spoken:
            if captions.style == "playful":
                yield _event(1, spoken, over, _pill(word, cue.size, design, highlight))
            yield _event(3, spoken, over, _word(word, cue.size, design, captions.style, highlight))
        if end > over:
            yield _event(2, over, end, calm)


def _word(word: CueWord, size: float, design: Design, style: str, highlight: str | None) -> str:
    fill, ring = WHITE, PLUM if style == "playful" else BLACK
    if highlight is not None:
        fill = highlight if style != "playful" else _against(highlight)
        # Whichever colour is asked for, its letters stand out from what surrounds them.
        ring = _against(highlight) if style != "playful" else _darker(highlight)
    tags = [
        rf"\an5\pos({word.x:.1f},{word.y:.1f})\fn{word.face.name}\fs{word.face.ass_size(size):.2f}",
        rf"\1c{_colour(fill)}\3c{_colour(ring)}",
    ]
    outline = design.outline * size
    if style == "clean" and highlight is not None and _against(highlight) == WHITE:
        outline = 0.05 * size
    if style == "playful" and highlight is not None and fill == INK:
        outline = 0
    if outline:
        tags.append(rf"\bord{outline:.1f}\blur0.6")
    if design.shadow:
        tags.append(rf"\4c{_colour(BLACK)}\4a&H60&\shad{design.shadow * size:.1f}")
    grown = round(100 * design.growth(word.width, size))
    if highlight is not None and grown > 100:
        # It starts a little small, overshoots what it keeps, and settles: a pop that ends within six frames.
        settled = (100 + grown) // 2
        tags.append(rf"\fscx94\fscy94\t(0,{POP_MS},\fscx{grown}\fscy{grown})")
        tags.append(rf"\t({POP_MS},{2 * POP_MS},\fscx{settled}\fscy{settled})")
    return "{" + "".join(tags) + "}" + _escape(word.text)


def _panel(cue: Cue, design: Design) -> str:
    """The box behind all lines: one shape, so that nothing shows through twice where two lines' boxes meet."""
    pad, half, radius = design.pad * cue.size, design.leading * cue.size / 2, 0.28 * cue.size
    middle = (cue.lines[0][0].x - cue.lines[0][0].width / 2 + cue.lines[0][-1].x + cue.lines[0][-1].width / 2) / 2
    reaches = [line[-1].x + line[-1].width / 2 + pad - middle for line in cue.lines]
    if max(reaches) - min(reaches) < 2 * radius:
        # A step too small for two round corners looks like a mistake.
        reaches = [max(reaches)] * len(reaches)
    widest, top = max(reaches), cue.lines[0][0].y - half
    right: list[tuple[float, float]] = []
    for row, reach in enumerate(reaches):
        y = row * 2 * half
        if not right or right[-1][0] != widest + reach:
            right.append((widest + reach, y))
            if row:
                right.insert(-1, (widest + reaches[row - 1], y))
    right.append((widest + reaches[-1], len(reaches) * 2 * half))
    left = [(2 * widest - x, y) for x, y in reversed(right)]
    tags = rf"\1c{_colour(INK)}\1a&H{PANEL_ALPHA:02X}&"
    return _drawing(middle - widest, top, tags, _rounded([*right, *left], radius))


def _pill(word: CueWord, size: float, design: Design, highlight: str) -> str:
    half_width = word.width * design.growth(word.width, size) / 2 + design.pad * size
    half_height = PILL_HALF * size
    corners = [(0.0, 0.0), (2 * half_width, 0.0), (2 * half_width, 2 * half_height), (0.0, 2 * half_height)]
    tags = rf"\1c{_colour(highlight)}\fad(40,0)"
    return _drawing(word.x - half_width, word.y - half_height, tags, _rounded(corners, 0.36 * size))


def _drawing(left: float, top: float, tags: str, path: str) -> str:
    return rf"{{\an7\pos({left:.1f},{top:.1f})\bord0\shad0{tags}\p1}}{path}{{\p0}}"


def _rounded(corners: Sequence[tuple[float, float]], radius: float) -> str:
    """A polygon with round corners, in ASS drawing commands."""
    path: list[str] = []
    for number, (x, y) in enumerate(corners):
        sides = []
        for other_x, other_y in (corners[number - 1], corners[(number + 1) % len(corners)]):
            length = math.hypot(other_x - x, other_y - y)
            share = min(radius, length / 2) / length
            sides.append((x + (other_x - x) * share, y + (other_y - y) * share))
        # 0.5523: how far the handles of a cubic curve reach that follows a quarter of a circle.
        handles = [(side_x + (x - side_x) * 0.5523, side_y + (y - side_y) * 0.5523) for side_x, side_y in sides]
        points = " ".join(f"{at_x:.1f} {at_y:.1f}" for at_x, at_y in (*handles, sides[1]))
        path.append(f"{'l' if path else 'm'} {sides[0][0]:.1f} {sides[0][1]:.1f} b {points}")
    return " ".join(path)


def _event(layer: int, first_frame: int, end_frame: int, text: str) -> str:
    return f"Dialogue: {layer},{_time(first_frame)},{_time(end_frame)},Word,,0,0,0,,{text}"


def _time(frame: int) -> str:
    """Half a frame before a frame: ASS counts hundredths, and every frame must see one event of two that adjoin."""
    hundredths = max(0, round((frame - 0.5) * 100 / FPS))
    seconds, hundredths = divmod(hundredths, 100)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{hundredths:02d}"


def _escape(text: str) -> str:
    """Text that libass shows and does not obey, wherever the cue came from."""
    return " ".join(text.translate(LOOK_ALIKES).split())


def _colour(colour: str) -> str:
    """`#RRGGBB` as ASS writes it, blue first."""
    return f"&H{colour[5:7]}{colour[3:5]}{colour[1:3]}&".upper()


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _darker(colour: str) -> str:
    return "#" + "".join(f"{round(channel * 0.45):02X}" for channel in _channels(colour))


def _against(colour: str) -> str:
    """White or ink, whichever is told from the colour at a glance: by its ITU-R BT.709 luma."""
    red, green, blue = _channels(colour)
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 128 else WHITE
