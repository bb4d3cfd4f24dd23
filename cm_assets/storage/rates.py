"""How often a service may be called: counted in a file that all processes of this home share, across restarts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cm_assets.models.base import AskedToWait, Seconds

Limit = tuple[int, Seconds]
"""So many calls within so many seconds."""


class Rates:
    """Lets calls through as long as there is room in every window that ends now.

    Args:
        file: SQLite file of the counts.
        limits: by service; one without limits is never held up.
    """

    def __init__(self, file: Path, limits: Mapping[str, Sequence[Limit]]) -> None:
        self._file = file
        self._limits = limits

    def take(self, service: str) -> None:
        """Count a call.

        Raises:
            AskedToWait: there is no room; nothing was counted.
        """
        limits = sorted(self._limits.get(service, ()), key=lambda limit: limit[1])
        if not limits:
            return
        from pyrate_limiter import Rate, RateItem, SQLiteBucket

        self._file.parent.mkdir(parents=True, exist_ok=True)
        rates = [Rate(count, round(seconds * 1000)) for count, seconds in limits]
        # The name is a word of our own settings: it is checked there.
        bucket: Any = SQLiteBucket.init_from_file(rates, table=service, db_path=str(self._file), use_file_lock=True)
        try:
            now = bucket.now()
            bucket.leak(now)
            item = RateItem(service, now)
            if bucket.put(item):
                return
            wait = max(int(bucket.waiting(item)), 1) / 1000
        finally:
            bucket.close()
        said = ", ".join(f"{count} in {_words(seconds)}" for count, seconds in limits)
        raise AskedToWait(f"{service} may be called {said}: no call is left for now", wait)


def _words(seconds: Seconds) -> str:
    names = {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}
    return names.get(round(seconds), f"{seconds:g} s")
