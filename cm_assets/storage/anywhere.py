"""Artifacts behind any URL that fsspec knows and that is neither a folder nor S3."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from cm_assets.models.artifact import LostArtifact


class Anywhere:
    """A folder behind an fsspec URL.

    Args:
        url: of the folder.
    """

    def __init__(self, url: str) -> None:
        from upath import UPath

        self._root = UPath(url)

    def address(self, key: str) -> str:
        """Where a file lies, for people."""
        return str(self._root / key)

    def warm(self) -> None:
        """Nothing is made ready: some of fsspec's clients have threads, which do not survive a fork."""

    def put(self, path: Path, key: str, _sha256: str, _media_type: str) -> None:
        """Store a file under a key, unless it is there; it appears whole."""
        target = self._root / key
        fs = target.fs
        if fs.exists(target.path):
            return
        fs.makedirs(fs._parent(target.path), exist_ok=True)
        part = f"{target.path}.{uuid.uuid4().hex}.part"
        fs.put_file(str(path), part)
        fs.mv(part, target.path)

    def get(self, key: str, target: Path) -> str:
        """Load a file; its SHA-256.

        Raises:
            LostArtifact: it is not there.
        """
        source = self._root / key
        try:
            source.fs.get_file(source.path, str(target))
        except FileNotFoundError:
            raise LostArtifact(f"the artifact {key} is missing: materialize its asset again") from None
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys of a folder, whose name ends with a slash."""
        target = self._root / prefix
        target.fs.invalidate_cache()
        root = target.fs._strip_protocol(self._root.path)
        for name in target.fs.find(target.path):
            yield name.removeprefix(root).lstrip("/")

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files. Removing them again changes nothing."""
        for key in keys:
            target = self._root / key
            with suppress(FileNotFoundError):
                target.fs.rm_file(target.path)

    def abort_abandoned(self, prefix: str = "") -> int:
        """Half an upload is a file like any other: it goes with its video."""
        return 0

    def check(self) -> None:
        """Whether it is there shows when something is put there."""
