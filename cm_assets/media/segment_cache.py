"""Encoded shots, and what paid voices spoke, by their content, kept between attempts and renders."""

import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

ABANDONED = 3600.0
"""Seconds after which a file that was never finished belongs to a writer that was killed."""


class SegmentCache:
    """A folder of files of one kind, bounded in bytes; the least recently used go first.

    Safe for several processes: files appear whole, and one that another process drops was already linked to.

    Args:
        folder: made when it is needed.
        limit: bytes.
        suffix: of the files.
    """

    def __init__(self, folder: Path, limit: int, *, suffix: str = ".mp4") -> None:
        self._folder = folder
        self._limit = limit
        self._suffix = suffix

    def take(self, key: str, target: Path, *, sound: Callable[[Path], bool] = lambda _: True) -> bool:
        """Link or copy a segment to `target`; False if it is not there.

        Args:
            key: of the segment.
            target: replaced if it is there.
            sound: whether a segment is whole; one that is not, as after a power cut, is dropped.
        """
        path = self._folder / f"{key}{self._suffix}"
        try:
            _link(path, target)
            os.utime(path)
        except FileNotFoundError:
            return False
        if not sound(target):
            path.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            return False
        return True

    def put(self, key: str, segment: Path) -> None:
        """Keep a segment."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{uuid.uuid4().hex}.part{self._suffix}"
        try:
            _link(segment, part)
            part.replace(self._folder / f"{key}{self._suffix}")
        finally:
            part.unlink(missing_ok=True)

    def trim(self) -> None:
        """Drop what is over the bound, and the rests of killed writers."""
        kept = []
        for path in self._folder.glob(f"*{self._suffix}") if self._folder.is_dir() else ():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if not path.name.startswith("."):
                kept.append((status.st_mtime, status.st_size, path))
            elif time.time() - max(status.st_mtime, status.st_ctime) > ABANDONED:
                path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._limit:
                break
            path.unlink(missing_ok=True)
            total -= size


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
