"""Captions as an ASS document, for libass to draw: three designs, and the spoken word in each."""

from collections.abc import Iterator, Sequence

from cm_assets.media.captions import DESIGNS, Cue, CueWord, Design
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
    pad, half = design.pad * cue.size, design.leading * cue.size / 2
    sides = [(line[0].x - line[0].width / 2 - pad, line[-1].x + line[-1].width / 2 + pad) for line in cue.lines]
    rows = [
        (left, line[0].y - half, right, line[0].y + half) for (left, right), line in zip(sides, cue.lines, strict=True)
    ]
    left, top = min(left for left, _ in sides), rows[0][1]
    paths = [_rounded(x0 - left, y0 - top, x1 - left, y1 - top, 0.28 * cue.size) for x0, y0, x1, y1 in rows]
    return _drawing(left, top, rf"\1c{_colour(INK)}\1a&H{PANEL_ALPHA:02X}&", " ".join(paths))


def _pill(word: CueWord, size: float, design: Design, highlight: str) -> str:
    half_width = word.width * design.growth(word.width, size) / 2 + design.pad * size
    half_height = PILL_HALF * size
    path = _rounded(0, 0, 2 * half_width, 2 * half_height, 0.36 * size)
    return _drawing(word.x - half_width, word.y - half_height, rf"\1c{_colour(highlight)}\fad(40,0)", path)


def _drawing(left: float, top: float, tags: str, path: str) -> str:
    return rf"{{\an7\pos({left:.1f},{top:.1f})\bord0\shad0{tags}\p1}}{path}{{\p0}}"


def _rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> str:
    """A rectangle with round corners, in ASS drawing commands."""
    radius = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    # 0.5523: how far the handles of a cubic curve reach that follows a quarter of a circle.
    bend = radius * (1 - 0.5523)
    return (
        f"m {x0 + radius:.1f} {y0:.1f} l {x1 - radius:.1f} {y0:.1f} "
        f"b {x1 - bend:.1f} {y0:.1f} {x1:.1f} {y0 + bend:.1f} {x1:.1f} {y0 + radius:.1f} "
        f"l {x1:.1f} {y1 - radius:.1f} b {x1:.1f} {y1 - bend:.1f} {x1 - bend:.1f} {y1:.1f} {x1 - radius:.1f} {y1:.1f} "
        f"l {x0 + radius:.1f} {y1:.1f} b {x0 + bend:.1f} {y1:.1f} {x0:.1f} {y1 - bend:.1f} {x0:.1f} {y1 - radius:.1f} "
        f"l {x0:.1f} {y0 + radius:.1f} b {x0:.1f} {y0 + bend:.1f} {x0 + bend:.1f} {y0:.1f} {x0 + radius:.1f} {y0:.1f}"
    )


def _event(layer: int, first_frame: int, end_frame: int, text: str) -> str:
    return f"Dialogue: {layer},{_time(first_frame)},{_time(end_frame)},Word,,0,0,0,,{text}"


def _time(frame: int) -> str:
    """Half a frame before a frame: ASS counts hundredths, and every frame must see one event of two that adjoin."""
    hundredths = max(0, round((frame - 0.5) * 100 / FPS))
    seconds, hundredths = divmod(hundredths, 100)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{hundredths:02d}"


def _escape(text: str) -> str:
    """Text that libass shows and does not obey. What opens a tag has no escape in every version, so it is replaced."""
    return text.replace("\\", "/").replace("{", "(").replace("}", ")").replace("\n", " ")


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
