"""The days that services count by a calendar: where it hangs, when a day begins, and when its limits end."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from cm_assets.models.base import Seconds

DAY: Seconds = 86400.0
"""A limit of so many seconds is one of a day, which can have 23 and 25 hours, too."""

PACIFIC = ZoneInfo("America/Los_Angeles")

CALENDARS: Mapping[str, ZoneInfo] = {"youtube": PACIFIC}
"""By service; the days of all others are any 24 hours. Google's quotas are full again at midnight in California:
https://developers.google.com/youtube/v3/determine_quota_cost."""


def began(now: datetime, zone: ZoneInfo) -> datetime:
    """The last midnight of a zone, this one included."""
    return datetime.combine(now.astimezone(zone).date(), time(), zone)


def over(now: datetime, zone: ZoneInfo) -> datetime:
    """When a day's limits have ended for sure: a minute after the next midnight of a zone."""
    return datetime.combine(now.astimezone(zone).date() + timedelta(days=1), time(0, 1), zone)
