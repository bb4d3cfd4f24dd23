"""Captions as files for players: SubRip and WebVTT, with the words of the script as they are."""

import html
from collections.abc import Sequence

from cm_assets.media.captions import Cue
from cm_assets.models.base import FPS


def srt(cues: Sequence[Cue]) -> str:
    """SubRip: numbered, with commas in its times. An arrow in the text would end the text, so it is spelt."""
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = " ".join(cue.words).replace("-->", "→")
        blocks.append(
            f"{number}\n{_time(cue.first_frame, ',')} --> {_time(cue.first_frame + cue.frames, ',')}\n{text}\n"
        )
    return "\n".join(blocks)


def vtt(cues: Sequence[Cue]) -> str:
    """WebVTT: with `&`, `<` and `>` escaped."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        text = html.escape(" ".join(cue.words), quote=False)
        blocks.append(f"{_time(cue.first_frame, '.')} --> {_time(cue.first_frame + cue.frames, '.')}\n{text}\n")
    return "\n".join(blocks)


def _time(frame: int, point: str) -> str:
    milliseconds = round(frame * 1000 / FPS)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{milliseconds:03d}"
