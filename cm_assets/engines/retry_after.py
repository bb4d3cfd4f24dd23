"""When a server says to come back."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cm_assets.models.base import Seconds

LONGEST: Seconds = 86_400.0
"""Whoever says more is asked again after a day: a wrong header must not stop a video for ever."""


def retry_after(headers: Mapping[str, str]) -> Seconds | None:
    """Seconds by the header `Retry-After`, a number or an HTTP date (RFC 9110, 10.2.3); None without a usable one."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return min(max(0.0, seconds), LONGEST) if math.isfinite(seconds) else None
