"""What Dagster's event log says about one video: what was made, what runs, what went wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from cm_assets.lifecycle.plan import TAKE_DOWN, TAKE_DOWN_JOB
from cm_assets.lifecycle.review import ASSET, judge
from cm_assets.models.review import Decision, Review
from cm_assets.partitions import VideoId
from cm_assets.policies import PLATFORMS, POST, PRODUCE

PARTITION_TAG = "dagster/partition"

VIDEO_TAG = "cm/video"
"""On the runs that the intake launches."""

ATTEMPT_TAG = "cm/attempt"
"""On the same runs: which of the video's runs it is. Only the last may work."""

STOPPED_TAG = "cm/stopped"
"""On runs that ended because their engine did: their videos go on when the next engine starts."""

TAKEN_DOWN = "cm/taken_down"
"""Metadata of an observation of a post: that it was taken down."""

RESUME_AT = "cm/resume_at"
"""Metadata of a failure that is no failure: when the work may go on, in seconds since 1970."""

AWAY_SINCE = "cm/away_since"
"""Metadata of such a failure: since when a service is away, in seconds since 1970."""

LATEST = 32_503_680_000.0
"""The year 3000: a later time is a mistake, and no reason to stop."""

CRASH = "ChildProcessCrashException"
"""What Dagster calls it when a step's process ends without a word."""

ACTIVE = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

STAGES = (*PRODUCE, *(f"published_post/{platform}" for platform in PLATFORMS))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended badly.

    Attributes:
        stage: where.
        reason: why, for a person.
        resume_at: when to go on, if it only has to wait.
        away_since: since when the service is away that it waits for, in seconds since 1970.
    """

    stage: str
    reason: str
    resume_at: datetime | None = None
    away_since: float | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A materialization of a stage.

    Attributes:
        storage_id: its place in the event log's one order.
        run_id: the run that made it.
        at: when, UTC.
        metadata: plain values by name.
    """

    storage_id: int
    run_id: str
    at: datetime
    metadata: Mapping[str, Any]


def made_by(storage_id: int, entry: dg.EventLogEntry) -> Made:
    """What the event of a materialization says."""
    event = entry.asset_materialization
    assert event is not None
    return Made(
        storage_id=storage_id,
        run_id=entry.run_id,
        at=datetime.fromtimestamp(entry.timestamp, UTC),
        metadata={name: value.value for name, value in event.metadata.items()},
    )


class WorkLog:
    """Reads the event log of an instance."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def instance_id(self) -> str:
        """What tells this Dagster instance from others, however often it is opened."""
        return str(self.instance.run_storage.get_run_storage_id())  # type: ignore[attr-defined]

    def taken_down(self, video: VideoId, stage: str) -> int | None:
        """Storage id of the newest taking down of a post; None if there was none."""
        records = self.instance.fetch_observations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(stage.split("/")), asset_partitions=[video]), limit=20
        ).records
        for record in records:
            observation = record.event_log_entry.asset_observation
            if observation is not None and TAKEN_DOWN in observation.metadata:
                return record.storage_id
        return None

    def taken_down_posts(self, video: VideoId, made: Mapping[str, Any]) -> dict[str, int]:
        """Storage id of the newest taking down of each post that was once made."""
        found = {stage: self.taken_down(video, stage) for stage in made if stage.startswith(POST)}
        return {stage: gone for stage, gone in found.items() if gone is not None}

    @property
    def ids_in_order(self) -> bool:
        """Whether events appear in the order of their storage ids. On Postgres a transaction can overtake another."""
        return "Postgres" not in type(self.instance.event_log_storage).__name__

    def newest_event(self) -> int:
        """Storage id of the newest event about any asset."""
        return int(self.instance.event_log_storage.get_maximum_record_id() or 0)

    def made(self, video: VideoId, stage: str) -> Made | None:
        """The newest materialization of a stage of a video."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(stage.split("/")), asset_partitions=[video]), limit=1
        ).records
        if not records:
            return None
        return made_by(records[0].storage_id, records[0].event_log_entry)

    def was_made_by(self, run: dg.DagsterRun, stage: str) -> bool:
        """Whether this very run has made a stage of its video."""
        made = self.made(run.tags.get(PARTITION_TAG, ""), stage)
        return made is not None and made.run_id == run.run_id

    def all_made(self, video: VideoId) -> dict[str, Made]:
        """The newest materialization of every stage that has one."""
        made = {stage: self.made(video, stage) for stage in STAGES}
        return {stage: one for stage, one in made.items() if one is not None}

    def run_of(self, video: VideoId, attempt: int) -> dg.RunRecord | None:
        """The run that was launched for a video as its so-manyth. How runs of other people end is their matter."""
        tags = {VIDEO_TAG: video, ATTEMPT_TAG: str(attempt)}
        records = self.instance.get_run_records(dg.RunsFilter(tags=tags), limit=1)
        return records[0] if records else None

    def in_flight(self) -> dict[VideoId, dg.RunRecord]:
        """The runs that have not ended, by video."""
        records = self.instance.get_run_records(dg.RunsFilter(statuses=list(ACTIVE)))
        return {
            record.dagster_run.tags[PARTITION_TAG]: record
            for record in records
            if PARTITION_TAG in record.dagster_run.tags
        }

    def worker_pids(self, run: dg.DagsterRun) -> list[int]:
        """The processes that executed a run and its steps, as they said themselves; the run's own first."""
        kinds = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.STEP_WORKER_STARTED}
        pids = []
        for entry in self.instance.all_logs(run.run_id, of_type=kinds):
            event = entry.dagster_event
            if event is not None and "pid" in event.engine_event_data.metadata:
                pids.append(int(str(event.engine_event_data.metadata["pid"].value)))
        return list(dict.fromkeys(pids))

    def script_before(self, video: VideoId, storage_id: int) -> str | None:
        """Address of the script that was the newest before an event."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey("script"), asset_partitions=[video], before_storage_id=storage_id
            ),
            limit=1,
        ).records
        made = records[0].asset_materialization if records else None
        return str(made.metadata["model"].value) if made is not None else None

    def review(self, video: VideoId, render: Made | None) -> Review:
        """What people decided about a render."""
        if render is None:
            return Review()
        return judge(render.storage_id, str(render.metadata.get("sha256", "")), self.decisions(video))

    def decisions(self, video: VideoId) -> list[Decision]:
        """What people said of the video's renders, the newest first."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(ASSET), asset_partitions=[video])
        records = [
            *self.instance.fetch_materializations(wanted, limit=100).records,
            *self.instance.fetch_observations(wanted, limit=100).records,
        ]
        return sorted((self._decision(video, record) for record in records), key=lambda one: -one.storage_id)

    def _decision(self, video: VideoId, record: dg.EventLogRecord) -> Decision:
        approval, observation = record.asset_materialization, record.event_log_entry.asset_observation
        event = approval or observation
        assert event is not None
        said = {name: str(value.value) for name, value in event.metadata.items()}
        sha256 = said.get("render_sha256", "")
        return Decision(
            storage_id=record.storage_id,
            approved=approval is not None,
            render_sha256=sha256,
            feedback=said.get("feedback") or event.description or "",
            by=said.get("by", ""),
            at=datetime.fromtimestamp(record.timestamp, UTC),
            void=not sha256 and self._in_flight(video, record.timestamp),
        )

    def _in_flight(self, video: VideoId, moment: float) -> bool:
        """Whether a run of the video was in flight at a moment, in seconds since 1970."""
        runs = self.instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: video}), limit=100)
        return any(
            run.create_timestamp.timestamp() <= moment and (run.end_time is None or run.end_time >= moment)
            for run in runs
        )

    def failed_blocking_checks(self, stage: str, video: VideoId, made: Made) -> list[str]:
        """Names of the blocking checks that this very materialization did not pass."""
        found = self.evaluations(stage, made)
        return sorted({one.check_name for one in found if one.blocking and not one.passed})

    def evaluations(self, stage: str, made: Made) -> list[dg.AssetCheckEvaluation]:
        """What checks said of this very materialization, the oldest first."""
        key = dg.AssetKey(stage.split("/"))
        found = []
        for entry in self.instance.all_logs(made.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            event = entry.dagster_event
            evaluation = event.asset_check_evaluation_data if event else None
            if evaluation is None or evaluation.asset_key != key:
                continue
            target = evaluation.target_materialization_data
            if target is not None and target.storage_id == made.storage_id:
                found.append(evaluation)
        return found

    def runs(self, video: VideoId, limit: int) -> list[dg.RunRecord]:
        """The runs of a video, whoever launched them, the newest first."""
        return list(self.instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: video}), limit=limit))

    def at_work(self, run: dg.DagsterRun) -> dict[str, float]:
        """The stages of a run whose last attempt was begun and is not over, and when it was, in seconds since 1970.

        The others waited for their turn.
        """
        kinds = dg.DagsterEventType
        begun = {kinds.STEP_START, kinds.STEP_RESTARTED}
        over = {kinds.STEP_SUCCESS, kinds.STEP_FAILURE, kinds.STEP_UP_FOR_RETRY}
        found: dict[str, float] = {}
        for entry in self.instance.all_logs(run.run_id, of_type=begun | over):
            event = entry.dagster_event
            if event is None:
                continue
            stage = stage_of(run, event.step_key or "")
            if event.event_type in begun:
                found[stage] = entry.timestamp
            else:
                found.pop(stage, None)
        return found

    def overran(self, run: dg.DagsterRun) -> bool:
        """Whether a failed run was ended because it took longer than its maximum."""
        canceling = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_CANCELING)
        return run.status == dg.DagsterRunStatus.FAILURE and bool(canceling)

    def failures(self, run: dg.DagsterRun) -> list[Ended]:
        """How stages of a run failed; none if none failed by itself, but a process was killed.

        What a step on another host says after the run was given up counts for nothing.
        """
        found: dict[str, Ended] = {}
        kinds = dg.DagsterEventType
        for entry in self.instance.all_logs(run.run_id, of_type={kinds.STEP_FAILURE, kinds.RUN_FAILURE}):
            event = entry.dagster_event
            if event is None:
                continue
            if event.event_type == kinds.RUN_FAILURE:
                break
            data = event.step_failure_data
            if data.error is not None and data.error.cls_name == CRASH:
                continue
            said, resume_at, away_since = None, None, None
            if data.user_failure_data is not None:
                said = data.user_failure_data.description
                metadata = data.user_failure_data.metadata
                if RESUME_AT in metadata:
                    resume_at = datetime.fromtimestamp(min(float(str(metadata[RESUME_AT].value)), LATEST), UTC)
                if AWAY_SINCE in metadata:
                    away_since = float(str(metadata[AWAY_SINCE].value))
            if said is None and data.error is not None:
                inner = data.error.cause or data.error
                said = inner.message.strip()
            stage = stage_of(run, event.step_key or "")
            found[stage] = Ended(stage, said or event.message or "no reason was given", resume_at, away_since)
        return list(found.values())


def stage_of(run: dg.DagsterRun, step: str) -> str:
    """The stage that a step of a run makes."""
    stage = step.replace("published_post__", POST)
    return stages_of(run)[0] if stage == TAKE_DOWN.removesuffix("/") else stage


def stages_of(run: dg.DagsterRun) -> list[str]:
    """The stages that a run was launched for."""
    if run.job_name == TAKE_DOWN_JOB:
        config: Any = run.run_config
        return [TAKE_DOWN + str(config["ops"]["take_down"]["config"]["platform"])]
    return [key.to_user_string() for key in run.asset_selection or ()]
