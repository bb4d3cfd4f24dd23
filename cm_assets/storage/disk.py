"""What the home and a local artifact store take, known without looking at every file.

What a video's artifacts take is noted when something is made of it; the rest is measured now and then.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cm_assets.models.disk import CACHE, DiskFull, DiskUse
from cm_assets.partitions import VideoId
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.uploads import count_uploads

FRESH = 1.0
"""Seconds for which an answer is good."""

PAGE = 200

PARTS = ("cache", "outbox", "dagster")
"""Folders of the home that are told apart; the rest is `other`."""


class Disk:
    """Says what is taken and whether there is room.

    Args:
        settings: where things lie, and the bounds.
        database: what was measured.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._looked = 0.0
        self._said = ""

    def use(self) -> DiskUse:
        """What was last measured, and what is free now."""
        parts = self._database.disk()
        if self._settings.artifacts_folder is not None:
            parts["artifacts"] = self._database.artifact_bytes()
            parts["uploads"] = count_uploads(self._database)[1]
        return self._with(parts)

    def full(self) -> str:
        """Why there is no room for another video, and what to do; empty if there is room. Cheap enough for any tick."""
        if not self._looked or time.monotonic() - self._looked > FRESH:
            use = self._with({})
            # Without a bound, and with enough that is free, there is nothing to count.
            bounded = use.limit is not None or use.excess > 0
            self._said = self.use().full if bounded else ""
            self._looked = time.monotonic()
        return self._said

    def note(self, parts: Mapping[str, int]) -> None:
        """Take down what the parts of the home take."""
        self._database.note_disk(parts)
        self._looked = 0.0

    def require_room(self) -> None:
        """See that there is room for another video.

        Raises:
            DiskFull: there is none.
        """
        if said := self.full():
            raise DiskFull(f"there is no disk space for another video: {said}")

    def _with(self, parts: dict[str, int]) -> DiskUse:
        folders = {self._settings.home, self._settings.artifacts_folder or self._settings.home}
        return DiskUse(
            parts=parts,
            limit=self._settings.max_disk,
            free=min(shutil.disk_usage(_existing(folder)).free for folder in folders),
            least_free=self._settings.min_free,
        )


def check(database: Database, local_bytes: Callable[[VideoId], int]) -> Iterator[None]:
    """Measure the artifacts of every video anew, one at each step: some may have been removed by hand.

    Args:
        database: takes what was measured.
        local_bytes: measures the artifacts of a video.
    """
    page = database.sizes("", PAGE)
    while page:
        for video, noted in page:
            if (count := local_bytes(video)) != noted:
                database.note_size(video, count)
            yield
        page = database.sizes(page[-1][0], PAGE)


def measure(settings: Settings) -> Iterator[tuple[str, int]]:
    """Walk through the home without its artifacts: the bytes of each folder and the part that it belongs to.

    A post that is a link to an artifact takes nothing, as long as the artifact is there. Where the artifacts are
    elsewhere it may be a link to a copy in the cache; then the copy takes nothing, since to remove it makes no room.
    """
    linked = CACHE if settings.artifacts_folder is None else "outbox"
    for part in (*PARTS, "other"):
        yield part, 0
    folders = [settings.home]
    while folders:
        folder = folders.pop()
        inside = folder.relative_to(settings.home).parts
        if folder == settings.artifacts_folder:
            continue
        part = inside[0] if inside and inside[0] in PARTS else "other"
        total = 0
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if part != linked or status.st_nlink == 1:
                        total += status.st_size
        except (FileNotFoundError, PermissionError):
            pass  # gone meanwhile, or somebody else's
        yield part, total


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
