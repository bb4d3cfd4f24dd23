"""How runs wait for a place in a pool, or for the time of a retry: without taking a core, and not longer than needed.

Where none of a run's steps is at work, the stock executor asks whether one may begin as fast as it can, and asks the
pool itself, after a while, every fifteen seconds only.
"""

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._utils.concurrency import ConcurrencyClaimStatus

IDLE = 0.05
"""Seconds between two looks of a run that has nothing to do."""

CLAIM_AGAIN = 0.5
"""Seconds after which a run asks a full pool again."""

_Steps = Callable[..., Sequence[ExecutionStep]]


def _patiently(stock: _Steps) -> _Steps:
    @wraps(stock)
    def get_steps_to_execute(self: ActiveExecution, limit: int | None = None) -> Sequence[ExecutionStep]:
        steps = stock(self, limit)
        if not steps and not self.has_in_flight_steps and not self.is_complete:
            time.sleep(IDLE)
        return steps

    return get_steps_to_execute


def wait_patiently() -> None:
    """Have the executors of this process sleep where they would spin. Doing it twice is doing it once."""
    stock = ActiveExecution.get_steps_to_execute
    if not hasattr(stock, "__wrapped__"):
        ActiveExecution.get_steps_to_execute = _patiently(stock)  # type: ignore[method-assign]


class Pools(SqlEventLogStorage):
    """An event log whose full pools are asked again soon: a free place is taken by the next within half a second."""

    def claim_concurrency_slot(self, *args: Any, **kwargs: Any) -> ConcurrencyClaimStatus:
        """Claim a place in a pool for a step."""
        status = super().claim_concurrency_slot(*args, **kwargs)
        return status if status.is_claimed else status.with_sleep_interval(CLAIM_AGAIN)
