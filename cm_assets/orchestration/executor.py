"""Steps as forks of their run's worker: everything is imported there already, so a step starts in milliseconds."""

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.multiprocess import MultiprocessExecutor

STEPS_AT_ONCE = 2
"""audio and background_clips; nothing else of a video can be made side by side."""


@dg.executor(name="forked", requirements=dg.multiple_process_executor_requirements())
def forked_executor(_init: dg.InitExecutorContext) -> MultiprocessExecutor:
    """Dagster's own multiprocess executor with the start method that its configuration does not offer.

    A worker has one thread when it forks, which is what makes forking safe.
    """
    return MultiprocessExecutor(max_concurrent=STEPS_AT_ONCE, retries=RetryMode.ENABLED, start_method="fork")
