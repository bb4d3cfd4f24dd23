"""The sensor that goes the rounds where no engine does: under `dagster-daemon` or `dagster dev`."""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from cm_assets.lifecycle.worklog import ATTEMPT_TAG, VIDEO_TAG, WorkLog
from cm_assets.orchestration import home as homes
from cm_assets.settings import Settings
from cm_assets.storage.database import Database

if TYPE_CHECKING:
    from cm_assets.orchestration.notifications import Notifier
    from cm_assets.orchestration.rounds import Rounds

INTERVAL = 3
"""Seconds between two looks, at least. The daemon goes round every five: with five, each second one would be early."""

TELLING = 2.0
"""Seconds of a look in which people are told what happened."""

CANCELLING = 1.0
"""Seconds between two looks at what was cancelled, which is ended within five: the daemon comes round too rarely."""

GONE = 30.0
"""Seconds after which a daemon that has not come round is taken for gone, or for no longer ours to help."""

log = logging.getLogger("cm_assets.backstop")


POD_TAG = "dagster-k8s/config"
"""On runs that are pods: what they ask for."""


class Collected:
    """A launcher that leaves the launching to Dagster's daemon, which does it after the look.

    Args:
        pods: what the runs of a job ask of a Kubernetes cluster, by job.
    """

    def __init__(self, pods: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._pods = {job: {POD_TAG: json.dumps(pod)} for job, pod in (pods or {}).items()}
        self._requests: list[dg.RunRequest] = []

    def launch(
        self, job: str, stages: Sequence[str], video: str, tags: Mapping[str, str], config: Mapping[str, Any]
    ) -> None:
        """Ask for a run of a job, limited to some stages of a video."""
        self._requests.append(
            dg.RunRequest(
                job_name=job,
                partition_key=video,
                asset_selection=[dg.AssetKey(stage.split("/")) for stage in stages] or None,
                run_key=f"{video}:{tags[ATTEMPT_TAG]}",
                tags={VIDEO_TAG: video, **tags, **self._pods.get(job, {})},
                run_config=dict(config),
            )
        )

    def taken(self) -> list[dg.RunRequest]:
        """What was asked for since the last time."""
        requests, self._requests = self._requests, []
        return requests


class Backstop:
    """Goes the rounds of a home, in whatever process evaluates the sensor.

    Args:
        settings: of the home.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._launcher = Collected(settings.pods)
        self._rounds: Rounds | None = None
        self._database = Database(settings.database)
        self._notifier: Notifier | None = None
        self._looked = 0.0
        self._cancelling: threading.Thread | None = None

    def look(self, context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """One look; what is to be launched."""
        from cm_assets.lifecycle.projection import cursor_of, other_instances
        from cm_assets.orchestration.notifications import Notifier
        from cm_assets.orchestration.rounds import Rounds

        if homes.engine_runs(self._settings) or homes.engine_host(self._settings, self._database):
            self._looked = 0.0
            return dg.SkipReason("an engine (cm up, cm make) launches the videos")
        if other_instances(self._database, cursor_of(WorkLog(context.instance))):
            self._looked = 0.0
            return dg.SkipReason("the videos of this home are made by another Dagster instance: run cm up")
        if self._rounds is None:
            # An instance of its own, which stays open: that of the context is gone after each look.
            instance = dg.DagsterInstance.from_ref(context.instance.get_ref())
            homes.set_pool_limits(instance, self._settings, keep=True)
            self._rounds = Rounds(self._settings, self._database, instance, self._launcher, home=None)
        self._looked = time.monotonic()
        if self._cancelling is None or not self._cancelling.is_alive():
            self._cancelling = threading.Thread(
                target=self._cancel, args=(self._rounds,), name="cancelling", daemon=True
            )
            self._cancelling.start()
        self._notifier = self._notifier or Notifier(self._database, self._settings.notify)
        self._rounds.go()
        self._notifier.tick(TELLING)
        self._database.move_cursor(homes.BACKSTOP, int(time.time()))
        requests = self._launcher.taken()
        return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("there is nothing to launch")

    def _cancel(self, rounds: "Rounds") -> None:
        """End what is cancelled between the looks, for as long as there are any."""
        while time.monotonic() - self._looked < GONE:
            time.sleep(CANCELLING)
            try:
                rounds.cancel()
            except Exception:  # the next look says what is wrong
                log.exception("what was cancelled could not be ended")


def backstop(settings: Settings, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """The sensor of a home.

    Args:
        settings: of the home.
        jobs: that it asks for.
    """
    look = Backstop(settings)

    @dg.sensor(
        name="backlog",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Takes in what lies in the inbox, launches what is wanted, resumes what was lost. Does nothing while the "
            "engine of `cm up` or `cm make` does it."
        ),
    )
    def backlog(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return look.look(context)

    return backlog
