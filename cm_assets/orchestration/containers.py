"""A container for each run: Dagster's Docker launcher, with what a deployment of this project needs of it.

The stock one wants every environment variable named, takes no limits from the environment, keeps every container that
ever ran, and says of one that died how its engine's record looks. Which limits a container has, `deploy/docker` says.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import dagster as dg
import docker
import docker.errors
from dagster import Field, StringSource
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_docker import DockerRunLauncher
from docker.utils import parse_bytes

OURS = ("CM_", "OPENAI_", "PEXELS_", "PIXABAY_", "AWS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_")
"""Beginnings of the variables that a run gets, as far as its launcher has them: settings, keys, addresses."""

NOT_OF_RUNS = ("CM_NOTIFY_", "CM_LOGIN", "CM_WEBHOOK_SECRET")
"""Of those the ones that no run needs. They hold secrets."""

RUN_LABEL = "dagster/run_id"
"""On every run's container: the stock launcher's label."""

KEPT = timedelta(hours=1)
"""How long a container that has ended stays, for people who want to see what it logged."""

ENDED = ("exited", "created", "dead")
"""What the engine calls containers that do not run: one whose launcher died never began, one half removed is dead."""

GRACE = 3
"""Seconds that a container has to end when it is asked to, before it is made to."""


class ContainerLauncher(DockerRunLauncher):
    """Launches each run in a container of its own.

    Args:
        cpus: cores that a container may use, as `1.5`.
        memory: that a container may use, as `3g`; it gets no swap beside it.
        volumes: more mounts, as `/srv/footage:/srv/footage:ro`, several apart by commas.
        inst_data: Dagster's own record of this configuration.
        config: what the stock launcher takes.
    """

    def __init__(
        self,
        cpus: str = "",
        memory: str = "",
        volumes: str = "",
        inst_data: ConfigurableClassData | None = None,
        **config: Any,
    ) -> None:
        given = dict(config.pop("container_kwargs", None) or {})
        limits: dict[str, Any] = {"stop_timeout": GRACE}
        if cpus:
            limits["nano_cpus"] = _nano_cpus(cpus)
        if memory:
            limits |= {"mem_limit": _bytes(memory), "memswap_limit": _bytes(memory)}
        mounts = [mount.strip() for mount in volumes.split(",") if mount.strip()]
        limits["volumes"] = [*given.pop("volumes", ()), *mounts]
        super().__init__(inst_data=inst_data, container_kwargs=limits | given, **config)
        self._memory = memory
        self._named = tuple(self.env_vars or ())

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """What `dagster.yaml` may say: what it may of the stock launcher, and the limits."""
        names = ("cpus", "memory", "volumes")
        stock: Mapping[str, Any] = super().config_type()  # type: ignore[no-untyped-call]
        return {**stock, **{name: Field(StringSource, is_required=False) for name in names}}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start a run's container, with the variables that are set here now."""
        self.env_vars = [*self._named, *_variables()]
        self._sweep()
        super().launch_run(context)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run's container lives; if not, why, in words."""
        health: CheckRunHealthResult = super().check_run_worker_health(run)
        if health.status == WorkerStatus.RUNNING:
            return health
        return CheckRunHealthResult(health.status, self.last_words(run))

    def last_words(self, run: dg.DagsterRun) -> str:
        """How a run's container ended, for people."""
        container = self._get_container(run)  # type: ignore[no-untyped-call]
        if container is None:
            return "its container is gone"
        state = container.attrs["State"]
        if state.get("OOMKilled"):
            allowed = f" than its {self._memory}" if self._memory else ""
            return f"its container needed more memory{allowed}: raise CM_RUN_MEMORY"
        if state.get("Running"):
            return "its container did not begin in time"
        return f"its container ended with code {state.get('ExitCode')}" + (
            f": {state['Error']}" if state.get("Error") else ""
        )

    def bury(self, run: dg.DagsterRun) -> str:
        """End the container of a lost run, so that it does not work beside the one that takes its place; its end."""
        words = self.last_words(run)
        container = self._get_container(run)  # type: ignore[no-untyped-call]
        if container is not None and container.status == "running":
            try:
                container.kill()
            except docker.errors.APIError as error:
                if error.status_code != 409:  # it has ended by itself
                    raise
        return words

    def _sweep(self) -> None:
        """Remove containers of runs that ended some time ago, or should have begun then: secrets are in them."""
        client = docker.from_env()
        try:
            ended = client.containers.list(
                all=True, filters={"label": RUN_LABEL, "status": list(ENDED)}, ignore_removed=True
            )
            for container in ended:
                # One that never ran ended in the year 1.
                since = max(_moment(container.attrs["Created"]), _moment(container.attrs["State"]["FinishedAt"]))
                if datetime.now(UTC) - since > KEPT:
                    try:
                        container.remove()
                    except (docker.errors.NotFound, docker.errors.APIError):
                        continue  # somebody else is at it
        finally:
            client.close()


def _moment(text: str) -> datetime:
    """A time as the engine writes it, to the second."""
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def _variables() -> list[str]:
    return sorted(name for name in os.environ if name.startswith(OURS) and not name.startswith(NOT_OF_RUNS))


def _nano_cpus(cpus: str) -> int:
    try:
        number = int(float(cpus) * 1_000_000_000)
    except ValueError:
        number = 0
    if number <= 0:
        raise ValueError(f"CM_RUN_CPUS: {cpus!r} is no number of cores, such as 2 or 1.5")
    return number


def _bytes(memory: str) -> int:
    try:
        return int(parse_bytes(memory))
    except docker.errors.DockerException:
        raise ValueError(f"CM_RUN_MEMORY: {memory!r} is no amount of memory, such as 3g or 1500m") from None
