"""The artifact store: immutable files in a folder, in a bucket of S3 or behind an fsspec URL.

They lie under `<video id>/<asset>/<sha256[:16]>.<ext>`. A file appears whole or not at all, and never changes. Of what
does not lie on this machine there are copies in a cache with a bound; each is checked by its hash.
"""

import hashlib
import os
import re
import shutil
import time
import uuid
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cm_assets.models.artifact import ArtifactRef, LostArtifact
from cm_assets.storage.anywhere import Anywhere
from cm_assets.storage.bucket import Bucket
from cm_assets.storage.file_cache import FileCache, Lent

CHUNK = 1 << 20

COPIES = "artifacts"
"""Folder of the cache with copies of what lies elsewhere."""

LIMIT = 10_000_000_000
"""Bytes of copies, where nothing else is said."""

LONGEST_USE = 3600.0
"""Seconds for which whoever has asked for a path may read it: twice what any stage may take."""

NOTICEABLE = 1_000_000
"""Bytes of a copy after which the bound is looked at: to look costs more than many small ones take."""


class ArtifactStore:
    """Puts files in and hands them out.

    Args:
        url: a folder, `s3://bucket/folder` or an fsspec URL.
        cache: folder for files in the making, and for local copies of what does not lie in a local folder.
        limit: bytes that the copies may take; those that are in use come on top.
    """

    def __init__(self, url: str, cache: Path, limit: int = LIMIT) -> None:
        self.url = url
        protocol, mark, path = url.partition("://")
        self._folder = Path(path if mark else url) if not mark or protocol in {"file", "local"} else None
        self._cache = cache
        self._remote: Bucket | Anywhere | None = None
        if self._folder is None:
            self._remote = Bucket(url) if protocol == "s3" else Anywhere(url)
        self._copies = FileCache(cache / COPIES, limit, suffix="")
        self._lent: deque[tuple[float, Lent]] = deque()
        self._sound: dict[str, _Seen] = {}

    def warm(self) -> None:
        """Make ready what processes that are forked from this one can share."""
        if self._remote is not None:
            self._remote.warm()

    def put_file(self, video: str, asset: str, path: Path, media_type: str) -> ArtifactRef:
        """Store a copy of a local file. Storing the same content again changes nothing.

        Raises:
            Failure: it is not there.
        """
        sha256 = _sha256(path)
        key = f"{video}/{asset}/{sha256[:16]}{path.suffix}"
        ref = ArtifactRef(key=key, sha256=sha256, size=path.stat().st_size, media_type=media_type)
        if self._remote is None:
            _place(path, self._place_of(key))
        else:
            self._remote.put(path, key, sha256, media_type)
            self._copies.put(_name(key), path)
            self._trim(ref.size)
        return ref

    def put_bytes(self, video: str, asset: str, content: bytes, suffix: str, media_type: str) -> ArtifactRef:
        """Store bytes, such as a model's JSON."""
        self._cache.mkdir(parents=True, exist_ok=True)
        path = self._cache / f"{uuid.uuid4().hex}.part{suffix}"
        try:
            path.write_bytes(content)
            return self.put_file(video, asset, path, media_type)
        finally:
            path.unlink(missing_ok=True)

    def local(self, ref: ArtifactRef) -> Path:
        """A local path of a stored file: the file itself, or a copy that stays for an hour.

        Raises:
            LostArtifact: it is not there, or is not what it was.
            Failure: it cannot be had.
        """
        if self._remote is None:
            return self._checked(ref)
        now = time.monotonic()
        while self._lent and now - self._lent[0][0] > LONGEST_USE:
            self._lent.popleft()[1].close()
        lent = self._lend(ref.key, ref)
        self._lent.append((now, lent))
        return lent.path

    def lend(self, ref: ArtifactRef) -> AbstractContextManager[Path]:
        """A local path of a stored file, for the time of a `with` block.

        Raises:
            LostArtifact: it is not there, or is not what it was.
            Failure: it cannot be had.
        """
        return nullcontext(self._checked(ref)) if self._remote is None else _Borrowed(self._lend(ref.key, ref))

    def read(self, key: str) -> bytes:
        """The content of a small file, such as a model's JSON, by its key.

        Raises:
            LostArtifact: it is not there.
            Failure: it cannot be had.
        """
        try:
            if self._remote is None:
                return self._place_of(key).read_bytes()
            with self._lend(key) as lent:
                return lent.path.read_bytes()
        except FileNotFoundError:
            raise LostArtifact(f"the artifact {key} is missing: materialize its asset again") from None

    def address(self, ref: ArtifactRef) -> str:
        """Where the file lies, for a person: an absolute path or a URL."""
        return str(self._place_of(ref.key)) if self._remote is None else self._remote.address(ref.key)

    def write_convenience_copy(self, video: str, asset: str, content: bytes) -> None:
        """Write `<video>/<asset>.json`, which people read and no program does. Nobody looks into a bucket."""
        if self._remote is None:
            path = self._place_of(f"{video}/{asset}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{uuid.uuid4().hex}.part.json")
            part.write_bytes(content)
            part.replace(path)

    def local_bytes(self, video: str) -> int:
        """What a video's files take on our disks: nothing if the store lies elsewhere."""
        return sum(size for _, size in _files(self._place_of(video))) if self._remote is None else 0

    def remove(self, video: str) -> None:
        """Remove all that is there of a video. Removing it again changes nothing.

        Raises:
            Failure: something is there still.
        """
        if self._remote is None:
            _remove(self._place_of(video))
        else:
            self._remove(list(self._remote.keys(f"{video}/")))

    def remove_media(self, video: str, *, but: Collection[str]) -> None:
        """Remove a video's media, but not the models (JSON), which say what was made and are small.

        Args:
            video: whose.
            but: assets that keep theirs.

        Raises:
            Failure: something is there still.
        """
        kept = tuple(f"{video}/{asset}/" for asset in but)
        if self._remote is not None:
            there = self._remote.keys(f"{video}/")
            self._remove([key for key in there if not key.endswith(".json") and not key.startswith(kept)])
            return
        root = self._place_of("")
        for path, _ in list(_files(root / video)):
            if path.suffix != ".json" and not f"{path.relative_to(root)}".startswith(kept):
                path.unlink(missing_ok=True)

    def abort_abandoned(self) -> int:
        """Remove what uploads left in a bucket whose writers were killed a day ago or earlier; how many.

        Raises:
            Failure: that is not known.
        """
        return self._remote.abort_abandoned() if self._remote is not None else 0

    def check(self) -> None:
        """Store a file, read it and remove it.

        Raises:
            Failure: that is not possible.
            OSError: likewise.
        """
        if self._remote is not None:
            self._remote.check()
        content, place = os.urandom(16), f"_doctor-{uuid.uuid4().hex}"
        ref = self.put_bytes(place, "probe", content, ".txt", "text/plain")
        if self._remote is not None:
            self._copies.drop(_name(ref.key))  # or that would be what is read
        try:
            if self.read(ref.key) != content:
                raise LostArtifact(f"{self.address(ref)} has something else than was stored there")
        finally:
            self.remove(place)

    def _checked(self, ref: ArtifactRef) -> Path:
        path = self._place_of(ref.key)
        if not path.is_file() or path.stat().st_size != ref.size:
            raise LostArtifact(f"the artifact {ref.key} is missing or damaged: materialize its asset again")
        return path

    def _place_of(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / key

    def _lend(self, key: str, ref: ArtifactRef | None = None) -> Lent:
        """A copy of a remote file, checked by its hash; that of a model by the part of it that the key has."""
        remote, loaded = self._remote, []
        assert remote is not None

        def load(part: Path) -> None:
            for _ in range(2):
                found = remote.get(key, part)
                loaded.append(part.stat().st_size)
                if _is_it(found, key, ref):
                    return
            raise LostArtifact(f"the artifact {key} is damaged: materialize its asset again")

        lent = self._copies.lend(_name(key), load, sound=lambda path: self._is_sound(path, key, ref))
        self._trim(sum(loaded))
        return lent

    def _is_sound(self, path: Path, key: str, ref: ArtifactRef | None) -> bool:
        """Whether a copy is what it should be. What this process has looked into, it looks into if it changed."""
        seen = _Seen.of(path)
        if self._sound.get(key) == seen:
            return True
        if not _is_it(_sha256(path), key, ref):
            return False
        if len(self._sound) > 10_000:
            self._sound.clear()
        self._sound[key] = seen
        return True

    def _remove(self, keys: list[str]) -> None:
        assert self._remote is not None
        for key in keys:
            self._copies.drop(_name(key))
        self._remote.remove(keys)

    def _trim(self, came: int) -> None:
        if came >= NOTICEABLE:
            self._copies.trim()


class _Borrowed(AbstractContextManager[Path]):
    def __init__(self, lent: Lent) -> None:
        self._lent = lent

    def __enter__(self) -> Path:
        return self._lent.path

    def __exit__(self, *_: object) -> None:
        self._lent.close()


@dataclass(frozen=True)
class _Seen:
    """What tells whether a file has changed."""

    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "_Seen":
        status = path.stat()
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


def _name(key: str) -> str:
    """Of a copy. Never a part of the key, which holds slashes."""
    return hashlib.sha256(key.encode()).hexdigest() + PurePosixPath(key).suffix


def _is_it(sha256: str, key: str, ref: ArtifactRef | None) -> bool:
    if ref is not None:
        return sha256 == ref.sha256
    stem = PurePosixPath(key).stem
    return re.fullmatch(r"[0-9a-f]{16}", stem) is None or sha256.startswith(stem)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(source: Path, target: Path) -> None:
    """Copy a file so that the target appears whole, on the disk and not only in its cache."""
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{uuid.uuid4().hex}.part{target.suffix}")
    try:
        with source.open("rb") as reader, part.open("wb") as writer:
            shutil.copyfileobj(reader, writer, CHUNK)
            writer.flush()
            os.fsync(writer.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """The files below a folder and their bytes; none if it is not there."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                path = Path(parent, name)
                yield path, path.lstat().st_size


def _remove(folder: Path) -> None:
    """Remove a folder, also while somebody else removes it."""
    for _ in range(3):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
