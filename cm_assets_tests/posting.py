"""Posts as the exactly-once tests make them: in a process of their own, which can be killed anywhere."""

import atexit
import hashlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

from cm_assets.engines.platforms.catalogue import Surroundings, platform_of
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, TransientFailure
from cm_assets.models.clips import Credit
from cm_assets.models.post import LedgerEntry, Post, PostDraft
from cm_assets.models.protocols import Platform, Settling
from cm_assets.storage.credentials import Credentials
from cm_assets.storage.database import Database
from cm_assets.storage.ledger import PostLedger

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["cm_assets_tests.posting", "httpx", "sqlalchemy", "cryptography.fernet"])

SIZE = 3 * (1 << 20) + 12345
"""Bytes of the video: several blocks, and no whole number of anything."""


@dataclass(frozen=True)
class Place:
    """A home, the account in it, and the files of a video.

    Attributes:
        folder: of all of it.
        addresses: where the platforms are.
        server: address of a database on a server, in the place of a file in the folder.
        options: of platforms, as `Surroundings` has them.
    """

    folder: Path
    addresses: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server or f"sqlite:///{self.folder / 'cm.sqlite'}"

    def connect(self, platform: str, secret: Mapping[str, Any]) -> None:
        """Make the database and the files, and connect an account."""
        if not self.server:
            shutil.copyfile(_empty_database(), self.folder / "cm.sqlite")
        self.files()
        database = Database(self.url)
        Credentials(database, self.folder).put(platform, "channel", secret)
        database.dispose()

    def entry(self, platform: str, video: str = "v") -> LedgerEntry | None:
        database = Database(self.url)
        try:
            return PostLedger(database).entry(video, platform)
        finally:
            database.dispose()

    def files(self, content: int = 1) -> dict[str, Path]:
        """The files of a render; another content is another render."""
        folder = self.folder / str(content)
        paths = {name: folder / f"{name}.{end}" for name, end in ENDS.items()}
        if not folder.exists():
            folder.mkdir()
            paths["video"].write_bytes(random.Random(content).randbytes(SIZE))
            paths["cover"].write_bytes(b"\xff\xd8 a cover")
            paths["srt"].write_bytes(b"1\n00:00:00,000 --> 00:00:01,000\nHello\n")
            paths["vtt"].write_bytes(b"WEBVTT\n")
        return paths

    def draft(self, content: int = 1, **changes: Any) -> PostDraft:
        refs = {
            name: ArtifactRef(
                key=f"v/render/{name}",
                sha256=_sha256(path),
                size=path.stat().st_size,
                media_type=TYPES[name],
            )
            for name, path in self.files(content).items()
        }
        return PostDraft(**BASE | refs | changes)

    def publish(
        self,
        platform: str,
        content: int = 1,
        progress: Callable[[float], None] = lambda _: None,
        draft: PostDraft | None = None,
    ) -> Post:
        with self.platform(platform) as there:
            return there.publish(draft or self.draft(content), self.files(content), progress)

    def take_down(self, platform: str) -> Post | None:
        """Remove what was posted or begun, once nobody is at it; what there was."""
        with self.platform(platform) as there:
            assert isinstance(there, Settling)
            post = there.settle("v")
            if post is not None:
                there.take_down(post)
            return post

    @contextmanager
    def platform(self, name: str) -> Iterator[Platform]:
        """The platform of a name, on this place's database."""
        database = Database(self.url)
        try:
            yield platform_of(
                name,
                Surroundings(
                    ledger=PostLedger(database),
                    vault=Credentials(database, self.folder),
                    outbox=self.folder / "outbox",
                    addresses=self.addresses,
                    options=self.options,
                ),
            )
        finally:
            database.dispose()


@cache
def _empty_database() -> Path:
    """A database with its tables: to migrate one for each post would take longer than the post."""
    path = Path(tempfile.mkdtemp(prefix="cm-empty-")) / "cm.sqlite"
    database = Database(f"sqlite:///{path}")
    database.cursor("none")
    database.dispose()
    atexit.register(shutil.rmtree, path.parent)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


ENDS = {"video": "mp4", "cover": "jpg", "srt": "srt", "vtt": "vtt"}
TYPES = {"video": "video/mp4", "cover": "image/jpeg", "srt": "application/x-subrip", "vtt": "text/vtt"}
BASE: dict[str, Any] = {
    "video_id": "v",
    "title": "A robot waters the garden",
    "description": "It does so every morning.",
    "hashtags": ("robots", "garden work"),
    "language": "en",
    "seconds": 31.0,
    "width": 1080,
    "height": 1920,
    "ai_disclosure": True,
    "credits": (Credit(source="pexels", author="Ana Lima", licence="Pexels", url="https://www.pexels.com/video/1/"),),
}


@dataclass
class Attempt:
    """A process that posts.

    Attributes:
        said: how it ended: `posted`, the class of its failure with its reason, or nothing if it was killed.
        lines: the numbers of the lines that it executed of the module that was watched.
    """

    process: Any
    _pipe: Any
    said: str = ""
    lines: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int:
        pid: int = self.process.pid
        return pid

    def kill(self) -> None:
        """As `kill`."""
        kill(self.process)

    def end(self, seconds: float = 60) -> str:
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError("it hangs")
        if self._pipe.poll():
            try:
                self.said, self.lines = self._pipe.recv()
            except EOFError:
                self.said = ""
        self.process.close()
        self._pipe.close()
        return self.said


def kill(process: Any) -> None:
    """Kill a process that another thread joins, and wait until it is gone.

    Of two threads that join a fork server's process, only one is told how it ended.
    """
    with suppress(ValueError):  # it has ended by itself, and is closed
        gone = process.sentinel
        process.kill()
        wait([gone])


def begin(
    place: Place, platform: str, content: int = 1, *, die_at: int = 0, module: str = "", clock: float = 0.0
) -> Attempt:
    """Start a process that posts.

    Args:
        place: where.
        platform: on which.
        content: of the render.
        die_at: it kills itself when it is to execute this many lines of `module`.
        module: end of the path of a module's file.
        clock: seconds by which its clock is ahead.
    """
    here, there = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_post, args=(place, platform, content, there, die_at, module, clock))
    process.start()
    there.close()
    return Attempt(process, here)


def attempt(place: Place, platform: str, content: int = 1) -> str:
    """Post in a process of its own; how that ended."""
    return begin(place, platform, content).end()


def _post(place: Place, platform: str, content: int, pipe: Any, die_at: int, module: str, clock: float) -> None:
    import time_machine

    lines: list[int] = []

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.endswith(module):
            return None
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == die_at:
                os.kill(os.getpid(), 9)
        return trace

    if module:
        sys.settrace(trace)
    try:
        with time_machine.travel(timedelta(seconds=clock), tick=True) if clock else nullcontext():
            place.publish(platform, content)
        said = "posted"
    except PermanentFailure as failure:
        said = f"final: {failure}"
    except AskedToWait as failure:
        said = f"wait {failure.seconds:.0f}: {failure}"
    except TransientFailure as failure:
        said = f"again: {failure}"
    except Failure as failure:
        said = f"?: {failure}"
    sys.settrace(None)
    pipe.send((said, lines))
    pipe.close()
