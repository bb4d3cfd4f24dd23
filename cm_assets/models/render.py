"""The finished video and what was measured on it."""

from pydantic import NonNegativeInt, PositiveInt

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import FPS, Model, Seconds


class Loudness(Model):
    """Measured on a finished file by EBU R 128.

    Attributes:
        integrated: LUFS.
        true_peak: dBTP.
    """

    integrated: float
    true_peak: float


class Render(Model):
    """A finished video.

    Attributes:
        video: MP4, H.264 High yuv420p bt709 and AAC 48 kHz stereo, faststart.
        cover: JPEG of the frame's size.
        cover_frame: the frame that it shows; 0 where that was not noted.
        srt, vtt: the captions as SubRip and WebVTT.
        width, height: pixels.
        frames: exact length at 30 fps.
        loudness: measured on `video`.
        caption_style: such as `bold`.
        encoder: ffmpeg version and x264 arguments, for the record.
    """

    video: ArtifactRef
    cover: ArtifactRef
    srt: ArtifactRef
    vtt: ArtifactRef
    width: PositiveInt
    height: PositiveInt
    frames: PositiveInt
    cover_frame: NonNegativeInt = 0
    loudness: Loudness
    caption_style: str
    encoder: str

    @property
    def seconds(self) -> Seconds:
        """Length of the video."""
        return self.frames / FPS
