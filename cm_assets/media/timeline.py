"""The time line in whole frames: which clip is shown when. Every frame has exactly one."""

from collections.abc import Sequence
from dataclasses import dataclass

from cm_assets.models.audio import SceneAudio
from cm_assets.models.base import PermanentFailure
from cm_assets.models.clips import ClipSpec


@dataclass(frozen=True, slots=True)
class Shot:
    """A clip on the time line.

    Attributes:
        clip: its index in the list of clips.
        first_frame: where it starts.
        frames: how long it is shown.
    """

    clip: int
    first_frame: int
    frames: int


def shots(scenes: Sequence[SceneAudio], clips: Sequence[ClipSpec]) -> tuple[Shot, ...]:
    """Lay the clips under the narration: the clips of a scene share its frames, the first take the remainder.

    Raises:
        PermanentFailure: a scene has no clip.
    """
    placed: list[Shot] = []
    for number, scene in enumerate(scenes):
        own = [index for index, clip in enumerate(clips) if clip.scene == number]
        if not own:
            raise PermanentFailure(f"scene {number + 1} has no clip: materialize background_clips again")
        own = own[: scene.frames]
        share, remainder = divmod(scene.frames, len(own))
        first = scene.first_frame
        for place, index in enumerate(own):
            frames = share + (place < remainder)
            placed.append(Shot(index, first, frames))
            first += frames
    return tuple(placed)
