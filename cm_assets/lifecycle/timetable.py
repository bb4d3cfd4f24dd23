"""When an entry of the calendar is due: its dates, either way in time. Pure."""

import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cm_assets.models.calendar import CalendarEntry

ORIGIN = datetime(2026, 1, 1)
"""Where the dates of an entry without a start are numbered from, in its own zone."""

_MARGIN = timedelta(hours=3)
"""More than any change of the clocks. In the hour that comes twice cronsim does not say whether a moment is before or
after, so it is asked from outside that hour, and what is not wanted is left out."""


class Timetable:
    """The dates of one entry, aware and in its zone, each once."""

    def __init__(self, entry: CalendarEntry) -> None:
        self._entry = entry
        self._start = entry.moment(entry.start) if entry.start else None
        self._end = entry.moment(entry.end) if entry.end else None
        # Compared as UTC: in one zone Python compares the clocks' faces, of which an hour comes twice.
        self._dates = sorted({entry.moment(one).astimezone(UTC) for one in entry.dates or ()})
        self._counted: tuple[datetime, int] | None = None

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The dates after a moment, the soonest first."""
        last = moment.astimezone(UTC)
        if self._start is not None:
            last = max(last, self._start.astimezone(UTC) - timedelta(seconds=1))
        for date in self._forward(last):
            if date <= last:
                continue
            if self._end is not None and date > self._end.astimezone(UTC):
                return
            last = date
            yield date.astimezone(self._entry.zone)

    def until(self, moment: datetime) -> Iterator[datetime]:
        """The dates up to and with a moment, the newest first."""
        last = moment.astimezone(UTC)
        if self._end is not None:
            last = min(last, self._end.astimezone(UTC))
        last += timedelta(seconds=1)
        for date in self._backward(last):
            if date >= last:
                continue
            if self._start is not None and date < self._start.astimezone(UTC):
                return
            last = date
            yield date.astimezone(self._entry.zone)

    def ordinal(self, date: datetime) -> int:
        """The number of a date: 1 for the first since start; without a start 1 for the first of 2026."""
        origin = self._start or self._entry.moment(ORIGIN)
        before_origin = origin - timedelta(seconds=1)
        if self._entry.dates is not None:
            first = 0 if self._start is None else bisect.bisect_left(self._dates, self._start.astimezone(UTC))
            return bisect.bisect_right(self._dates, date.astimezone(UTC)) - first
        if date.astimezone(UTC) < origin.astimezone(UTC):
            return 1 - sum(1 for _ in self._between(date - timedelta(seconds=1), before_origin))
        since, count = before_origin, 0
        if self._counted is not None and self._counted[0].astimezone(UTC) <= date.astimezone(UTC):
            since, count = self._counted
        count += sum(1 for _ in self._between(since, date))
        self._counted = (date, count)
        return count

    def _between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        for date in self.after(after):
            if date.astimezone(UTC) > until.astimezone(UTC):
                return
            yield date

    def _forward(self, moment: datetime) -> Iterator[datetime]:
        if self._entry.cron is None:
            yield from self._dates[bisect.bisect_right(self._dates, moment) :]
            return
        from cronsim import CronSim

        for date in CronSim(self._entry.cron, (moment - _MARGIN).astimezone(self._entry.zone)):
            yield date.astimezone(UTC)

    def _backward(self, moment: datetime) -> Iterator[datetime]:
        if self._entry.cron is None:
            yield from reversed(self._dates[: bisect.bisect_left(self._dates, moment)])
            return
        from cronsim import CronSim

        for date in CronSim(self._entry.cron, (moment + _MARGIN).astimezone(self._entry.zone), reverse=True):
            yield date.astimezone(UTC)
