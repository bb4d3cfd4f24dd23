"""The artifact store: immutable files in a folder or behind an fsspec URL.

They lie under `<video id>/<asset>/<sha256[:16]>.<ext>`. A file appears whole or not at all, and never changes.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from upath import UPath

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import PermanentFailure

CHUNK = 1 << 20


class ArtifactStore:
    """Puts files in and hands them out.

    Args:
        url: a folder or an fsspec URL.
        cache: folder for local copies of what lies behind a URL that is not a local folder.
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.root = UPath(url)
        self._folder = Path(self.root.path) if self.root.protocol in {"", "file", "local"} else None
        self._cache = cache

    def put_file(self, video: str, asset: str, path: Path, media_type: str) -> ArtifactRef:
        """Store a copy of a local file. Storing the same content again changes nothing."""
        sha256 = _sha256(path)
        key = f"{video}/{asset}/{sha256[:16]}{path.suffix}"
        ref = ArtifactRef(key=key, sha256=sha256, size=path.stat().st_size, media_type=media_type)
        if self._folder is not None:
            _place(path, self._folder / key)
        else:
            self._upload(path, key)
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
        """A local path of a stored file: the file itself, or a copy that was checked against its hash.

        Raises:
            PermanentFailure: it is not there, or is not what it was.
        """
        if self._folder is not None:
            path = self._folder / ref.key
            if not path.is_file() or path.stat().st_size != ref.size:
                raise PermanentFailure(f"the artifact {ref.key} is missing or damaged: materialize its asset again")
            return path
        copy = self._cache / "artifacts" / ref.sha256[:2] / f"{ref.sha256}{ref.suffix}"
        if not copy.is_file():
            self._download(ref, copy)
        return copy

    def read(self, key: str) -> bytes:
        """The content of a small file, such as a model's JSON, by its key.

        Raises:
            PermanentFailure: it is not there.
        """
        try:
            return bytes((self.root / key).read_bytes())
        except FileNotFoundError:
            raise PermanentFailure(f"the artifact {key} is missing: materialize its asset again") from None

    def address(self, ref: ArtifactRef) -> str:
        """Where the file lies, for a person: an absolute path or a URL."""
        return str(self._folder / ref.key) if self._folder is not None else str(self.root / ref.key)

    def write_convenience_copy(self, video: str, asset: str, content: bytes) -> None:
        """Write `<video>/<asset>.json`, which people read and no program does."""
        if self._folder is not None:
            path = self._folder / video / f"{asset}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{uuid.uuid4().hex}.part.json")
            part.write_bytes(content)
            part.replace(path)
        else:
            (self.root / video / f"{asset}.json").write_bytes(content)

    def local_bytes(self, video: str) -> int:
        """What a video's files take on our disks: nothing if the store lies elsewhere."""
        return sum(size for _, size in _files(self._folder / video)) if self._folder is not None else 0

    def remove(self, video: str) -> None:
        """Remove all that is there of a video. Removing it again changes nothing."""
        if self._folder is not None:
            _remove(self._folder / video)
            return
        target = self.root / video
        target.fs.invalidate_cache()
        with suppress(FileNotFoundError):
            target.fs.rm(target.path, recursive=True)

    def remove_media(self, video: str, *, but: Collection[str]) -> None:
        """Remove a video's media, but not the models (JSON), which say what was made and are small.

        Args:
            video: whose.
            but: assets that keep theirs.
        """
        kept = {f"{video}/{asset}/" for asset in but}
        if self._folder is not None:
            for path, _ in list(_files(self._folder / video)):
                if path.suffix != ".json" and not f"{path.relative_to(self._folder)}".startswith(tuple(kept)):
                    path.unlink(missing_ok=True)
            return
        target = self.root / video
        target.fs.invalidate_cache()
        for name in target.fs.find(target.path):
            key = name.removeprefix(target.fs._strip_protocol(self.root.path)).lstrip("/")
            if not name.endswith(".json") and not key.startswith(tuple(kept)):
                with suppress(FileNotFoundError):
                    target.fs.rm_file(name)

    def _upload(self, path: Path, key: str) -> None:
        target = self.root / key
        fs = target.fs
        if fs.exists(target.path):
            return
        fs.makedirs(fs._parent(target.path), exist_ok=True)
        part = f"{target.path}.{uuid.uuid4().hex}.part"
        fs.put_file(str(path), part)
        fs.mv(part, target.path)

    def _download(self, ref: ArtifactRef, copy: Path) -> None:
        copy.parent.mkdir(parents=True, exist_ok=True)
        part = copy.with_name(f"{uuid.uuid4().hex}.part{ref.suffix}")
        target = self.root / ref.key
        try:
            try:
                target.fs.get_file(target.path, str(part))
            except FileNotFoundError:
                raise PermanentFailure(f"the artifact {ref.key} is missing: materialize its asset again") from None
            if _sha256(part) != ref.sha256:
                raise PermanentFailure(f"the artifact {ref.key} is damaged: materialize its asset again")
            part.replace(copy)
        finally:
            part.unlink(missing_ok=True)


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
