"""A run launcher that starts nothing: each run succeeds at once."""

from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.launcher.base import LaunchRunContext, RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData


class NowhereLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Launches runs nowhere."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__()
        self._inst_data = inst_data

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Dagster's own record of this configuration."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Nothing can be said."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from `dagster.yaml`."""
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """The run has succeeded."""
        run = context.dagster_run
        for kind in (dg.DagsterEventType.RUN_START, dg.DagsterEventType.RUN_SUCCESS):
            event = DagsterEvent(event_type_value=kind.value, job_name=run.job_name, message="Nowhere.")
            self._instance.report_dagster_event(event, run_id=run.run_id)

    def terminate(self, _run_id: str) -> bool:
        """There is nothing to end."""
        return False
