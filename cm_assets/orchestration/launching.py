"""Launching runs by Dagster's GraphQL schema, executed in this process against the code server.

The same mutations that the webserver serves, without a webserver. The workspace classes carry private names;
`test_launching.py` guards them.
"""

import asyncio
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dagster as dg
from dagster._core.errors import DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_graphql.schema import create_schema

from cm_assets.lifecycle.worklog import PARTITION_TAG, VIDEO_TAG
from cm_assets.storage.away import NAMES as DATABASE_AWAY
from cm_assets.storage.away import is_away

LOCATION = "cm_assets"
REPOSITORY = "__repository__"

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message className }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
  }
}
"""


_AWAY = (DagsterUserCodeUnreachableError, DagsterCodeLocationLoadError)


def _is_away(answer: Mapping[str, Any]) -> bool:
    """Whether a refusal only says that nobody is there to ask."""
    kind, said = answer["__typename"], str(answer.get("message", ""))
    if kind == "PipelineNotFoundError":  # the jobs are ours and there: what is not there is who knows them
        return True
    if answer.get("className") in DATABASE_AWAY:
        return True
    names = {one.__name__: f"{one.__module__}.{one.__name__}:" for one in _AWAY}
    # A launch of some stages is refused as no subset, with the error in words.
    return answer.get("className") in names or (kind == "InvalidSubsetError" and said.startswith(tuple(names.values())))


class CodeServerAway(Exception):
    """The code server does not answer now: the same launch can succeed later."""


class LaunchFailed(Exception):
    """Dagster did not take the run."""


class Launcher:
    """Launches runs on the code server behind a Unix socket."""

    def __init__(self, instance: dg.DagsterInstance, code_server: Path) -> None:
        target = GrpcServerTarget(host="localhost", port=None, socket=str(code_server), location_name=LOCATION)
        self._context = WorkspaceProcessContext(instance, target)
        self._schema = create_schema()

    def __enter__(self) -> Self:
        self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def launch(
        self, job: str, stages: Sequence[str], video: str, tags: Mapping[str, str], config: Mapping[str, Any]
    ) -> str:
        """Put a run of a job, limited to some stages if there are any, of a video, into the queue; its run id.

        Raises:
            LaunchFailed: Dagster said no, and why.
            CodeServerAway: nobody is there to ask.
        """
        all_tags = {PARTITION_TAG: video, VIDEO_TAG: video, **tags}
        params = {
            "selector": {
                "repositoryLocationName": LOCATION,
                "repositoryName": REPOSITORY,
                "jobName": job,
                **({"assetSelection": [{"path": stage.split("/")} for stage in stages]} if stages else {}),
            },
            "runConfigData": dict(config),
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in all_tags.items()]},
        }
        answer = self.execute(_LAUNCH, {"params": params})["launchRun"]
        if _is_away(answer):
            raise self._away()
        if answer["__typename"] != "LaunchRunSuccess":
            said = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", ()))
            raise LaunchFailed(f"{job} of {video}: {said or answer['__typename']}")
        return str(answer["run"]["runId"])

    def _away(self) -> CodeServerAway:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it cannot be reached is what is said here anyway
            # It may have come back as another one, whose definitions have to be asked for.
            self._context.reload_code_location(LOCATION)
        return CodeServerAway("the code server does not answer, or cannot load the definitions")

    def execute(self, query: str, variables: Mapping[str, object]) -> dict[str, Any]:
        """Execute a GraphQL document.

        Raises:
            CodeServerAway: nobody is there to ask.
            LaunchFailed: it has errors.
        """
        result = asyncio.run(
            self._schema.execute_async(
                query, context_value=self._context.create_request_context(), variable_values=dict(variables)
            )
        )
        for error in result.errors or ():
            if isinstance(error.original_error, _AWAY):
                raise self._away()
            if error.original_error is not None and is_away(error.original_error):
                raise error.original_error
        if result.errors or result.data is None:
            raise LaunchFailed("; ".join(str(error) for error in result.errors or ()))
        return dict(result.data)
