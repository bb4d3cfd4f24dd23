"""Files that can be made or loaded again, by what they hold, in a folder with a bound.

Encoded shots, what paid voices spoke, copies of artifacts that lie elsewhere: each kind has a folder of its own.
"""

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

ABANDONED = 3600.0
"""Seconds after which a file that was never finished belongs to a writer that was killed."""


LOOK = 0.05
"""Seconds between two looks whether somebody else has loaded a file."""


class Lent:
    """A file of a cache that stays there until this is closed, or its process has ended, however it does.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, file: IO[Any]) -> None:
        self.path = path
        self._file = file

    def close(self) -> None:
        """Give it back. Closing it again changes nothing."""
        self._file.close()

    def __del__(self) -> None:
        # A file that is not closed would warn; that nobody has it any more is enough here.
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileCache:
    """A folder of files, bounded in bytes; the least recently used go first, those that are lent stay.

    Safe for several processes: files appear whole, and one that another process drops was already linked to. What is
    under a key is never replaced by something else.

    Args:
        folder: made when it is needed.
        limit: bytes.
        suffix: of the files; empty where the keys have one.
    """

    def __init__(self, folder: Path, limit: int, *, suffix: str = ".mp4") -> None:
        self._folder = folder
        self._limit = limit
        self._suffix = suffix

    def take(self, key: str, target: Path, *, sound: Callable[[Path], bool] = lambda _: True) -> bool:
        """Link or copy a file to `target`; False if it is not there.

        Args:
            key: of the file.
            target: replaced if it is there.
            sound: whether a file is whole; one that is not, as after a power cut, is dropped.
        """
        path = self._path(key)
        try:
            _link(path, target)
            _touch(path)
        except FileNotFoundError:
            return False
        if not sound(target):
            path.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            return False
        return True

    def put(self, key: str, file: Path) -> None:
        """Keep a file, if there is none of this key."""
        path = self._path(key)
        if path.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{uuid.uuid4().hex}.part{self._suffix}"
        try:
            _link(file, part)
            _touch(part)
            _place(part, path)
        finally:
            part.unlink(missing_ok=True)

    def lend(self, key: str, load: Callable[[Path], None], *, sound: Callable[[Path], bool]) -> Lent:
        """Lend a file; it is loaded if it is not there, once for all who want it at this moment.

        Args:
            key: of the file.
            load: writes the file, whole and sound, into the one that it is given, which is empty.
            sound: whether a file is what it should be; one that is not is dropped and loaded anew.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path, part = self._path(key), self._folder / f".{key}.part{self._suffix}"
        while (lent := _lent(path, sound)) is None:
            with ExitStack() as stack:
                file = stack.enter_context(part.open("ab"))
                if not _is_mine(file, part):
                    stack.close()
                    time.sleep(LOOK)
                    continue
                stack.callback(part.unlink, missing_ok=True)
                file.truncate(0)
                load(part)
                if _place(part, path):
                    # What is lent is the very file that was locked: nobody drops it in between.
                    fcntl.flock(file, fcntl.LOCK_SH)
                    part.unlink(missing_ok=True)
                    stack.pop_all()
                    return Lent(path, file)
        return lent

    def drop(self, key: str) -> None:
        """Remove a file, whoever has it."""
        self._path(key).unlink(missing_ok=True)

    def trim(self) -> None:
        """Drop what is over the bound, and the rests of killed writers."""
        kept = []
        for path in self._folder.glob(f"*{self._suffix}") if self._folder.is_dir() else ():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if not path.name.startswith("."):
                kept.append((status.st_atime, status.st_size, path))
            elif time.time() - max(status.st_mtime, status.st_ctime) > ABANDONED:
                _drop_unused(path)
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._limit:
                break
            if _drop_unused(path):
                total -= size

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{self._suffix}"


def _lent(path: Path, sound: Callable[[Path], bool]) -> Lent | None:
    """A file, with a lock on it as long as it is lent; None if it is not there or not sound."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        if _is_at(file, path):
            if sound(path):
                _touch(path)
                return Lent(path, file)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _drop_unused(path: Path) -> bool:
    """Remove a file unless it is lent; whether it is gone."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


def _is_mine(file: IO[Any], part: Path) -> bool:
    """Lock a file that is to be written; False if somebody else writes it, or has finished it meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _is_at(file, part)


def _is_at(file: IO[Any], path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _touch(path: Path) -> None:
    """Note a use. The time of the last change stays: whoever has looked into the file knows it again by that."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _place(part: Path, path: Path) -> bool:
    """Give a file its name, unless another one has it; whether it has got it."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        part.replace(path)
    return True


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
