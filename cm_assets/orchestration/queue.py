"""Dagster's run queue, looked at twice as often as its configuration allows."""

import dagster as dg
from dagster._core.run_coordinator import QueuedRunCoordinator

INTERVAL = 0.5
"""Seconds between two looks: the stock setting is in whole seconds, the daemon waits in halves."""


class QuickQueue(QueuedRunCoordinator[dg.DagsterInstance]):
    """The stock queue; the daemon takes runs out of it, whoever put them in."""

    @property
    def dequeue_interval_seconds(self) -> float:  # type: ignore[override]
        """Seconds between two looks of the daemon."""
        return INTERVAL
