"""Clips from the network, each loaded once for all videos: resumed after a break, and kept in a folder with a bound.

Files are kept under the hash of their content, which is checked whenever one is taken; a note by address says which.
What a file holds is judged by whoever takes it; here it is only bytes from a hostile place.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

import httpx

from cm_assets.engines.http import connected, failure_of
from cm_assets.engines.public_hosts import PublicHosts
from cm_assets.models.base import PermanentFailure, Seconds, TransientFailure

LARGEST = 500_000_000
"""Bytes of one clip. The renditions that we choose have a tenth of it."""

LONGEST: Seconds = 300.0
"""For one clip, breaks included: half of the stage's time."""

SILENCE: Seconds = 15.0
"""For which a server may send nothing."""

MOST_BREAKS = 4
"""Attempts in a row that bring nothing new."""

MOST_REDIRECTS = 5

ABANDONED: Seconds = 86_400.0
"""After which the beginning of a file that nobody goes on with is dropped."""

log = logging.getLogger(__name__)


class Stopped(Exception):
    """Nobody waits for the download any more."""


class _Broken(Exception):
    """The connection broke off, and what came of the file is kept."""


class Downloads:
    """A folder of downloaded files, the least recently used of which go first when they are too many.

    Safe for several processes and threads, and whenever one is killed: a file appears whole, two who want the same
    address load it once, and two addresses of the same content take its room once. Whoever has taken a file has a link
    or a copy of his own, and nothing that is removed here is missing there.

    Args:
        folder: where they lie; made if it is not there.
        limit: bytes that they may take together.
        allow_private: load from any host, by http as well.
        largest: bytes of one file.
        longest: seconds for one file.
        silence: seconds for which a server may send nothing.
        pause: seconds before the first attempt after a break; they double.
    """

    def __init__(
        self,
        folder: Path,
        limit: int,
        *,
        allow_private: bool = False,
        largest: int = LARGEST,
        longest: Seconds = LONGEST,
        silence: Seconds = SILENCE,
        pause: Seconds = 0.5,
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._allow_private = allow_private
        self._largest = largest
        self._longest = longest
        self._silence = silence
        self._pause = pause

    def take(self, url: str, target: Path, stop: threading.Event | None = None) -> None:
        """Put the file of an address at `target`, from the folder if it is there.

        Args:
            url: of the file.
            target: replaced if it is there.
            stop: set by whoever does not want it any more.

        Raises:
            Stopped: `stop` was set.
            TransientFailure: the host is down, or too slow; what came is kept for the next attempt.
            AskedToWait: the host said when to come back.
            PermanentFailure: there is no such file, or it is too large, or its host is not to be reached.
        """
        stop = stop or threading.Event()
        self._folder.mkdir(parents=True, exist_ok=True)
        name = _name(url)
        with self._alone(name, stop):
            if not self._kept(name, target):
                part = self._folder / f"{name}.part"
                self._load(url, part, stop)
                # Taken before it is kept: from then on the bound may remove it at any moment.
                _link(part, target)
                content = _sha256(part)
                part.replace(self._folder / f"{content}.mp4")
                self._note(name).write_text(content)
                _validator_file(part).unlink(missing_ok=True)
        self.trim()

    def drop(self, url: str) -> None:
        """Forget the file of an address: it is not what it should be."""
        if (path := self._path(_name(url))) is not None:
            path.unlink(missing_ok=True)

    def _kept(self, name: str, target: Path) -> bool:
        """Put what is kept for an address at `target`, unless it is gone or is not any more what it was."""
        path = self._path(name)
        if path is None:
            return False
        try:
            _link(path, target)
            os.utime(path)
        except FileNotFoundError:
            return False
        if _sha256(target) == path.stem:
            return True
        log.warning("footage: %s is not what was loaded, and is loaded again", path)
        path.unlink(missing_ok=True)
        return False

    def _path(self, name: str) -> Path | None:
        """Where the content of an address lies if it is there; a note that was written half is none."""
        try:
            content = self._note(name).read_text(errors="replace")
        except FileNotFoundError:
            return None
        return self._folder / f"{content}.mp4" if re.fullmatch(r"[0-9a-f]{64}", content) else None

    def _note(self, name: str) -> Path:
        return self._folder / f"{name}.note"

    def trim(self) -> None:
        """Drop what is over the bound, beginnings that were abandoned, and notes of what is gone."""
        kept, total = [], 0
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            with suppress(FileNotFoundError):
                status = path.stat()
                total += status.st_size
                kept.append((status.st_mtime, status.st_size, path))
        for changed, size, path in sorted(kept):
            if path.suffix == ".mp4" and total > self._limit:
                path.unlink(missing_ok=True)
                total -= size
            elif path.suffix not in {".mp4", ".note"} and time.time() - changed > ABANDONED:
                self._remove(path)
        for note in self._folder.glob("*.note"):
            content = self._path(note.stem)
            if content is None or not content.exists():
                self._remove(note)

    def _remove(self, path: Path) -> None:
        """Remove what there is beside content, unless somebody is loading it."""
        lock = self._try_lock(path.stem)
        if lock is None:
            return
        with lock:
            path.unlink(missing_ok=True)
            if not any((self._folder / f"{path.stem}{suffix}").exists() for suffix in (".note", ".part", ".json")):
                Path(lock.name).unlink(missing_ok=True)

    @contextmanager
    def _alone(self, name: str, stop: threading.Event) -> Iterator[None]:
        """Wait for whoever loads the same file."""
        while (lock := self._try_lock(name)) is None:
            if stop.wait(0.1):
                raise Stopped
        with lock:
            yield

    def _try_lock(self, name: str) -> IO[str] | None:
        """The lock of a file, held until it is closed; None if somebody else has it."""
        path = self._folder / f"{name}.lock"
        lock = path.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed it: then its name is another one's.
            if os.fstat(lock.fileno()).st_ino == path.stat().st_ino:
                return lock
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            lock.close()
            raise
        lock.close()
        return None

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        # To read the authorities' certificates takes 20 ms each time.
        return httpx.create_ssl_context()

    def _load(self, url: str, part: Path, stop: threading.Event) -> None:
        deadline = time.monotonic() + self._longest
        timeout = httpx.Timeout(self._silence, connect=10.0)
        transport = PublicHosts(allow_private=self._allow_private, trust=self._trust)
        headers = {"user-agent": "cm_assets", "accept-encoding": "identity", "accept": "video/*, */*;q=0.5"}
        breaks = 0
        with httpx.Client(
            transport=transport, timeout=timeout, follow_redirects=True, max_redirects=MOST_REDIRECTS, headers=headers
        ) as client:
            while not stop.is_set():
                before = _size(part)
                try:
                    self._receive(client, url, part, stop, deadline)
                except (_Broken, TransientFailure) as error:
                    breaks = 0 if _size(part) > before else breaks + 1
                    if breaks >= MOST_BREAKS or time.monotonic() > deadline:
                        raise TransientFailure(str(error)) from None
                    log.info("footage: %s; going on from byte %d", error, _size(part))
                    stop.wait(self._pause * 2 ** max(0, breaks - 1))
                except OSError as error:
                    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                        part.unlink(missing_ok=True)
                    raise
                else:
                    return
        raise Stopped

    def _receive(self, client: httpx.Client, url: str, part: Path, stop: threading.Event, deadline: float) -> None:
        """The whole file, or what is missing of it."""
        validator = _validator(part)
        begin = _size(part) if validator else 0
        # Without If-Range the rest of another version of the file could follow the beginning of this one.
        asked = {"range": f"bytes={begin}-", "if-range": validator} if begin else {}
        with connected("the clip's host"), _redirected(), client.stream("GET", url, headers=asked) as answer:
            begins = _begin(answer)
            if begin and (answer.status_code == 416 or begins not in {0, begin}):
                part.unlink()
                raise _Broken("the clip's host has another file than before")
            if not answer.is_success or answer.status_code == 204:
                raise failure_of(answer, "the clip's host")
            self._refuse_unfit(answer, begins)
            self._write(answer, part, begins, stop, deadline)

    def _refuse_unfit(self, answer: httpx.Response, begin: int) -> None:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith("text/") or kind in {"application/json", "application/xml"}:
            raise PermanentFailure(f"the clip's host sends {kind} instead of a video")
        announced = _number(answer.headers.get("content-length"))
        if announced is not None and begin + announced > self._largest:
            raise PermanentFailure(f"the clip is larger than {self._largest / 1e6:.0f} MB")

    def _write(self, answer: httpx.Response, part: Path, begin: int, stop: threading.Event, deadline: float) -> None:
        if not begin:
            # The note goes first: a beginning without one is begun anew, one with another file's would not be.
            _validator_file(part).unlink(missing_ok=True)
            part.unlink(missing_ok=True)
            if validator := _validator_of(answer):
                _validator_file(part).write_text(json.dumps(validator))
        announced = _number(answer.headers.get("content-length"))
        size = begin
        with part.open("ab") as file:
            for block in answer.iter_raw():
                if stop.is_set():
                    raise Stopped
                size += len(block)
                if size > self._largest:
                    part.unlink()
                    raise PermanentFailure(f"the clip is larger than {self._largest / 1e6:.0f} MB")
                file.write(block)
                if time.monotonic() > deadline:
                    raise TransientFailure(f"the clip did not come within {self._longest:g} s")
        if announced is not None and size < begin + announced:
            raise _Broken("the clip's host broke the connection off")


@contextmanager
def _redirected() -> Iterator[None]:
    try:
        yield
    except httpx.TooManyRedirects:
        raise PermanentFailure(f"the clip's host redirects more than {MOST_REDIRECTS} times") from None


def _begin(answer: httpx.Response) -> int:
    """The byte with which the answer begins, as it says itself; -1 if it does not say it."""
    if answer.status_code != 206:
        return 0
    said = re.match(r"bytes (\d{1,15})-", answer.headers.get("content-range", ""))
    return int(said[1]) if said else -1


def _validator_of(answer: httpx.Response) -> str:
    """What says that a file is the same one later (RFC 9110, 13.1.5): a strong ETag, else its date; else empty."""
    tag = str(answer.headers.get("etag", ""))
    if re.fullmatch(r'"[\x21\x23-\x7e]{0,200}"', tag):
        return tag
    date = str(answer.headers.get("last-modified", ""))
    return date if re.fullmatch(r"[A-Za-z0-9 ,:+-]{1,60}", date) and not tag.startswith("W/") else ""


def _validator_file(part: Path) -> Path:
    return part.with_suffix(".json")


def _validator(part: Path) -> str:
    try:
        return str(json.loads(_validator_file(part).read_text()))
    except (OSError, ValueError):
        return ""


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,15}", text) else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(url: str) -> str:
    """Never a part of the address: it is somebody else's text."""
    return hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:32]


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
