"""How often a service may be called: counted where all processes and hosts of a home see it, across restarts."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cm_assets.models.base import AskedToWait, Seconds

Limit = tuple[int, Seconds]
"""So many calls within so many seconds."""


CONTENTION = 50
"""How often a count is tried again that another process was in the way of."""


class Rates:
    """Lets calls through as long as there is room in every window that ends now.

    Args:
        url: of the counts: `sqlite:///FILE` or `postgresql://...`.
        limits: by service; one without limits is never held up.
    """

    def __init__(self, url: str, limits: Mapping[str, Sequence[Limit]]) -> None:
        self._url = url
        self._limits = limits

    def take(self, service: str, account: str = "") -> None:
        """Count a call.

        Args:
            service: what is called.
            account: in whose name, where each has limits of its own.

        Raises:
            AskedToWait: there is no room; nothing was counted.
        """
        limits = sorted(self._limits.get(service, ()), key=lambda limit: limit[1])
        if not limits:
            return
        from pyrate_limiter import RateItem

        table = service + (f"_{hashlib.sha256(account.encode()).hexdigest()[:12]}" if account else "")
        with self._bucket(table, limits) as bucket:
            for _ in range(CONTENTION):
                now = bucket.now()
                bucket.leak(now)
                item = RateItem(service, now)
                if bucket.put(item):
                    return
                wait = max(int(bucket.waiting(item)), 1) / 1000
                if wait > 0.1:
                    break
                time.sleep(0.02)
        said = ", ".join(f"{count} in {_words(seconds)}" for count, seconds in limits)
        raise AskedToWait(f"{service} may be called {said}: no call is left for now", wait)

    @contextmanager
    def _bucket(self, table: str, limits: Sequence[Limit]) -> Iterator[Any]:
        from pyrate_limiter import PostgresBucket, Rate, SQLiteBucket

        rates = [Rate(count, round(seconds * 1000)) for count, seconds in limits]
        # Whose parts are a word of our own settings and hexadecimal digits.
        if self._url.startswith("postgresql"):
            from psycopg_pool import ConnectionPool

            with ConnectionPool(self._url, min_size=1, max_size=1) as pool:
                yield PostgresBucket(pool, table, rates)
            return
        file = Path(self._url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        bucket: Any = SQLiteBucket.init_from_file(rates, table=table, db_path=str(file), use_file_lock=True)
        try:
            yield bucket
        finally:
            bucket.close()


def _words(seconds: Seconds) -> str:
    names = {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}
    return names.get(round(seconds), f"{seconds:g} s")
