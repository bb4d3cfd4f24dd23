"""The narration: one track for the whole video, and when each word is spoken."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import FPS, SAMPLES_PER_FRAME, Model, Seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


RECORDING = "recording"
"""The engine of a narration that its user has recorded."""


class Word(Model):
    """A word as it is shown, and when it is spoken.

    Attributes:
        text: as in the script, punctuation included; words joined by spaces give the scene's text.
        start: seconds from the start of its scene (of the utterance, in a `Speech`).
        end: seconds; `start <= end`, and words never overlap or step back.
    """

    text: str
    start: NonNegativeFloat
    end: NonNegativeFloat


class SceneAudio(Model):
    """A scene's stretch of the narration track.

    Attributes:
        first_frame: on the video's 30 fps grid.
        frames: length; the track holds `frames * 1600` samples for it.
        words: times relative to the scene's start.
    """

    first_frame: NonNegativeInt
    frames: PositiveInt
    words: tuple[Word, ...]


class Audio(Model):
    """The narration of a video.

    Attributes:
        track: FLAC, 48 kHz, mono, exactly `frames * 1600` samples.
        scenes: one per scene of the script, adjoining.
        engine: which voice engine spoke, such as `hibari`; `recording` where the user did.
        voice: such as `af_heart`; the upload's name of a recording.
        timing: where the word times come from: `model` durations, forced `alignment`, or `estimated` by the words'
            lengths.
        loudness: integrated loudness of the track, LUFS (EBU R 128).
        peak: sample peak of the track, dBFS.
    """

    track: ArtifactRef
    scenes: Annotated[tuple[SceneAudio, ...], Field(min_length=1)]
    engine: str
    voice: str
    timing: str
    loudness: float
    peak: float

    @property
    def frames(self) -> int:
        """Length of the whole track in frames."""
        last = self.scenes[-1]
        return last.first_frame + last.frames

    @property
    def samples(self) -> int:
        """Length of the whole track in samples at 48 kHz."""
        return self.frames * SAMPLES_PER_FRAME

    @property
    def seconds(self) -> Seconds:
        """Length of the whole track."""
        return self.frames / FPS


@dataclass(frozen=True, slots=True)
class Speech:
    """What a voice engine returns for one text.

    Attributes:
        samples: float32, mono, shape (n,), within [-1, 1].
        sample_rate: Hz.
        words: the text's words in order, with their times. Never fewer or more than `text.split()`.
        timing: `model`, `alignment` or `estimated`.
    """

    samples: "npt.NDArray[np.float32]"
    sample_rate: int
    words: tuple[Word, ...]
    timing: str
