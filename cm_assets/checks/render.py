"""Checks of a finished video: its length, its picture, its sound, its captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cm_assets.checks.finding import Finding
from cm_assets.models.audio import Audio
from cm_assets.models.base import FPS, SAMPLE_RATE
from cm_assets.models.clips import BackgroundClips
from cm_assets.models.render import Render

if TYPE_CHECKING:
    from cm_assets.media.captions import Cue

TARGET, TOLERANCE, CEILING = -14.0, 0.5, -1.0
"""LUFS, LU and dBTP."""

BLACK = 20
"""Mean brightness, of 255, of a frame that viewers call black."""

FROZEN = 0.4
"""Mean change of brightness, of 255, between two key frames that viewers call a standstill."""

OUT_OF_STEP = 0.12
"""Seconds between a word and its highlight that viewers notice."""


def check_render(
    render: Render, audio: Audio, clips: BackgroundClips, cues: "Sequence[Cue]", video: Path
) -> list[Finding]:
    """What there is to say about a finished video.

    Args:
        render: its description.
        audio: the narration under it.
        clips: what it shows.
        cues: the captions that were drawn.
        video: the file.
    """
    return [
        _length(render, audio, video),
        _picture(clips, video),
        _loudness(render),
        _captions(render, audio, cues),
    ]


def _length(render: Render, audio: Audio, video: Path) -> Finding:
    import av

    with av.open(str(video)) as file:
        frames = file.streams.video[0].frames
        stream = file.streams.audio[0]
        base = stream.time_base
        assert base is not None
        sound = float((stream.duration or 0) * base)
    wrong = []
    if frames != audio.frames or render.frames != audio.frames:
        wrong.append(f"{frames} frames, the narration has {audio.frames}")
    if abs(sound - audio.seconds) > 1.5 * 1024 / SAMPLE_RATE:
        wrong.append(f"{sound:.3f} s of sound, the narration has {audio.seconds:.3f} s")
    why = "; ".join(wrong) or f"{frames} frames, {frames / FPS:.2f} s, sound and picture alike."
    return Finding("render_length", not wrong, why, {"frames": frames, "sound (s)": round(sound, 3)})


def _picture(clips: BackgroundClips, video: Path) -> Finding:
    """Look at the key frames, one every two seconds at least: two of a kind in a row are a stretch."""
    import av
    import numpy as np

    dark = still = 0
    previous = None
    longest_dark = longest_still = 0
    with av.open(str(video)) as file:
        stream = file.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        for frame in file.decode(stream):
            small = frame.reformat(width=90, height=160, format="gray").to_ndarray().astype(np.float32)
            dark = dark + 1 if small.mean() < BLACK else 0
            same = previous is not None and float(np.abs(small - previous).mean()) < FROZEN
            still = still + 1 if same else 0
            longest_dark, longest_still = max(longest_dark, dark), max(longest_still, still)
            previous = small
    # A user's own picture may stand still, and a calm scene nearly does.
    moving = all(clip.kind == "video" for clip in clips.clips)
    wrong = []
    if longest_dark >= 2:
        wrong.append(f"black for about {2 * longest_dark} s")
    if moving and longest_still >= 2:
        wrong.append(f"frozen for about {2 * longest_still} s")
    figures = {"black key frames in a row": longest_dark, "still key frames in a row": longest_still}
    return Finding("render_picture", not wrong, "; ".join(wrong) or "Neither black nor frozen.", figures)


def _loudness(render: Render) -> Finding:
    loud = render.loudness
    passed = abs(loud.integrated - TARGET) <= TOLERANCE and loud.true_peak <= CEILING
    return Finding(
        "render_loudness",
        passed,
        f"{loud.integrated:.1f} LUFS, {loud.true_peak:.1f} dBTP.",
        {"integrated (LUFS)": loud.integrated, "true peak (dBTP)": loud.true_peak},
    )


def _captions(render: Render, audio: Audio, cues: "Sequence[Cue]") -> Finding:
    outside = [cue for cue in cues if not _inside(cue.box, render.width, render.height)]
    spoken = [scene.first_frame / FPS + word.start for scene in audio.scenes for word in scene.words]
    shown = sorted(word.first_frame / FPS for cue in cues for line in cue.lines for word in line)
    # Words without a glyph are not shown, so each shown word must have a spoken one close by, not the other way round.
    late = sum(1 for time in shown if min((abs(time - one) for one in spoken), default=0.0) > OUT_OF_STEP)
    wrong = []
    if outside:
        wrong.append(f"{len(outside)} captions leave the frame")
    if late:
        wrong.append(f"{late} words are out of step with the voice")
    why = "; ".join(wrong) or f"{len(cues)} captions, all inside the frame and in step."
    return Finding("captions_fit", not wrong, why, {"captions": len(cues), "outside": len(outside), "late": late})


def _inside(box: tuple[float, float, float, float], width: int, height: int) -> bool:
    left, top, right, bottom = box
    return left >= 0 and top >= 0 and right <= width and bottom <= height and right - left <= 0.9 * width + 1
