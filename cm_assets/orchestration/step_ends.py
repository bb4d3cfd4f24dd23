"""How far a step of a run is by Dagster's event log, and ends of steps that could not say so themselves."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import ErrorSource, StepFailureData, UserFailureData
from dagster_shared.error import SerializableErrorInfo

from cm_assets.lifecycle.worklog import CRASH

BEGUN = "cm/begun_by"
"""Metadata of an event: which worker has begun a step. No pid, which would mean something else on another host."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Of a step of a run.

    Attributes:
        over: attempts that ended, however.
        done: whether the step is.
        begun: how often somebody has begun the attempt that comes next.
    """

    over: int
    done: bool
    begun: int


def attempts(instance: dg.DagsterInstance, run_id: str, step: str) -> Attempts:
    """What the event log says."""
    kinds = dg.DagsterEventType
    wanted = {kinds.STEP_SUCCESS, kinds.STEP_FAILURE, kinds.STEP_UP_FOR_RETRY, kinds.ENGINE_EVENT}
    over, done, begun = 0, False, 0
    for entry in instance.all_logs(run_id, of_type=wanted):
        event = entry.dagster_event
        if event is None or event.step_key != step:
            continue
        if event.event_type != kinds.ENGINE_EVENT:
            over, begun = over + 1, 0
            done = done or event.event_type != kinds.STEP_UP_FOR_RETRY
        elif BEGUN in event.engine_event_data.metadata:
            begun += 1
    return Attempts(over, done, begun)


def begins(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str, worker: str) -> None:
    """Note who begins a step."""
    instance.report_engine_event(
        f"Executing {step} on {worker}.", run, EngineEventData({BEGUN: dg.MetadataValue.text(worker)}), step_key=step
    )


def crashed(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str, said: str) -> None:
    """End a step whose workers died without a word, as often as was bearable."""
    _fail(instance, run, step, said, CRASH, None)


def broker_is_away(
    instance: dg.DagsterInstance, run: dg.DagsterRun, step: str, said: str, metadata: Mapping[str, float]
) -> None:
    """End a step that nobody can be told of; another run goes on."""
    told = {name: dg.MetadataValue.float(value) for name, value in metadata.items()}
    _fail(instance, run, step, said, "ConnectionError", UserFailureData("broker", said, told))  # type: ignore[no-untyped-call]


def _fail(
    instance: dg.DagsterInstance, run: dg.DagsterRun, step: str, said: str, kind: str, told: UserFailureData | None
) -> None:
    event = dg.DagsterEvent(
        dg.DagsterEventType.STEP_FAILURE.value,
        run.job_name,
        step_key=step,
        event_specific_data=StepFailureData(  # type: ignore[no-untyped-call]
            error=SerializableErrorInfo(said, [], kind),
            user_failure_data=told,
            error_source=ErrorSource.FRAMEWORK_ERROR,
        ),
        message=said,
    )
    instance.report_dagster_event(event, run.run_id, logging.ERROR)
