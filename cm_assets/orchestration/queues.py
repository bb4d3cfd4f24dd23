"""Steps by way of a broker: a run sends each to the queue of its stage, and reads in the event log how it ended.

Nothing that a run needs comes back through the broker, so a broker that is restarted costs nobody a result. A step that
the broker has lost is sent again.
"""

import logging
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from cm_assets.lifecycle.worklog import RESUME_AT
from cm_assets.orchestration import broker
from cm_assets.policies import QUEUE_TAG, QUEUES

log = logging.getLogger("cm_assets.queues")

LOOK = 0.3
"""Seconds between two looks of a run into the event log."""

OVERLAP = 200
"""Storage ids that a look reads again: on Postgres a later one can appear before an earlier one."""

CHECK = 10
"""Seconds between two looks whether the steps of a run are still with the broker or a worker."""

LOST_AFTER = 2
"""Such looks, one after the other, that find a step nowhere, before it is sent again."""

BROKER_AWAY = 60.0
"""Seconds until another run goes on, where the broker takes no steps."""

PRIORITY_TAG = "dagster/priority"


@dg.executor(name="queued", requirements=dg.multiple_process_executor_requirements())
def queued_executor(_init: dg.InitExecutorContext) -> Any:
    """Dagster's own executor for steps that are executed elsewhere, with a broker between.

    Not that of dagster-celery: there a step's events come back as the task's result, and with a result that is lost the
    run would wait for ever.
    """
    from dagster._core.execution.retries import RetryMode
    from dagster._core.executor.step_delegating import (
        CheckStepHealthResult,
        StepDelegatingExecutor,
        StepHandler,
        StepHandlerContext,
    )
    from dagster._serdes import serialize_value

    from cm_assets.orchestration.step_ends import attempts, broker_is_away
    from cm_assets.settings import Settings
    from cm_assets.storage.holds import hold_of

    class ByBroker(StepHandler):
        """Sends steps, and sends those again that were lost."""

        def __init__(self) -> None:
            super().__init__()
            self._app = broker.celery_app(broker.address())
            self._database = Settings().database
            self._missed: dict[str, int] = {}
            self._sent_after: dict[str, int] = {}

        @property
        def name(self) -> str:
            """For people."""
            return f"of the broker at {broker.shown(broker.address())}"

        def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
            """Send a step."""
            step, queue = self._step(step_handler_context)
            self._missed.pop(step, None)
            self._sent_after.pop(step, None)
            try:
                self._send(step_handler_context, step, queue)
            except ConnectionError as away:
                broker_is_away(
                    step_handler_context.instance,
                    step_handler_context.dagster_run,
                    step,
                    f"{away}; it holds the queue {queue}",
                    {RESUME_AT: time.time() + BROKER_AWAY},
                )
            yield from ()

        def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
            """Send a step again that neither the broker nor a worker has. Who gets it twice does it once."""
            step, queue = self._step(step_handler_context)
            run = step_handler_context.dagster_run
            with hold_of(self._database, run.run_id, step) as hold:
                held = hold.held_by_somebody()
            so_far = attempts(step_handler_context.instance, run.run_id, step)
            over = so_far.done or so_far.over > self._retries(step_handler_context)
            # What a worker had that has vanished, Redis keeps for long, whatever else waits in the queue.
            vanished = broker.on_redis(broker.address()) and so_far.begun > self._sent_after.get(step, 0)
            lost = not held and not over and (vanished or broker.waiting(self._app, queue) == 0)
            self._missed[step] = self._missed.get(step, 0) + 1 if lost else 0
            if self._missed[step] >= LOST_AFTER:
                log.warning("%s of run %s is sent to the queue %s again: nobody has it", step, run.run_id, queue)
                self._missed[step], self._sent_after[step] = 0, so_far.begun
                self._send(step_handler_context, step, queue)
            return CheckStepHealthResult.healthy()

        def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
            """Nothing: whoever executes a step ends it when its run does."""
            yield from ()

        def _send(self, context: StepHandlerContext, step: str, queue: str) -> None:
            known = context.execute_step_args.known_state
            priority = context.dagster_run.tags.get(PRIORITY_TAG, "")
            message = {
                "run_id": context.dagster_run.run_id,
                "step": step,
                "known_state": serialize_value(known) if known is not None else "",
            }
            # Dagster's is the highest first, a request's the lowest.
            urgent = -int(priority) if priority.lstrip("-").isdigit() else broker.RELAXED
            broker.send(self._app, queue, urgent, message)

        @staticmethod
        def _retries(context: StepHandlerContext) -> int:
            known = context.execute_step_args.known_state
            (step,) = context.execute_step_args.step_keys_to_execute or ("",)
            return known.get_retry_state().get_attempt_count(step) if known is not None else 0

        @staticmethod
        def _step(context: StepHandlerContext) -> tuple[str, str]:
            (step,) = context.execute_step_args.step_keys_to_execute or ("",)
            return step, context.step_tags[step].get(QUEUE_TAG, QUEUES[0])

    class Queued(StepDelegatingExecutor):
        """Looks back a little whenever it reads events."""

        def _get_pop_events_offset(self, instance: dg.DagsterInstance) -> int:
            return OVERLAP

    return Queued(ByBroker(), retries=RetryMode.ENABLED, sleep_seconds=LOOK, check_step_health_interval_seconds=CHECK)
