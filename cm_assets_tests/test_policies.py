from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cm_assets.policies import AGE_STEP, backlog_rank

MOMENT = datetime(2026, 11, 24, tzinfo=UTC)
PRIORITIES = st.integers(1, 10)


@given(PRIORITIES, PRIORITIES, st.floats(0, AGE_STEP - 1))
def test_within_a_step_the_priority_decides(one: int, other: int, later: float) -> None:
    first, second = backlog_rank(one, MOMENT), backlog_rank(other, MOMENT + timedelta(seconds=later))
    if one < other:
        assert first < second
    elif one > other:
        assert first > second
    else:
        assert first <= second


@given(PRIORITIES, PRIORITIES, st.floats(0, 1e6))
def test_nobody_who_came_more_than_the_bound_later_overtakes(one: int, other: int, beyond: float) -> None:
    bound = max(0, one - other) * AGE_STEP
    later = MOMENT + timedelta(seconds=bound + beyond + 1)
    assert backlog_rank(one, MOMENT) < backlog_rank(other, later)
    assert bound <= 90 * 60
