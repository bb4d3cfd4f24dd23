"""The calendar: each due date of an entry becomes one request.

Once, whatever happens in between and however many look: the request is stored under the entry's name and date, and only
then is it noted how far the entry was served. A look that was interrupted finds the same videos again.
"""

import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, takewhile
from pathlib import Path

from cm_assets.lifecycle.calendar import SOURCE, Due, Plan, Planned, due, next_look, plan
from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.lifecycle.documents import Problem, RequestError
from cm_assets.lifecycle.intake import Accepted, accept, judge
from cm_assets.models.base import PermanentFailure
from cm_assets.models.disk import DiskFull
from cm_assets.storage.database import Database

log = logging.getLogger("cm_assets.calendar")

SETTLED = 1.0
"""Seconds for which the file must not have changed: until then somebody may be writing it."""

LOOK_AT_LEAST = timedelta(minutes=10)
"""Longest time between two looks, and so the age of the oldest date that an entry can owe by a change of its times."""

TRY_AGAIN = timedelta(minutes=1)
"""Until a date that could not be served is tried again."""

MOST_BACKFILLED = 1000
"""Dates of one backfill."""


Stamp = tuple[int, int, int, int]

GONE: Stamp = (0, 0, 0, 0)
UNREADABLE: Stamp = (-1, 0, 0, 0)


class Calendar:
    """Serves the calendar of a home.

    Args:
        file: the calendar; there need not be one.
        kept: where the newest version that could be read is kept, for when the file is broken.
        database: takes the requests.
        catalogue: what can be asked for.
        room: raises `DiskFull` where there is no room for another video.
    """

    def __init__(
        self,
        file: Path,
        kept: Path,
        database: Database,
        catalogue: Callable[[], Catalogue],
        room: Callable[[], None] = lambda: None,
    ) -> None:
        self._room = room
        self._file = file
        self._kept = kept
        self._database = database
        self._catalogue = catalogue
        self._plan = Plan()
        self._stamp: Stamp | None = None
        self._next = datetime.min.replace(tzinfo=UTC)
        self._said: dict[str, str] = {}

    def tick(self, now: datetime | None = None) -> int:
        """One look, if it is time for one; how many requests came of it."""
        now = now or datetime.now(UTC)
        version = self._version()
        changed = version is not None and version != self._stamp
        if not changed and now < self._next:
            return 0
        count = 0
        if changed:
            # What was due until now was due by the old version.
            count += self._serve_all(now)
            self._read(now)
            self._stamp = version
        return count + self._serve_all(now)

    def _version(self) -> Stamp | None:
        """What tells one version of the file from another; None while somebody may be writing it."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return GONE
        except OSError:
            return UNREADABLE
        if abs(time.time() - status.st_mtime) < SETTLED:
            return None
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _read(self, now: datetime) -> None:
        first = self._stamp is None
        try:
            content = self._file.read_bytes()
            self._plan = plan(content)
        except FileNotFoundError:
            self._plan = Plan()
            self._kept.unlink(missing_ok=True)
            return
        except (OSError, RequestError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            log.error("%s: %s; its last good version goes on", self._file, said)  # noqa: TRY400 - says it all
            if first:
                self._read_kept()
            return
        self._keep(content)
        self._said.clear()
        for problem in self._plan.problems:
            log.error("%s: %s", self._file.name, problem)
        try:
            catalogue = self._catalogue()
            for planned in self._plan.entries:
                self._say(planned.name, "; ".join(map(str, planned.check(catalogue, now))))
        except PermanentFailure as failure:
            log.error("%s", failure)  # noqa: TRY400 - the message is the whole story

    def _read_kept(self) -> None:
        try:
            self._plan = plan(self._kept.read_bytes())
        except (OSError, RequestError):
            self._plan = Plan()

    def _keep(self, content: bytes) -> None:
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        part = self._kept.with_name(f".{self._kept.name}.{secrets.token_hex(4)}")
        part.write_bytes(content)
        part.replace(self._kept)

    def _serve_all(self, now: datetime) -> int:
        count = 0
        self._next = now + LOOK_AT_LEAST
        known = cache(self._catalogue)
        for planned in self._plan.entries:
            count += self._serve(planned, known, now)
            following = next_look(planned, now)
            if following is not None:
                self._next = min(self._next, following)
        return count

    def _serve(self, planned: Planned, known: Callable[[], Catalogue], now: datetime) -> int:
        cursor = f"calendar:{planned.name}"
        noted = self._database.cursor(cursor)
        owed = due(planned, datetime.fromtimestamp(noted, UTC) if noted else None, now)
        served_to, count, problem = owed.served_to, 0, ""
        for one in owed.dates:
            try:
                accepted = _request_date(planned, one, self._database, known, now, self._room)
                count += not accepted.repeated
            except (RequestError, PermanentFailure, DiskFull) as failure:
                problem = problem or f"{planned.key(one)}: {failure}"
                served_to = min(served_to, one.astimezone(UTC) - timedelta(seconds=1))
        if owed.dates:
            self._say(planned.name, problem)
        if problem:
            self._next = min(self._next, now + TRY_AGAIN)
        self._say_missed(planned, owed)
        if served_to.timestamp() != noted:
            self._database.move_cursor(cursor, int(served_to.timestamp()))
        return count

    def _say(self, name: str, problem: str) -> None:
        """Say what is wrong with an entry, once."""
        if problem and self._said.get(name) != problem:
            log.error("%s", problem)
        self._said[name] = problem

    def _say_missed(self, planned: Planned, owed: Due) -> None:
        missed = [planned.key(one) for one in owed.missed]
        # Those that another process served before this one came to note it were not missed.
        missed = [key for key in missed if self._database.find(SOURCE, key) is None]
        if missed:
            log.warning(
                "%s: %d missed dates are left out, from %s to %s; cm calendar --backfill makes them",
                planned.name,
                len(missed),
                missed[-1].partition(":")[2],
                missed[0].partition(":")[2],
            )


def _request_date(
    planned: Planned,
    moment: datetime,
    database: Database,
    catalogue: Callable[[], Catalogue],
    now: datetime,
    room: Callable[[], None],
) -> Accepted:
    """Have the request of a date stored, or find it, whatever the entry said then.

    Raises:
        RequestError: it cannot be served.
        DiskFull: there is no room for it.
    """
    key = planned.key(moment)
    found = database.find(SOURCE, key)
    if found is not None:
        return Accepted(found, repeated=True)
    try:
        request = planned.request(moment, now)
        accepted = accept(database, catalogue(), request, source=SOURCE, key=key, now=now, room=room)
    except RequestError as error:
        found = database.find(SOURCE, key)
        if error.conflict and found is not None:
            return Accepted(found, repeated=True)  # somebody else's look, at another version of the file
        raise RequestError(planned.named(problem) for problem in error.problems) from None
    if accepted.stored.key != key:
        problem = Problem("id", f"video {accepted.stored.id} is another date's: put the date or n into it")
        raise RequestError([planned.named(problem)], conflict=True)
    if not accepted.repeated:
        log.info("%s: %s", key, accepted.stored.id, extra={"video": accepted.stored.id})
    return accepted


def read_calendar(file: Path) -> Plan | None:
    """The calendar as it is now; None if there is none.

    Raises:
        RequestError: it is no calendar.
    """
    try:
        return plan(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RequestError([Problem("calendar", f"{file} cannot be read: {error.strerror}")]) from None


def backfill(
    planned: Planned,
    first: date,
    last: date,
    database: Database,
    catalogue: Catalogue,
    now: datetime,
    room: Callable[[], None] = lambda: None,
) -> list[Accepted]:
    """Have the requests of past dates stored, each once. `Client.backfill` says more.

    Raises:
        ValueError: the days are no range of past days, or hold too many dates.
        RequestError: the request of a date cannot be served; nothing was stored.
        DiskFull: there is no room for all of them; those that were stored are found the next time.
    """
    moments = _past(planned, first, last, now)
    problems: dict[Problem, None] = {}
    for moment in moments:
        if database.find(SOURCE, planned.key(moment)) is None:
            try:
                found = judge(planned.request(moment, now), catalogue, now)
                problems |= dict.fromkeys(planned.named(problem) for problem in found)
            except RequestError as error:
                problems |= dict.fromkeys(error.problems)
    if problems:
        raise RequestError(problems)
    return [_request_date(planned, moment, database, lambda: catalogue, now, room) for moment in moments]


def _past(planned: Planned, first: date, last: date, now: datetime) -> list[datetime]:
    """The dates of an entry on some days of its zone, as far as they are past."""
    zone = planned.entry.zone
    today = now.astimezone(zone).date()
    if first > last:
        raise ValueError(f"--from: {first} is after {last}")
    if last > today:
        raise ValueError(f"--to: {last} is to come, and the calendar makes that itself; today is {today}")
    begin = datetime.combine(first, datetime.min.time(), zone) - timedelta(seconds=1)
    past = takewhile(lambda one: one.date() <= last and one <= now, planned.timetable.after(begin))
    moments = list(islice(past, MOST_BACKFILLED + 1))
    if len(moments) > MOST_BACKFILLED:
        raise ValueError(f"--to: {first} to {last} are more than {MOST_BACKFILLED} dates; take fewer days at once")
    return moments
