"""The rules of the content calendar: what its file says, which dates are due, what request each stands for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any

from pydantic import ValidationError

from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.lifecycle.documents import Problem, RequestError, parse, problems_of, read
from cm_assets.lifecycle.intake import judge
from cm_assets.lifecycle.timetable import Timetable
from cm_assets.models.calendar import CalendarEntry
from cm_assets.models.request import VideoRequest

SOURCE = "calendar"

GRACE = timedelta(minutes=5)
"""A date that is no later than this was not missed: an engine that is being restarted skips nothing."""

MOST_COUNTED = 1000
"""Missed dates that are told apart; how many more there are is nobody's concern."""

LOOKED_AHEAD = 10
"""Dates of an entry whose requests are tried before they are due."""


class Planned:
    """An entry that can be served."""

    def __init__(self, entry: CalendarEntry) -> None:
        self.entry = entry
        self.name = entry.name
        self.timetable = Timetable(entry)

    def key(self, date: datetime) -> str:
        """What makes the request of a date recognisable."""
        return f"{self.name}:{date.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def request(self, date: datetime, now: datetime) -> VideoRequest:
        """The request that a date stands for.

        Raises:
            RequestError: a template has an error, or what comes of it is no request.
        """
        values = {"date": date, "name": self.name, "n": self.timetable.ordinal(date)}
        if self.entry.topics:
            values["topic"] = self.entry.topics[(self.timetable.ordinal(date) - 1) % len(self.entry.topics)]
        try:
            request = parse({name: self._filled(value, values, name) for name, value in self.entry.request.items()})
        except RequestError as error:
            raise RequestError(self.named(problem) for problem in error.problems) from None
        if not self.entry.lead:
            return request
        if request.publish_at is not None:
            raise RequestError([self.named(Problem("publish_at", "is said by lead; leave one of them out"))])
        return request.model_copy(update={"publish_at": date.astimezone(UTC)}) if date > now else request

    def check(self, catalogue: Catalogue, now: datetime) -> list[Problem]:
        """What keeps the next dates, or the newest one if there are no more, from becoming requests."""
        dates = list(islice(self.timetable.after(now), LOOKED_AHEAD)) or list(islice(self.timetable.until(now), 1))
        if not dates:
            return [Problem(self.name, "has no dates between start and end")]
        problems: dict[Problem, None] = {}
        ids = []
        for date in dates:
            try:
                request = self.request(date, now)
            except RequestError as error:
                problems |= dict.fromkeys(error.problems)
                continue
            ids.append(request.id)
            problems |= dict.fromkeys(self.named(problem) for problem in judge(request, catalogue, now))
        given = [one for one in ids if one is not None]
        if len(set(given)) < len(given):
            problems[self.named(Problem("id", "must differ from date to date: put the date or n into it"))] = None
        return list(problems)

    def named(self, problem: Problem) -> Problem:
        """A problem of a request as one of this entry."""
        if problem.field.startswith(f"{self.name}."):
            return problem
        whole = problem.field == "request"
        return Problem(f"{self.name}.request" + ("" if whole else f".{problem.field}"), problem.message)

    def _filled(self, value: object, values: Mapping[str, object], field: str) -> object:
        if isinstance(value, str):
            return self._rendered(value, values, field)
        if isinstance(value, Mapping):
            return {name: self._filled(one, values, f"{field}.{name}") for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._filled(one, values, f"{field}.{index}") for index, one in enumerate(value)]
        return value

    def _rendered(self, text: str, values: Mapping[str, object], field: str) -> str:
        from jinja2 import TemplateError

        try:
            return str(self._templates.from_string(text).render(values))
        except TemplateError as error:
            said = error.message or type(error).__name__
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            MemoryError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            said = f"{type(error).__name__}: {error}"
        raise RequestError([Problem(field, f"the template has an error: {said}")])

    @cached_property
    def _templates(self) -> Any:
        from jinja2 import StrictUndefined
        from jinja2.exceptions import SecurityError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Environment(ImmutableSandboxedEnvironment):
            """Also without what a few characters can keep busy for hours: `9 ** 9 ** 9`, `"a" * 10000000000`."""

            intercepted_binops = frozenset({"**", "*"})

            def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
                if operator == "**" or not all(isinstance(one, int | float) for one in (left, right)):
                    raise SecurityError(f"{operator} is for two numbers, and ** for none")
                return super().call_binop(context, operator, left, right)

        return Environment(undefined=StrictUndefined, keep_trailing_newline=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a calendar says.

    Attributes:
        entries: those that can be served.
        problems: why the others cannot.
    """

    entries: tuple[Planned, ...] = ()
    problems: tuple[Problem, ...] = ()


def plan(text: str | bytes) -> Plan:
    """Read a calendar. An entry that is wrong takes only itself down.

    Raises:
        RequestError: the document as a whole is no calendar.
    """
    try:
        document = read(text) if text.strip() else {}
    except RequestError as error:
        raise RequestError(Problem("calendar", one.message) for one in error.problems) from None
    unknown = [str(name) for name in document if name != "entries"]
    if unknown:
        raise RequestError([Problem(unknown[0], "is not known in a calendar; it has entries")])
    listed = document.get("entries") or []
    if not isinstance(listed, list):
        raise RequestError([Problem("entries", "must be a list")])
    entries: dict[str, Planned] = {}
    problems: list[Problem] = []
    for index, one in enumerate(listed):
        named = isinstance(one, Mapping) and isinstance(one.get("name"), str)
        where = one["name"] if named else f"entries.{index}"
        try:
            entry = CalendarEntry.model_validate(one)
        except ValidationError as error:
            problems += problems_of(error, under=where, known="docs/calendar.md lists them")
            continue
        if entry.name in entries:
            problems.append(Problem(f"entries.{index}.name", f"{entry.name} is there twice; the first one counts"))
            continue
        entries[entry.name] = Planned(entry)
    return Plan(tuple(entries.values()), tuple(problems))


@dataclass(frozen=True, slots=True)
class Due:
    """What an entry owes.

    Attributes:
        dates: those to be made now, the earliest first.
        missed: those that are left out, the newest first and at most `MOST_COUNTED`.
        served_to: the moment up to which nothing is owed once the dates are made, in whole seconds.
    """

    dates: tuple[datetime, ...]
    missed: tuple[datetime, ...]
    served_to: datetime


def due(planned: Planned, served_to: datetime | None, now: datetime) -> Due:
    """What an entry owes at a time.

    Args:
        planned: the entry.
        served_to: the moment up to which it was served; None if it was never seen.
        now: the time.
    """
    entry = planned.entry
    horizon = (now + entry.lead).astimezone(UTC).replace(microsecond=0)
    catches_up = entry.missed == "catch_up"
    if served_to is not None:
        # A clock that was wrong, or a lead that was longer, may have left it in the future. Keys tell repeats.
        served_to = min(served_to.astimezone(UTC), horizon)
    elif catches_up and entry.start is not None and entry.moment(entry.start) <= now:
        served_to = entry.moment(entry.start).astimezone(UTC) - timedelta(seconds=1)
    else:
        served_to = now.astimezone(UTC).replace(microsecond=0)
    in_time = min(now.astimezone(UTC), horizon - GRACE)
    dates: list[datetime] = []
    missed: list[datetime] = []
    for date in planned.timetable.until(horizon):
        moment = date.astimezone(UTC)
        if moment <= served_to or len(missed) >= MOST_COUNTED:
            break
        wanted = len(dates) < entry.catch_up_limit if catches_up else moment > in_time
        (dates if wanted else missed).append(date)
    return Due(tuple(reversed(dates)), tuple(missed), horizon)


def next_look(planned: Planned, now: datetime) -> datetime | None:
    """When the entry is due next; None if never."""
    following = next(planned.timetable.after(now + planned.entry.lead), None)
    return None if following is None else following.astimezone(UTC) - planned.entry.lead
