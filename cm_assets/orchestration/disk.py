"""Watches what the home takes on the disk, in slices: caches give way, and what killed steps have left goes."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from cm_assets.models.disk import CACHE, size
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import COPIES, ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk, check, measure
from cm_assets.storage.file_cache import FileCache
from cm_assets.storage.work import sweep_work

log = logging.getLogger("cm_assets.disk")

SLICE = 0.02
"""Seconds that one look may take."""

INTERVAL = 60.0
"""Seconds between two measurements, at least."""

SHARE = 200
"""A measurement that took long is followed by a rest of so many times as long."""


CACHES = {"segments": ".mp4", "speech": ".speech"}
"""Folders of encoded shots and of what paid voices spoke, with their files' suffix."""

LAST_CACHES = {COPIES: ""}
"""Likewise of those that give way after downloaded clips: local copies of remote artifacts."""


class Slices:
    """Work of many small steps that is done again and again, a slice at a time, with rests in between.

    Args:
        begin: begins a round; what it returns does a step whenever it is asked for the next.
    """

    def __init__(self, begin: Callable[[], Iterator[object]]) -> None:
        self._begin = begin
        self._steps: Iterator[object] | None = None
        self._spent = 0.0
        self._rests_until = 0.0

    def hurry(self) -> None:
        """Rest no more before the next round."""
        self._rests_until = 0.0

    def tick(self) -> bool:
        """A slice, if it is time for one; whether it ended a round."""
        started = time.monotonic()
        if started < self._rests_until:
            return False
        if self._steps is None:
            self._steps, self._spent = self._begin(), 0.0
        for _ in self._steps:
            if time.monotonic() - started > SLICE:
                self._spent += time.monotonic() - started
                return False
        self._steps = None
        self._spent += time.monotonic() - started
        self._rests_until = time.monotonic() + max(INTERVAL, self._spent * SHARE)
        return True


class DiskWatch:
    """Measures, after removing the work of dead steps, and trims caches where there is too little room.

    Args:
        settings: where things lie, and the bounds.
        database: takes what was measured.
        store: the artifacts.
        disk: says whether there is room.
    """

    def __init__(self, settings: Settings, database: Database, store: ArtifactStore, disk: Disk) -> None:
        self._settings = settings
        self._disk = disk
        self._sizes: Counter[str] = Counter()
        self._home = Slices(self._measure)
        self._videos = Slices(lambda: check(database, store.local_bytes))

    def tick(self) -> None:
        """One look, if it is time for one."""
        self._videos.tick()
        if self._home.tick():
            self._disk.note(self._sizes)
            self._trim()

    def _measure(self) -> Iterator[None]:
        sweep_work(self._settings.home / "work")
        self._sizes = Counter()
        for part, count in measure(self._settings):
            self._sizes[part] += count
            yield

    def _trim(self) -> None:
        """Take from the caches what is too much, in the order of `CACHES`, then downloaded clips."""
        excess = self._disk.use().excess
        if excess <= 0 or not self._sizes[CACHE]:
            return
        from cm_assets.engines.footage.downloads import Downloads

        freed = self._shrink(CACHES, excess)
        if freed < excess:
            clips = self._settings.cache / "footage"
            before = _bytes(clips, ".mp4")
            Downloads(clips, max(0, before - (excess - freed))).trim()
            freed += before - _bytes(clips, ".mp4")
        freed += self._shrink(LAST_CACHES, excess - freed)
        if freed > 0:
            log.warning("%s of caches went: there is too little disk space", size(freed))
            # How much room that makes is not known: of some files a post is another link.
            self._home.hurry()

    def _shrink(self, caches: Mapping[str, str], excess: int) -> int:
        """Take from caches what is too much, the least recently used first; how many bytes went."""
        freed = 0
        for name, suffix in caches.items():
            folder = self._settings.cache / name
            before = _bytes(folder, suffix)
            FileCache(folder, max(0, before - max(0, excess - freed)), suffix=suffix).trim()
            freed += before - _bytes(folder, suffix)
        return freed


def _bytes(folder: Path, suffix: str) -> int:
    total = 0
    for path in folder.glob(f"*{suffix}"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
