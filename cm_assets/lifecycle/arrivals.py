"""Files that are handed in: written down as they come, examined whole, and kept once however often they come.

The same for whoever comes over HTTP and for `cm upload`.
"""

import errno
import hashlib
import time
import unicodedata
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cm_assets.media.examination import examine
from cm_assets.models.base import Seconds
from cm_assets.models.disk import DiskFull, size
from cm_assets.models.upload import Upload
from cm_assets.storage.uploads import Uploads

ABANDONED: Seconds = 3600.0
"""After which nobody writes or examines a file any more."""

LONGEST_NAME = 255
"""Characters."""


class TooLarge(Exception):
    """The file is larger than files may be; says how large that is."""


class Arrivals:
    """Takes files in.

    Args:
        folder: for files that are coming.
        uploads: keeps them.
        largest: bytes of one file.
        ffmpeg: the one of the settings.
        room: raises `DiskFull` where there is no room.
    """

    def __init__(
        self, folder: Path, uploads: Uploads, *, largest: int, ffmpeg: Path | None, room: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._uploads = uploads
        self._largest = largest
        self._ffmpeg = ffmpeg
        self._room = room

    def begin(self, announced: int | None = None) -> "Arrival":
        """Take a file in: to be used in a `with` block.

        Args:
            announced: bytes that are to come, if that is known.

        Raises:
            TooLarge: too many.
            DiskFull: there is no room.
        """
        if announced is not None and announced > self._largest:
            raise self.too_large()
        sweep(self._folder)
        self._room()
        self._folder.mkdir(parents=True, exist_ok=True)
        return Arrival(self, self._folder / f"{uuid.uuid4().hex}.part")

    def check(self, received: int) -> None:
        """See that a file may be so large.

        Raises:
            TooLarge: it must not.
            DiskFull: there is no room any more.
        """
        if received > self._largest:
            raise self.too_large()
        self._room()

    def too_large(self) -> TooLarge:
        """What is said of a file that is too large."""
        return TooLarge(f"the file is larger than CM_UPLOAD_BYTES={size(self._largest)}")

    def keep(self, part: Path, sha256: str, name: str) -> tuple[Upload, bool]:
        """Examine and keep a file that is there; see `Arrival.finish`."""
        known = self._uploads.known(sha256)
        if known is not None:
            return known, False
        found = examine(part, self._ffmpeg)
        path = part.rename(part.with_name(f"{part.stem}{found.suffix}"))
        try:
            return self._uploads.keep(
                path,
                sha256,
                kind=found.kind,
                name=_plain(name),
                media_type=found.media_type,
                seconds=found.seconds,
                width=found.width,
                height=found.height,
            )
        finally:
            path.unlink(missing_ok=True)


class Arrival:
    """A file that is coming. What is not finished when the block ends is gone."""

    def __init__(self, arrivals: Arrivals, path: Path) -> None:
        self._arrivals = arrivals
        self._path = path
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self._received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, block: bytes) -> None:
        """Add what came.

        Raises:
            TooLarge: the file is larger than files may be.
            DiskFull: there is no room.
        """
        self._received += len(block)
        self._arrivals.check(self._received)
        try:
            self._file.write(block)
        except OSError as error:
            raise _full(error) from None
        self._digest.update(block)

    def finish(self, name: str) -> tuple[Upload, bool]:
        """Examine the file and keep it; the upload, and whether it is a new one.

        Args:
            name: as its user calls it. It is shown, and never becomes a path.

        Raises:
            NotTaken: it is no video, no picture and no recording.
            PermanentFailure: it is broken, or of a size that cannot be used.
            DiskFull: there is no room.
            TransientFailure: it could not be stored now.
        """
        try:
            self._file.close()
            return self._arrivals.keep(self._path, self._digest.hexdigest(), name)
        except OSError as error:
            raise _full(error) from None


def sweep(folder: Path) -> None:
    """Remove what somebody left who was killed while a file came."""
    for path in folder.glob("*") if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _full(error: OSError) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull("the disk is full: free some space, then hand the file in again")
    return error


def _plain(name: str) -> str:
    """A name as text on one line, whatever was in it."""
    shown = name.encode(errors="replace").decode()
    clean = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in shown)
    return " ".join(clean.split())[:LONGEST_NAME]
