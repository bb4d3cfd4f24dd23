"""The inbox: a request file that is dropped into a folder is a request.

Taken in once, whatever happens in between: the request is stored under the file's name and content before the file is
moved, so a look that was interrupted finds the same video again.
"""

import fcntl
import hashlib
import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.lifecycle.documents import MAX_DOCUMENT_BYTES, Problem, RequestError, parse, read
from cm_assets.lifecycle.intake import accept
from cm_assets.models.base import PermanentFailure
from cm_assets.models.disk import DiskFull
from cm_assets.storage.database import Database

log = logging.getLogger("cm_assets.inbox")

SUFFIXES = frozenset({".yaml", ".yml", ".json"})

SETTLED = 1.0
"""Seconds for which a file must not have changed: until then somebody may be writing it. Not if it was moved here."""

INTERVAL = 0.25
"""Seconds between two looks."""

MOST_AT_ONCE = 200
"""Files of one look, so that a burst holds up nobody."""


class Inbox:
    """Looks into the folder.

    Args:
        folder: where files are dropped; made if it is not there.
        database: takes their requests.
        catalogue: what can be asked for.
        room: raises `DiskFull` where there is no room for another video; files wait for it.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        catalogue: Callable[[], Catalogue],
        room: Callable[[], None] | None = None,
    ) -> None:
        self._folder = folder
        self._database = database
        self._catalogue = catalogue
        self._room = room
        self._looked = 0.0
        self._waits = False
        for place in (folder, folder / "accepted", folder / "rejected"):
            place.mkdir(parents=True, exist_ok=True)

    def tick(self) -> int:
        """One look, if it is time for one; how many files were taken in or sent back."""
        if time.monotonic() - self._looked < INTERVAL:
            return 0
        self._looked = time.monotonic()
        count = 0
        for path in self._settled():
            try:
                self._take(path)
            except DiskFull as error:
                if not self._waits:
                    log.warning("%s waits: %s", path.name, error)
                self._waits = True
                return count
            count += 1
            if count >= MOST_AT_ONCE:
                break
        self._waits = False
        return count

    def _settled(self) -> Iterator[Path]:
        """Files that nobody writes to any more, the oldest first."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or Path(entry.name).suffix.lower() not in SUFFIXES:
                    continue
                with suppress(FileNotFoundError):  # somebody else has just taken it
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        continue
                    if time.time() - status.st_mtime >= SETTLED or _was_moved_here(entry.path, status):
                        found.append((status.st_mtime_ns, entry.name))
        return (self._folder / name for _, name in sorted(found))

    def _take(self, path: Path) -> None:
        try:
            content = _content(path)
            key = f"{path.name}:{hashlib.sha256(content).hexdigest()}"
            accepted = accept(
                self._database,
                self._catalogue(),
                parse(read(content)),
                source="inbox",
                key=key[-255:],
                room=self._room,
            )
        except RequestError as error:
            self._refuse(path, "\n".join(str(problem) for problem in error.problems))
        except PermanentFailure as error:
            self._refuse(path, str(error))
        except FileNotFoundError:
            return  # taken back by whoever dropped it
        else:
            log.info("%s: %s", path.name, accepted.stored.id, extra={"video": accepted.stored.id})
            _move(path, self._folder / "accepted")

    def _refuse(self, path: Path, why: str) -> None:
        log.warning("%s is refused: %s", path.name, why)
        target = _free(path, self._folder / "rejected")
        # The reason first: a file that lies there has one.
        reason = target.with_name(target.name + ".error.txt")
        reason.write_text(why + "\n", encoding="utf-8")
        if not _move(path, self._folder / "rejected") and not target.exists():
            reason.unlink()


def _was_moved_here(path: str, status: os.stat_result) -> bool:
    """Whether a young file is whole all the same: somebody wrote it elsewhere and moved it here, as one should.

    A rename changes a file's status after the last change of its content; so does a chmod in the midst of writing, but
    then the writer has the file open still, and nobody is granted a lease. Where there are no leases, it waits.
    """
    lease = getattr(fcntl, "F_SETLEASE", None)
    if lease is None or not (
        stat.S_ISREG(status.st_mode) and status.st_size and status.st_ctime_ns > status.st_mtime_ns
    ):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Whoever opens it meanwhile waits until it is closed here; what tells us so must not be SIGIO, which kills.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, lease, fcntl.F_RDLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _content(path: Path) -> bytes:
    """The bytes of a plain file, as far as a request may be long."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RequestError([Problem("request", f"is no plain file: {error.strerror}")]) from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RequestError([Problem("request", "is no plain file")])
        return file.read(MAX_DOCUMENT_BYTES + 1)


def _free(path: Path, folder: Path) -> Path:
    """A name in a folder that is not taken by an earlier file."""
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}-{number}{path.suffix}"
    return target


def _move(path: Path, folder: Path) -> bool:
    """Put a file into a folder; False if somebody else has taken it away."""
    try:
        path.replace(_free(path, folder))
    except FileNotFoundError:
        return False
    return True
