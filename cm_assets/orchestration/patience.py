"""How runs wait for a place in a pool, or for the time of a retry: without taking a core.

Where none of a run's steps is at work, the stock executor asks whether one may begin as fast as it can.
"""

import time
from collections.abc import Callable, Sequence
from functools import wraps

from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.step import ExecutionStep

IDLE = 0.05
"""Seconds between two looks of a run that has nothing to do."""

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
