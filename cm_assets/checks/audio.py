"""Checks of a narration: pace, silence, clipping."""

from typing import TYPE_CHECKING

from cm_assets.checks.finding import Finding
from cm_assets.models.audio import RECORDING, Audio
from cm_assets.models.base import SAMPLE_RATE, SAMPLES_PER_FRAME
from cm_assets.models.request import VideoRequest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SLOWEST, FASTEST = 90, 260
"""Words a minute at speed 1."""

LONGEST_GAP = 2.0
"""Seconds without a voice, at speed 1, after which viewers think that the sound broke."""

SILENCE = 0.004
"""Root mean square of a 50 ms window below which nobody speaks: -48 dBFS."""

WINDOW = SAMPLE_RATE // 20

FULL_SCALE = 0.999

CLIPPED_RUN = 3
"""Neighbouring samples at full scale that make an audible clip."""


def check_audio(audio: Audio, samples: "npt.NDArray[np.float32]", request: VideoRequest) -> list[Finding]:
    """What there is to say about a narration.

    Args:
        audio: its description.
        samples: the track, float32, shape (n,), 48 kHz.
        request: what was asked for.
    """
    return [_rate(audio, request.speed), _silence(audio, samples, request.speed), _clipping(samples)]


def _rate(audio: Audio, speed: float) -> Finding:
    words = sum(len(scene.words) for scene in audio.scenes)
    spoken = sum(scene.words[-1].end - scene.words[0].start for scene in audio.scenes if scene.words)
    rate = 60 * words / max(spoken, 0.1)
    # A handful of words has no pace worth the name.
    fits = words < 8 or SLOWEST * speed <= rate <= FASTEST * speed
    return Finding(
        "speech_rate", fits, f"{rate:.0f} words a minute at speed {speed:g}.", {"words a minute": round(rate)}
    )


def _silence(audio: Audio, samples: "npt.NDArray[np.float32]", speed: float) -> Finding:
    import numpy as np

    longest, silent_scenes = 0.0, []
    for number, scene in enumerate(audio.scenes, 1):
        start = scene.first_frame * SAMPLES_PER_FRAME
        part = samples[start : start + scene.frames * SAMPLES_PER_FRAME]
        windows = part[: len(part) // WINDOW * WINDOW].reshape(-1, WINDOW)
        loud = np.sqrt(np.mean(windows.astype(np.float64) ** 2, axis=1)) > SILENCE
        if not loud.any():
            silent_scenes.append(number)
            continue
        edges = np.flatnonzero(loud)
        gap = int(np.max(np.diff(edges), initial=1)) - 1
        longest = max(longest, gap * WINDOW / SAMPLE_RATE)
    # Who made a recording made its pauses, too.
    long_gap = longest > LONGEST_GAP / min(speed, 1.0) and audio.engine != RECORDING
    passed = not silent_scenes and not long_gap
    why = (
        f"Scenes {silent_scenes} are silent."
        if silent_scenes
        else f"The longest pause within a scene is {longest:.2f} s."
    )
    return Finding("narration_silence", passed, why, {"longest pause (s)": round(longest, 2)})


def _clipping(samples: "npt.NDArray[np.float32]") -> Finding:
    import numpy as np

    full = np.abs(samples) >= FULL_SCALE
    runs = np.convolve(full.astype(np.int8), np.ones(CLIPPED_RUN, dtype=np.int8), mode="valid") == CLIPPED_RUN
    count = int(np.count_nonzero(runs))
    return Finding("narration_clipping", count == 0, f"{count} clipped places.", {"clipped places": count})
