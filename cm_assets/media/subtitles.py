r"""Captions as files for players: SubRip and WebVTT, with the words of the script as they are.

SubRip knows no escape: an arrow would be read as times, `<b>` and `{\b1}` would be obeyed. These are spelt with
look-alikes; all other text is kept.
"""

import html
import re
from collections.abc import Iterator, Sequence

from cm_assets.media.captions import Cue
from cm_assets.models.base import FPS

_TAG = re.compile(r"<(?=[/a-z])", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{(?=\\)")


def srt(cues: Sequence[Cue]) -> str:
    """SubRip: numbered blocks, times with commas."""
    blocks: list[str] = []
    for cue in cues:
        text = " ".join(word for word, _ in _words(cue)).replace("-->", "\N{RIGHTWARDS ARROW}")
        text = _OVERRIDE.sub("(", _TAG.sub("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}", text))
        if text:
            blocks.append(f"{len(blocks) + 1}\n{_times(cue, ',')}\n{text}\n")
    return "\n".join(blocks)


def vtt(cues: Sequence[Cue]) -> str:
    """WebVTT, with the time of each word as far as it differs from the word's before it."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        text, last = "", cue.first_frame
        for word, start in _words(cue):
            space = " " if text else ""
            stamp = f"<{_time(start, '.')}>" if start > last else ""
            text += space + stamp + html.escape(word, quote=False)
            last = max(last, start)
        if text:
            blocks.append(f"{_times(cue, '.')}\n{text}\n")
    return "\n".join(blocks)


def _words(cue: Cue) -> Iterator[tuple[str, int]]:
    for word, start in zip(cue.words, cue.starts, strict=True):
        # Split again: an empty line, or what some reader takes for one, would end the text.
        if kept := " ".join(word.split()):
            yield kept, start


def _times(cue: Cue, point: str) -> str:
    return f"{_time(cue.first_frame, point)} --> {_time(cue.first_frame + cue.frames, point)}"


def _time(frame: int, point: str) -> str:
    seconds, milliseconds = divmod(round(frame * 1000 / FPS), 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{milliseconds:03d}"
