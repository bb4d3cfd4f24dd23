"""Full pools are asked again soon; Dagster's own event logs have that done every fifteen seconds in the end."""

from typing import Any

from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._utils.concurrency import ConcurrencyClaimStatus

CLAIM_AGAIN = 0.5
"""Seconds after which a run asks a full pool again."""


class Pools(SqlEventLogStorage):
    """An event log whose full pools are asked again soon: a free place is taken by the next within half a second."""

    def claim_concurrency_slot(self, *args: Any, **kwargs: Any) -> ConcurrencyClaimStatus:
        """Claim a place in a pool for a step."""
        status = super().claim_concurrency_slot(*args, **kwargs)
        pool = status.concurrency_key
        if not status.is_claimed and not status.is_assigned and self.has_unassigned_slots(pool):
            # A place that was given back between two of its reads is promised to nobody, and nobody would ask again.
            self.assign_pending_steps([pool])
            status = super().claim_concurrency_slot(*args, **kwargs)
        return status if status.is_claimed else status.with_sleep_interval(CLAIM_AGAIN)
