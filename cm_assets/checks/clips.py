"""Checks of background clips: large enough, and none twice."""

from collections import Counter

from cm_assets.checks.finding import Finding
from cm_assets.models.clips import BackgroundClips, Clip

MOST_ENLARGED = 2.0
"""Beyond this a clip looks soft on a phone."""


def check_clips(clips: BackgroundClips, size: tuple[int, int]) -> list[Finding]:
    """What there is to say about the clips of a video of `size` (width, height in pixels)."""
    worst = max((_enlargement(clip, size) for clip in clips.clips), default=1.0)
    counts = Counter(clip.key for clip in clips.clips)
    twice = [key for key, count in counts.items() if count > 1]
    return [
        Finding(
            "clip_sizes",
            worst <= MOST_ENLARGED,
            f"The smallest clip is enlarged {worst:.2f} times.",
            {"largest enlargement": round(worst, 2)},
        ),
        Finding("clips_differ", not twice, f"{len(twice)} clips are shown more than once.", {"repeated": len(twice)}),
    ]


def _enlargement(clip: Clip, size: tuple[int, int]) -> float:
    if clip.kind == "layers":
        return 1.0
    return max(1.0, size[0] / clip.width, size[1] / clip.height)
