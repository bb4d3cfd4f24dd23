"""What everything takes on the disk, and what there is room for."""

from collections.abc import Mapping

from cm_assets.models.base import Model, TransientFailure

CACHE = "cache"
"""The part that gives way to all others."""


class DiskFull(TransientFailure):
    """There is no room for another video; says what to do."""


class DiskUse(Model):
    """What the home and a local artifact store take.

    Attributes:
        parts: bytes by part: `artifacts`, `uploads`, `outbox`, `cache`, `dagster`, `other`.
        limit: bytes that they may take together; None for no bound.
        free: bytes that are free on the fuller of their disks.
        least_free: bytes that are to stay free.
    """

    parts: Mapping[str, int] = {}
    limit: int | None = None
    free: int
    least_free: int = 0

    @property
    def used(self) -> int:
        """Bytes of all parts."""
        return sum(self.parts.values())

    @property
    def excess(self) -> int:
        """Bytes that must go before there is room for another video; 0 or less if there is room."""
        over = self.used - self.limit + 1 if self.limit is not None else 0
        return max(over, self.least_free - self.free)

    @property
    def full(self) -> str:
        """Why there is no room for another video, and what to do; empty if there is. Caches are no reason."""
        if self.excess <= self.parts.get(CACHE, 0):
            return ""
        if self.limit is not None and self.used - self.parts.get(CACHE, 0) >= self.limit:
            return (
                f"{size(self.used)} of CM_MAX_DISK={size(self.limit)} are taken: retire videos (cm retire ID, "
                "CM_KEEP_DAYS, CM_KEEP_INTERMEDIATES_DAYS), or raise CM_MAX_DISK"
            )
        return f"only {size(self.free)} are free and CM_MIN_FREE is {size(self.least_free)}: free some space"


def size(count: int) -> str:
    """Bytes for a person."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
