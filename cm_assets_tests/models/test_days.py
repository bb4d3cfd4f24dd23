"""Days of a calendar, with those that are an hour shorter or longer."""

from datetime import UTC, datetime, timedelta

import pytest

from cm_assets.models.days import PACIFIC, began, over


@pytest.mark.parametrize(
    ("now", "first", "end"),
    [
        ((2026, 11, 24, 20, 0), (2026, 11, 24, 8), (2026, 11, 25, 8)),
        ((2026, 7, 1, 6, 59), (2026, 6, 30, 7), (2026, 7, 1, 7)),
        ((2026, 7, 1, 7, 0), (2026, 7, 1, 7), (2026, 7, 2, 7)),
        ((2026, 11, 1, 8, 30), (2026, 11, 1, 7), (2026, 11, 2, 8)),  # 25 hours
        ((2026, 11, 2, 7, 59), (2026, 11, 1, 7), (2026, 11, 2, 8)),
        ((2026, 3, 8, 12, 0), (2026, 3, 8, 8), (2026, 3, 9, 7)),  # 23 hours
    ],
)
def test_a_day_of_california_begins_and_ends_at_its_midnights(
    now: tuple[int, ...], first: tuple[int, ...], end: tuple[int, ...]
) -> None:
    moment = datetime(*now, tzinfo=UTC)  # type: ignore[misc,arg-type]
    assert began(moment, PACIFIC) == datetime(*first, tzinfo=UTC)  # type: ignore[misc,arg-type]
    assert over(moment, PACIFIC) == datetime(*end, tzinfo=UTC) + timedelta(minutes=1)  # type: ignore[misc,arg-type]
