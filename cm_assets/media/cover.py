"""The cover of a video, and a thumbnail of it for lists."""

import io
from collections.abc import Sequence
from pathlib import Path

from cm_assets.media.ffmpeg import Ffmpeg, arguments, source
from cm_assets.models.audio import SceneAudio
from cm_assets.models.base import FPS

THUMBNAIL_BYTES = 40_000
"""A thumbnail that is shown inside a page of the Dagster UI must stay below about 50 kB."""


def candidates(scenes: Sequence[SceneAudio]) -> list[int]:
    """Frames of the first scene at which a caption is up and everything has arrived."""
    first = scenes[0]
    return sorted({first.first_frame + int(first.frames * share) for share in (0.5, 0.6, 0.7)})


def write_cover(ffmpeg: Ffmpeg, video: Path, frames: Sequence[int], target: Path) -> int:
    """Write the most telling of some frames of a video as a JPEG of its size; which one it is.

    Args:
        ffmpeg: does the work.
        video: the finished file.
        frames: candidates.
        target: the JPEG.
    """
    wanted = sorted(set(frames))
    names = target.with_name("candidate-%d.jpg")
    # One pass over the stretch: each seek would decode from a key frame of its own.
    chosen = "+".join(f"eq(n,{number - wanted[0]})" for number in wanted)
    # Rounded down: a moment later the first frame would be missed, and earlier a key frame there would not be used.
    start = wanted[0] * 1_000_000 // FPS / 1_000_000
    graph = (
        source(video, ss=f"{start:.6f}")
        .video.filter("select", expr=chosen)
        .output(
            f"file:{names}",
            format="image2",
            vcodec="mjpeg",
            fps_mode="passthrough",
            **{"frames:v": len(wanted), "q:v": 3, "threads": 1},
        )
    )
    ffmpeg.run(arguments(graph))
    made = [target.with_name(f"candidate-{number}.jpg") for number in range(1, len(wanted) + 1)]
    best = max((path for path in made if path.exists()), key=_contrast)
    best.replace(target)
    for path in made:
        path.unlink(missing_ok=True)
    return wanted[made.index(best)]


def thumbnail(cover: Path, width: int = 240) -> bytes:
    """A small JPEG of a cover."""
    from PIL import Image

    with Image.open(cover) as picture:
        small = picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)
        for quality in (80, 65, 50, 35):
            out = io.BytesIO()
            small.save(out, "JPEG", quality=quality)
            if out.tell() <= THUMBNAIL_BYTES:
                break
        return out.getvalue()


def _contrast(path: Path) -> float:
    """How much there is to see: the spread of brightness."""
    from PIL import Image, ImageStat

    with Image.open(path) as picture:
        picture.draft("L", (180, 320))
        return float(ImageStat.Stat(picture.convert("L").resize((90, 160))).stddev[0])
