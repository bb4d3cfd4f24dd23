"""Tells what became of a video, from Dagster's records and the artifacts that they name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

import dagster as dg
from pydantic import ValidationError

from cm_assets.lifecycle.worklog import STOPPED_TAG, Made, WorkLog, stages_of
from cm_assets.models.artifact import LostArtifact
from cm_assets.models.audio import Audio
from cm_assets.models.base import FPS, Model
from cm_assets.models.clips import BackgroundClips
from cm_assets.models.script import Script
from cm_assets.models.spending import Bill
from cm_assets.models.story import CheckTold, RunTold, SceneTold, Story
from cm_assets.partitions import VideoId
from cm_assets.policies import PRODUCE
from cm_assets.storage.artifacts import ArtifactStore

MOST_RUNS = 20
"""Attempts that are told of a video."""

Told = TypeVar("Told", bound=Model)


def tell(worklog: WorkLog, store: ArtifactStore, video: VideoId, bill: Bill) -> Story:
    """All that there is to say of a video. What was removed, or is not made yet, is left out.

    Args:
        worklog: Dagster's records.
        store: the artifacts.
        video: which.
        bill: what the language model took and cost.
    """
    made = worklog.all_made(video)
    script = _read(store, made.get("script"), Script)
    # A narration or clips that are older than the script are of another one.
    newer = {
        stage: one for stage, one in made.items() if "script" in made and one.storage_id > made["script"].storage_id
    }
    clips = _read(store, newer.get("background_clips"), BackgroundClips)
    return Story(
        scenes=_scenes(script, _read(store, newer.get("audio"), Audio), clips) if script else (),
        description=script.description if script else "",
        hashtags=script.hashtags if script else (),
        writer=" ".join(filter(None, (script.writer, script.model))) if script else "",
        credits=tuple(dict.fromkeys(clip.credit for clip in clips.clips)) if clips else (),
        checks=_checks(worklog, made),
        runs=tuple(_run(worklog, record) for record in worklog.runs(video, MOST_RUNS)),
        decisions=tuple(worklog.decisions(video)),
        bill=bill,
    )


def _read(store: ArtifactStore, made: Made | None, model: type[Told]) -> Told | None:
    """What a stage made; None if it is not there, or an earlier version made it."""
    if made is None:
        return None
    try:
        return model.model_validate_json(store.read(str(made.metadata["model"])))
    except (LostArtifact, ValidationError, KeyError):
        return None


def _scenes(script: Script, audio: Audio | None, clips: BackgroundClips | None) -> tuple[SceneTold, ...]:
    starts = [scene.first_frame / FPS for scene in audio.scenes] if audio else []
    shown: dict[int, list[str]] = {}
    for clip in clips.clips if clips else ():
        shown.setdefault(clip.scene, []).append(clip.label or clip.credit.source)
    return tuple(
        SceneTold(
            text=scene.text,
            terms=scene.search_terms,
            start=starts[number] if number < len(starts) else None,
            shown=tuple(dict.fromkeys(shown.get(number, ()))),
        )
        for number, scene in enumerate(script.scenes)
    )


def _checks(worklog: WorkLog, made: Mapping[str, Made]) -> tuple[CheckTold, ...]:
    found = {
        (stage, one.check_name): CheckTold(
            name=one.check_name, stage=stage, passed=one.passed, blocking=one.blocking, said=one.description or ""
        )
        for stage in PRODUCE
        if stage in made
        for one in worklog.evaluations(stage, made[stage])
    }
    return tuple(found.values())


def _run(worklog: WorkLog, record: dg.RunRecord) -> RunTold:
    run = record.dagster_run
    told = RunTold(
        id=run.run_id,
        job=run.job_name,
        stages=tuple(stages_of(run)),
        began=_moment(record.start_time),
        ended=_moment(record.end_time),
        end="done",
    )
    if not run.is_finished:
        began = run.status in {dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING}
        return told.model_copy(update={"end": "running" if began else "queued"})
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return told
    if STOPPED_TAG in run.tags:
        return told.model_copy(update={"end": "stopped", "reasons": ("its engine ended",)})
    if run.status == dg.DagsterRunStatus.CANCELED:
        return told.model_copy(update={"end": "cancelled"})
    failures = worklog.failures(run)
    reasons = tuple(f"{one.stage}: {one.reason}" for one in failures)
    if not reasons:
        reasons = ("it took longer than a run may",) if worklog.overran(run) else ("its worker died without a word",)
    waits = bool(failures) and all(one.resume_at is not None for one in failures)
    return told.model_copy(update={"end": "waits" if waits else "failed", "reasons": reasons})


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
