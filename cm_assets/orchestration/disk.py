"""Watches what the home takes on the disk, in slices, and makes the caches give way."""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cm_assets.media.segment_cache import SegmentCache
from cm_assets.models.disk import CACHE, size
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk, measure

log = logging.getLogger("cm_assets.disk")

SLICE = 0.02
"""Seconds that one look may take."""

INTERVAL = 60.0
"""Seconds between two measurements, at least."""

SHARE = 200
"""A measurement of a large home is followed by a rest of so many times what it took."""

VIDEOS = 20
"""Videos of one look whose artifacts were never measured."""

IN_USE = 3600.0
"""Seconds for which a local copy of a remote artifact may be needed by whoever fetched it."""


class DiskWatch:
    """Measures, and trims caches where there is too little room.

    Args:
        settings: where things lie, and the bounds.
        database: takes what was measured.
        store: the artifacts.
        disk: says whether there is room.
    """

    def __init__(self, settings: Settings, database: Database, store: ArtifactStore, disk: Disk) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._disk = disk
        self._walk: Iterator[tuple[str, int]] | None = None
        self._sizes: Counter[str] = Counter()
        self._spent = 0.0
        self._rests_until = 0.0

    def tick(self) -> None:
        """One look, if it is time for one."""
        started = time.monotonic()
        if self._walk is None:
            if started < self._rests_until:
                return
            if self._measure_videos():
                return
            self._walk, self._sizes, self._spent = measure(self._settings), Counter(), 0.0
        for part, count in self._walk:
            self._sizes[part] += count
            if time.monotonic() - started > SLICE:
                self._spent += time.monotonic() - started
                return
        self._spent += time.monotonic() - started
        self._walk = None
        self._database.note_disk(self._sizes)
        self._trim()
        self._rests_until = time.monotonic() + max(INTERVAL, self._spent * SHARE)

    def _measure_videos(self) -> bool:
        """Measure some videos that nobody has; whether there were any."""
        videos = self._database.unmeasured(VIDEOS)
        for video in videos:
            self._database.note_size(video, self._store.local_bytes(video))
        return bool(videos)

    def _trim(self) -> None:
        """Take from the caches what is too much, the encoded shots first."""
        excess = self._disk.use().excess
        if excess <= 0 or not self._sizes[CACHE]:
            return
        segments = self._settings.cache / "segments"
        before = _bytes(segments)
        SegmentCache(segments, max(0, before - excess)).trim()
        freed = before - _bytes(segments)
        freed += _drop_copies(self._settings.cache / "artifacts", excess - freed)
        if freed > 0:
            log.warning("%s of caches went: there is too little disk space", size(freed))
            self._sizes[CACHE] -= freed
            self._database.note_disk(self._sizes)


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*.mp4"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _drop_copies(folder: Path, excess: int) -> int:
    """Remove local copies of remote artifacts, the oldest first; how many bytes went."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                status = (Path(parent) / name).stat()
                found.append((status.st_mtime, status.st_size, Path(parent) / name))
    freed = 0
    for changed, count, path in sorted(found):
        if freed >= excess or time.time() - changed < IN_USE:
            break
        path.unlink(missing_ok=True)
        freed += count
    return freed
