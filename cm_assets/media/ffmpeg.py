"""Finding an ffmpeg that can do what is needed here, and running it so that nothing of it is left behind."""

import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cm_assets.models.base import PermanentFailure, TransientFailure

FILTERS = frozenset(
    "afade alimiter amix aresample ass crop ebur128 fps loop overlay scale setparams setpts "  # noqa: SIM905 - words
    "sidechaincompress trim volume".split()
)
ENCODERS = frozenset({"aac", "libx264", "mjpeg"})

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flac,wav,mp3,ogg,aac,png_pipe,jpeg_pipe,webp_pipe"
"""Demuxers that may open a file. No playlist is among them: ffmpeg would open one by its content, whatever its name."""

PICTURES = {".png": "png_pipe", ".jpg": "jpeg_pipe", ".jpeg": "jpeg_pipe", ".webp": "webp_pipe"}
"""Demuxers of pictures, by the endings that our own copies of them have."""

GRACE = 3.0
"""Seconds that an ffmpeg has to end after SIGTERM."""

TAIL = 2000
"""Characters of its last words that go into an error."""

MOST_SAID = 1_000_000
"""Bytes of its stderr that are read: a broken clip can make it complain without end."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """An ffmpeg binary that is fit for the work.

    Attributes:
        path: absolute.
        version: as it says itself.
    """

    path: Path
    version: str

    def run(
        self,
        arguments: Sequence[str],
        *,
        on_frame: Callable[[int], None] | None = None,
        group: "Group | None" = None,
        loglevel: str = "error",
    ) -> str:
        """Run it to its end.

        Args:
            arguments: all but the program's name; build them with `arguments`.
            on_frame: told the number of frames that are done, now and then, by another thread.
            group: whose processes die together; without one, this process dies with the call.
            loglevel: `info` where what it measures is wanted.

        Returns:
            What it wrote to stderr.

        Raises:
            TransientFailure: the disk is full, or memory was short.
            PermanentFailure: it failed, with its last words.
        """
        if group is None:
            return together([lambda group: self._run(arguments, on_frame, group, loglevel)], workers=1)[0]
        return self._run(arguments, on_frame, group, loglevel)

    def _run(
        self, arguments: Sequence[str], on_frame: Callable[[int], None] | None, group: "Group", loglevel: str
    ) -> str:
        command = [
            *(str(self.path), "-hide_banner", "-nostdin", "-xerror", "-loglevel", loglevel, "-nostats"),
            *("-progress", "pipe:1", *arguments),
        ]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
            try:
                group.add(process)
                assert process.stdout is not None
                for line in process.stdout:
                    if on_frame is not None and line.startswith(b"frame="):
                        on_frame(int(line[6:]))
                process.wait()
            finally:
                _end([process])
                if process.stdout is not None:
                    process.stdout.close()
                group.remove(process)
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - MOST_SAID))
            said = errors.read().decode(errors="replace")
        if process.returncode != 0:
            if "No space left on device" in said or "Disk quota exceeded" in said:
                raise TransientFailure("the disk is full: free some space, then make the video again")
            if process.returncode == -signal.SIGKILL and not group.over:
                raise TransientFailure("ffmpeg was killed, as the system does when memory runs out")
            raise PermanentFailure(f"ffmpeg ended with code {process.returncode}: {said[-TAIL:].strip()}")
        return said


class Group:
    """Processes of several threads that die together."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._over = False

    @property
    def over(self) -> bool:
        """Whether all of it was killed."""
        return self._over

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Take a process in; kill it at once if the group is over."""
        with self._lock:
            self._processes.add(process)
            over = self._over
        if over:
            _end([process])

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """Let an ended process go."""
        with self._lock:
            self._processes.discard(process)

    def kill(self) -> None:
        """Kill all that run, and all that will be added."""
        with self._lock:
            self._over = True
            processes = list(self._processes)
        _end(processes)


def together(jobs: Sequence[Callable[[Group], T]], *, workers: int) -> list[T]:
    """What some jobs return, done in threads; whatever ends the wait for them, kills every ffmpeg of theirs.

    Python runs signal handlers in the main thread alone, so an exception out of one (a time limit, Ctrl-C) finds that
    thread waiting here, never between the start of a process and the note of it.

    Args:
        jobs: each gets the group in which its ffmpegs must run.
        workers: jobs at once.

    Raises:
        Exception: the first that a job raised.
    """
    group = Group()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ffmpeg")
    try:
        futures = [pool.submit(job, group) for job in jobs]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future.done():
                future.result()
        return [future.result() for future in futures]
    except BaseException:
        group.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes and what they started, if they still run: all are asked first, then all are made to."""
    for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        running = [process for process in processes if process.poll() is None]
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.02)


def find(setting: Path | None = None) -> Ffmpeg:
    """The ffmpeg to use: the one of the settings, else a fit one of the system, else the bundled one.

    Raises:
        PermanentFailure: the one of the settings cannot do what is needed, or there is none at all.
    """
    if setting is not None:
        missing = _missing(setting)
        if missing:
            raise PermanentFailure(f"CM_FFMPEG: {setting} {missing}")
        return Ffmpeg(setting, _version(setting))
    system = shutil.which("ffmpeg")
    if system is not None and not _missing(Path(system)):
        return Ffmpeg(Path(system), _version(Path(system)))
    import imageio_ffmpeg

    bundled = Path(imageio_ffmpeg.get_ffmpeg_exe())
    missing = _missing(bundled)
    if missing:
        raise PermanentFailure(f"no ffmpeg is fit for the work; the bundled one {missing}. Set CM_FFMPEG to another")
    return Ffmpeg(bundled, _version(bundled))


@functools.cache
def _missing(path: Path) -> str:
    """What a binary cannot do; empty if it is fit."""
    try:
        filters = {parts[1] for line in _ask(path, "-filters").splitlines() if len(parts := line.split()) > 2}
        encoders = {parts[1] for line in _ask(path, "-encoders").splitlines() if len(parts := line.split()) > 1}
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run: {error}"
    lacks = sorted(FILTERS - filters) + sorted(ENCODERS - encoders)
    return f"lacks {', '.join(lacks)}" if lacks else ""


@functools.cache
def _version(path: Path) -> str:
    match = re.match(r"ffmpeg version (\S+)", _ask(path, "-version"))
    return match[1] if match else "unknown"


def _ask(path: Path, question: str) -> str:
    answer = subprocess.run([str(path), "-hide_banner", question], capture_output=True, timeout=20, check=True)
    return answer.stdout.decode(errors="replace")


def source(path: Path, **options: Any) -> Any:
    """A file as an input of a graph: an absolute path on the local disk, in a container that holds no addresses."""
    import ffmpeg

    allowed = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    if path.suffix.lower() in PICTURES:
        # By its name alone ffmpeg would take it for a numbered sequence.
        allowed["f"] = PICTURES[path.suffix.lower()]
    return ffmpeg.input(f"file:{path.absolute()}", **(allowed | options))


def arguments(graph: Any) -> list[str]:
    """The arguments of a graph of ffmpeg-python, overwriting its output."""
    return ["-y", *graph.get_args()]
