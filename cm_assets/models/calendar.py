"""A content calendar: what is made again and again, or on given dates."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, StringConstraints, field_validator, model_validator

from cm_assets.models.base import Model

MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

_LEAD_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class CalendarEntry(Model):
    """One line of the plan.

    Attributes:
        name: a slug; with the date it is the key that makes a repeat recognisable.
        cron: five fields, or one of the macros; dates are the other way to say when.
        dates: moments; those without an offset are in the entry's zone.
        timezone: whose clocks `cron`, `dates`, `start` and `end` mean.
        start: nothing before.
        end: nothing after; a day without a time is the whole of it.
        missed: what becomes of dates that were due while nobody ran.
        catch_up_limit: of the missed dates, the newest so many are made.
        lead: the video is made so much earlier, and published at the date.
        topics: for the templates, one a date, in turn.
        request: any request; each string in it is a template.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,49}$")]
    cron: str | None = None
    dates: Annotated[tuple[dt.datetime, ...], Field(min_length=1, max_length=10_000)] | None = None
    timezone: str = "UTC"
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    missed: Literal["skip", "catch_up"] = "skip"
    catch_up_limit: Annotated[int, Field(ge=1, le=200)] = 10
    lead: Annotated[dt.timedelta, Field(ge=dt.timedelta(0), le=dt.timedelta(days=30))] = dt.timedelta(0)
    topics: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)] | None = None
    request: Mapping[str, Any]

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):  # unknown, a folder's name, a path
            raise ValueError(f"{name!r} is no time zone that is known here; write it as in Europe/Berlin") from None
        return name

    @field_validator("cron")
    @classmethod
    def _comes_round(cls, cron: str | None) -> str | None:
        if cron is None:
            return None
        from cronsim import CronSim, CronSimError

        fields = MACROS.get(cron.strip().lower(), cron)
        if len(fields.split()) != 5:
            raise ValueError(f"{cron!r} has not five fields: minute, hour, day, month, day of the week")
        try:
            next(CronSim(fields, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)))
        except CronSimError as error:
            raise ValueError(f"{cron!r} is no time that ever comes: {str(error).lower()}") from None
        except StopIteration:
            raise ValueError(f"{cron!r} is no time that ever comes") from None
        return " ".join(fields.split())

    @field_validator("dates", mode="before")
    @classmethod
    def _dates_have_a_time(cls, value: object) -> object:
        for one in value if isinstance(value, list | tuple) else ():
            if _is_day(one):
                raise ValueError(f"{one} needs a time, such as {one}T18:00")
        return value

    @field_validator("end", mode="before")
    @classmethod
    def _whole_day(cls, value: object) -> object:
        return f"{value}T23:59:59" if _is_day(value) else value

    @field_validator("lead", mode="before")
    @classmethod
    def _read_lead(cls, value: object) -> object:
        if isinstance(value, dt.timedelta):
            return value
        parts = re.findall(r"(\d{1,6})\s*([mhd])", str(value))
        if not parts or re.sub(r"\d{1,6}\s*[mhd]\s*", "", str(value)):
            raise ValueError(f"{value!r} is no span of time: say it as in 2h, 90m, 1d or 1h30m")
        return sum((dt.timedelta(**{_LEAD_UNITS[unit]: int(number)}) for number, unit in parts), dt.timedelta(0))

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if (self.cron is None) == (self.dates is None):
            raise ValueError("give exactly one of cron and dates")
        for one in self.dates or ():
            if one.tzinfo is None and self.moment(one).astimezone(dt.UTC).astimezone(self.zone).replace(
                tzinfo=None
            ) != one.replace(microsecond=0):
                raise ValueError(f"dates: {one} does not exist in {self.timezone}: the clocks go forward then")
        if self.start is not None and self.end is not None and self.moment(self.start) > self.moment(self.end):
            raise ValueError("end: lies before start")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """Whose clocks are meant."""
        return ZoneInfo(self.timezone)

    def moment(self, written: dt.datetime) -> dt.datetime:
        """What was written, as a moment in the entry's zone, in whole seconds."""
        whole = written.replace(microsecond=0)
        return whole.replace(tzinfo=self.zone) if whole.tzinfo is None else whole.astimezone(self.zone)


class EntryStatus(Model):
    """Where an entry of the calendar stands.

    Attributes:
        name: which.
        next: its dates to come, the soonest first, as far as was asked for and at most 100.
        last: the newest date that became a request, UTC.
        last_video: that video's id.
        problems: what keeps its next dates from becoming requests, as `field: message`.
    """

    name: str
    next: tuple[AwareDatetime, ...] = ()
    last: AwareDatetime | None = None
    last_video: str | None = None
    problems: tuple[str, ...] = ()


class CalendarStatus(Model):
    """Where the calendar stands.

    Attributes:
        file: where it lies, or would.
        exists: whether there is one.
        entries: what can be served of it.
        problems: what cannot, as `field: message`.
    """

    file: str
    exists: bool
    entries: tuple[EntryStatus, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Those of the file, and those of its entries."""
        return (*self.problems, *(problem for entry in self.entries for problem in entry.problems))


def _is_day(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()) is not None
    return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
