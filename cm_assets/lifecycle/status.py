"""Where a video stands: derived from what was asked for, what is known of the work, and the time. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import missing, script_after, unposted
from cm_assets.models.base import Model
from cm_assets.models.request import VideoRequest
from cm_assets.models.review import Review
from cm_assets.models.status import StageStatus, State, Status
from cm_assets.policies import PRODUCE
from cm_assets.storage.database import RETIRED, StoredRequest

ENDS: Mapping[str, State] = {
    "done": "published",
    "failed": "failed",
    "cancelled": "cancelled",
    "rejected": "rejected",
    "retired": "retired",
}
"""The state that an outcome stands for."""


class Facts(Model):
    """What Dagster and the artifact store say of a video, as far as status and lists need it.

    Attributes:
        made: storage id of the newest materialization, by stage.
        active: whether a run is in flight.
        runs: how many runs there were.
        run_id: the newest run.
        title: of the script.
        links: where things lie: `video`, `cover`, `srt`, `vtt`, and the posts by platform.
        seconds: length of the video.
        size: bytes of the video.
        render_sha256: of the video.
        failed_checks: blocking checks that the video did not pass.
        review: what people decided about the video.
    """

    made: Mapping[str, int] = {}
    active: bool = False
    runs: int = 0
    run_id: str | None = None
    title: str = ""
    links: Mapping[str, str] = {}
    seconds: float | None = None
    size: int | None = None
    render_sha256: str = ""
    failed_checks: tuple[str, ...] = ()
    review: Review = Review()


def status(
    stored: StoredRequest,
    facts: Facts,
    shares: Mapping[str, float],
    now: datetime,
    *,
    before: int = 0,
    engine: bool,
    full: str = "",
) -> Status:
    """Where a video stands.

    Args:
        stored: what was asked for.
        facts: what is known of the work.
        shares: how far each stage has come that has reported.
        now: the time.
        before: how many come before it in the backlog.
        engine: whether anybody works in this home at all.
        full: why there is no room for another video; empty if there is.
    """
    if stored.outcome == RETIRED:
        return _tombstone(stored)
    request = parse(stored.document)
    to_make = missing(facts.made, script_after(request, facts.review))
    to_post = unposted(request, facts.made)
    active = facts.active and engine and stored.wanted
    state, waiting_for = _state(stored, request, facts, active=active, before=before, engine=engine, full=full, now=now)
    stages = []
    for stage in (*PRODUCE, *(f"published_post/{platform}" for platform in request.platforms)):
        done = stage not in to_make and stage not in to_post
        running = not done and active and stage in shares
        stages.append(
            StageStatus(
                stage=stage,
                state="done" if done else "running" if running else "waiting",
                share=1.0 if done else shares.get(stage, 0.0) if running else 0.0,
            )
        )
    return Status(
        id=stored.id,
        title=facts.title or working_title(request),
        state=state,
        stages=tuple(stages),
        priority=stored.priority,
        attempts=facts.runs,
        reason=stored.reason if state in {"failed", "cancelled"} else "",
        feedback=facts.review.feedback if facts.review.verdict == "rejected" else "",
        render_sha256=facts.render_sha256,
        waiting_for=waiting_for,
        received_at=stored.received_at,
        run_id=facts.run_id,
        links=facts.links,
        seconds=facts.seconds,
        size=facts.size,
    )


def _state(
    stored: StoredRequest,
    request: VideoRequest,
    facts: Facts,
    *,
    active: bool,
    before: int,
    engine: bool,
    full: str,
    now: datetime,
) -> tuple[State, str]:
    if stored.outcome in ENDS:
        return ENDS[stored.outcome], ""
    to_make, to_post = missing(facts.made, script_after(request, facts.review)), unposted(request, facts.made)
    if not to_make and not to_post:
        return "published", ""
    if active:
        return ("producing" if to_make else "publishing"), ""
    if not to_make and facts.review.verdict == "rejected":
        return "rejected", ""
    if not to_make and request.needs_review and not facts.review.verdict:
        return "awaiting_review", f"approval: cm approve {stored.id}"
    if stored.resume_at is not None and stored.resume_at > now:
        return ("queued" if to_make else "scheduled"), f"{stored.waiting_for}, {_clock(stored.resume_at)}"
    state: State = "queued" if to_make else "publishing"
    if not to_make and request.publish_at is not None and request.publish_at > now:
        return "scheduled", f"its time, {_clock(request.publish_at)}"
    if to_make and request.not_before is not None and request.not_before > now:
        return "queued", f"its time, {_clock(request.not_before)}"
    if full and to_make:
        return state, f"disk space: {full}"
    if not engine:
        return state, "an engine: start one with cm up"
    return state, f"a free place, after {before} others" if before else "a free place"


def _tombstone(stored: StoredRequest) -> Status:
    return Status(
        id=stored.id,
        title=stored.document["title"],
        state="retired",
        stages=(),
        priority=stored.priority,
        reason=stored.reason,
        received_at=stored.received_at,
        links=stored.document["links"],
    )


def _clock(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def working_title(request: VideoRequest) -> str:
    """What a video is called before its script has a title."""
    text = request.post.title or request.topic or request.source_text or (request.scenes or ())[0].text
    return " ".join(text.split())[:100]


def facts_of(noted: Mapping[str, Any] | None) -> Facts:
    """The facts as they are stored; those of a video that nobody has worked on if there are none."""
    return Facts.model_validate(noted or {})
