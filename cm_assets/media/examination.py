"""What a file is that somebody has handed in, found out by a process of its own.

A stranger's file can make a decoder crash, hang or grow: that costs this process, and not the one that takes files in.
`python -m cm_assets.media.examination FILE SECONDS FFMPEG` says it as JSON.
"""

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from cm_assets.models.base import PermanentFailure, Seconds, TransientFailure

LIMIT: Seconds = 120.0
"""For one file. Of a video the first minute is decoded: at 8K that takes two cores most of this."""

GRACE: Seconds = 10.0
"""In which a process whose time is up has to end by itself, with the ffmpeg that it started."""

LONGEST_NARRATION: Seconds = 600.0
"""The longest video that can be asked for; and to find the words of a recording takes a minute of CPU at this length,
four times as much at twice the length."""

QUIETEST = 0.001
"""Highest sample of a recording, at least: -60 dBFS. Below there is nothing that could be made louder."""

CLIPS = {
    "mov": (".mp4", "video/mp4"),
    "matroska": (".mkv", "video/x-matroska"),
    "avi": (".avi", "video/x-msvideo"),
    "mpegts": (".ts", "video/mp2t"),
    "png": (".png", "image/png"),
    "jpeg": (".jpg", "image/jpeg"),
    "webp": (".webp", "image/webp"),
}
RECORDINGS = {
    "wav": (".wav", "audio/wav"),
    "flac": (".flac", "audio/flac"),
    "ogg": (".ogg", "audio/ogg"),
    "mp3": (".mp3", "audio/mpeg"),
    "aac": (".aac", "audio/aac"),
    "mov": (".m4a", "audio/mp4"),
    "matroska": (".mka", "audio/x-matroska"),
}
"""Ending and media type by what a file is in truth."""


class NotTaken(PermanentFailure):
    """The file is of no kind that is taken."""


class _TimeIsUp(BaseException):
    """No `Exception`, so that nothing on the way takes it for the file's failure."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A file that decodes.

    Attributes:
        kind: `clip` for a video or a picture, `narration` for a recording.
        suffix: its right ending, dot included.
        media_type: such as `video/mp4`.
        seconds: length; None for a picture.
        width, height: as shown, pixels; None for a recording.
    """

    kind: Literal["clip", "narration"]
    suffix: str
    media_type: str
    seconds: Seconds | None
    width: int | None
    height: int | None


def examine(path: Path, ffmpeg: Path | None, *, limit: Seconds = LIMIT) -> Examined:
    """What a file is; a process of its own opens it.

    Args:
        path: of the file; nothing in its name matters.
        ffmpeg: the one of the settings.
        limit: seconds that it may take.

    Raises:
        NotTaken: it is no video, no picture and no recording.
        PermanentFailure: it is broken, too long, too large, too small, or takes too long; or no ffmpeg is fit.
        TransientFailure: the disk is full.
    """
    # -P: nothing is imported from the folder that somebody happens to be in.
    command = [sys.executable, "-P", "-m", "cm_assets.media.examination", str(path), f"{limit:g}", str(ffmpeg or "")]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=limit + GRACE)
        except BaseException as error:
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise _too_slow(limit) from None
            raise
    answer: dict[str, Any] = {}
    with suppress(ValueError):
        answer = json.loads(said)
    if "is" in answer:
        return Examined(**answer["is"])
    failures = {"not taken": NotTaken, "unfit": PermanentFailure, "transient": TransientFailure}
    for name, failure in failures.items():
        if name in answer:
            raise failure(answer[name])
    raise PermanentFailure("is broken: whoever opens it crashes")


def look(path: Path, ffmpeg: Path | None) -> Examined:
    """What a file is; opened by this process.

    Raises:
        NotTaken, PermanentFailure, TransientFailure: as `examine`.
    """
    from cm_assets.media.ffmpeg import find
    from cm_assets.media.probe import SoundAlone, UnknownMedia, probe, validate_picture, validate_video
    from cm_assets.media.recordings import NoRecording

    try:
        info = probe(path)
    except UnknownMedia as no_clip:
        try:
            return _recording(path)
        except NoRecording as no_recording:
            if path.stat().st_size == 0:
                raise PermanentFailure("the file is empty") from None
            raise NotTaken(f"{no_clip}, and {no_recording}") from None
    except SoundAlone:
        return _recording(path)
    info = validate_video(find(ffmpeg), path) if info.kind == "video" else validate_picture(path)
    return Examined("clip", *CLIPS[info.container], info.seconds, info.width, info.height)


def _recording(path: Path) -> Examined:
    import numpy as np

    from cm_assets.media.recordings import container_of, decode_file
    from cm_assets.models.base import SAMPLE_RATE

    samples = decode_file(path, longest=LONGEST_NARRATION)
    if float(np.max(np.abs(samples))) < QUIETEST:
        raise PermanentFailure("is silent")
    with path.open("rb") as file:
        container = container_of(file.read(16)) or ""
    return Examined("narration", *RECORDINGS[container], len(samples) / SAMPLE_RATE, None, None)


def _too_slow(limit: Seconds) -> PermanentFailure:
    return PermanentFailure(f"takes longer than {limit:g} s to be looked through: make it smaller or shorter")


def main() -> None:
    """Say what the file of the arguments is."""

    def fire(_signal: int, _frame: FrameType | None) -> None:
        raise _TimeIsUp

    path, limit, ffmpeg = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGALRM, fire)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        answer: dict[str, object] = {"is": asdict(look(path, Path(ffmpeg) if ffmpeg else None))}
    except _TimeIsUp:
        answer = {"unfit": str(_too_slow(limit))}
    except NotTaken as failure:
        answer = {"not taken": str(failure)}
    except PermanentFailure as failure:
        answer = {"unfit": str(failure)}
    except TransientFailure as failure:
        answer = {"transient": str(failure)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
