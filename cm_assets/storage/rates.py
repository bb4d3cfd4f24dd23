"""How often a service may be called: counted where all processes and hosts of a home see it, across restarts."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cm_assets.models.base import AskedToWait, Seconds
from cm_assets.models.days import CALENDARS, DAY, began, over

Limit = tuple[int, Seconds]
"""So many calls within so many seconds."""


CONTENTION = 50
"""How often a count is tried again that another process was in the way of."""


class Rates:
    """Lets calls through as long as there is room in every window that ends now.

    The window of a day is that of the calendar, for services that have one (`models.days`).

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
        with self._bucket(table, limits, CALENDARS.get(service)) as bucket:
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
        until = "for now" if wait < 60 else f"until {datetime.fromtimestamp(time.time() + wait, UTC):%d %b %H:%M} UTC"
        raise AskedToWait(f"{service} may be called {said}: no call is left {until}", wait)

    @contextmanager
    def _bucket(self, table: str, limits: Sequence[Limit], calendar: ZoneInfo | None) -> Iterator[Any]:
        from pyrate_limiter import PostgresBucket, Rate, SQLiteBucket

        rates = [Rate(count, round(seconds * 1000)) for count, seconds in limits]
        windows = None if calendar is None else _windows()(calendar)
        # Whose parts are a word of our own settings and hexadecimal digits.
        if self._url.startswith("postgresql"):
            from psycopg_pool import ConnectionPool

            with ConnectionPool(self._url, min_size=1, max_size=1) as pool:
                yield PostgresBucket(pool, table, rates, algorithm=windows)
            return
        file = Path(self._url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        bucket: Any = SQLiteBucket.init_from_file(
            rates, table=table, db_path=str(file), use_file_lock=True, algorithm=windows
        )
        try:
            yield bucket
        finally:
            bucket.close()


@cache
def _windows() -> Any:
    """The class of windows of which that of a day begins at midnight; made when it is needed, since its base is."""
    from pyrate_limiter import Rate, SlidingWindowLog

    class Windows(SlidingWindowLog):
        def __init__(self, zone: ZoneInfo) -> None:
            self._zone = zone

        def window_start(self, rate: Rate, now: int) -> int:
            if not _is_day(rate.interval):
                return super().window_start(rate, now)
            return round(began(_time(now), self._zone).timestamp() * 1000)

        def retry_after(self, rate: Rate, now: int, blocking_timestamp: int | None) -> int:
            if not _is_day(rate.interval):
                return super().retry_after(rate, now, blocking_timestamp)
            return round(over(_time(now), self._zone).timestamp() * 1000) - now

    return Windows


def _is_day(milliseconds: int) -> bool:
    return milliseconds == DAY * 1000


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _words(seconds: Seconds) -> str:
    names = {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}
    return names.get(round(seconds), f"{seconds:g} s")
