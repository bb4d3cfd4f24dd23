"""Where a video stands: derived from what was asked for, what is known of the work, and the time. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import UPSTREAM, Posts, missing, outcome, script_after, to_take_down, unposted
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import Model
from cm_assets.models.request import VideoRequest, working_title
from cm_assets.models.review import Review
from cm_assets.models.spending import NOTHING, Bill
from cm_assets.models.status import StageStatus, State, Status
from cm_assets.policies import PRODUCE, STAGES
from cm_assets.storage.database import RETIRED, Step, StoredRequest

ENDS: Mapping[str, State] = {
    "done": "published",
    "partial": "partially_published",
    "taken_down": "taken_down",
    "failed": "failed",
    "cancelled": "cancelled",
    "rejected": "rejected",
    "retired": "retired",
}
"""The state that an outcome stands for."""

_NOBODY: Mapping[str, int] = {}


class Facts(Model):
    """What Dagster and the artifact store say of a video, as far as status and lists need it.

    Attributes:
        made: storage id of the newest materialization, by stage.
        taken: storage id of the newest taking down of a post, by its stage.
        rendered: the newest render's storage id, if the run that made it is over and it passed its blocking checks.
        started: when the newest run that has begun did, in seconds since 1970.
        active: whether a run is in flight.
        runs: how many runs there were.
        run_id: the newest run.
        title: of the script.
        links: where things lie: `video`, `cover`, `srt`, `vtt`, and the posts by platform.
        files: what the newest render is: `video`, `cover`, `srt`, `vtt`.
        seconds: length of the video.
        size: bytes of the video.
        render_sha256: of the video.
        failed_checks: blocking checks that the video did not pass.
        review: what people decided about the video.
    """

    made: Mapping[str, int] = {}
    taken: Mapping[str, int] = {}
    rendered: int = -1
    started: float = 0.0
    active: bool = False
    runs: int = 0
    run_id: str | None = None
    title: str = ""
    links: Mapping[str, str] = {}
    files: Mapping[str, ArtifactRef] = {}
    seconds: float | None = None
    size: int | None = None
    render_sha256: str = ""
    failed_checks: tuple[str, ...] = ()
    review: Review = Review()


def status(
    stored: StoredRequest,
    facts: Facts,
    steps: Mapping[str, Step],
    now: datetime,
    *,
    before: int = 0,
    engine: bool,
    at_work: Mapping[str, int] = _NOBODY,
    full: str = "",
    bill: Bill = NOTHING,
    begun: Collection[str] = (),
    unserved: Collection[str] = (),
    pools: Mapping[str, int] = _NOBODY,
) -> Status:
    """Where a video stands.

    Args:
        stored: what was asked for.
        facts: what is known of the work.
        steps: how far each stage has come that has reported.
        now: the time.
        before: how many come before it in the backlog.
        engine: whether anybody works in this home at all.
        at_work: how many videos are in each stage.
        full: why there is no room for another video; empty if there is.
        bill: what the language model took and cost.
        begun: the platforms on which something was begun that is a post, or may become one.
        unserved: queues of the broker that no worker takes steps from.
        pools: limits of pools that are not those of the table.
    """
    cost = None if bill.cost is None else float(bill.cost)
    if stored.outcome == RETIRED:
        return _tombstone(stored, cost)
    request = parse(stored.document)
    to_make = missing(facts.made, script_after(request, facts.review))
    posts = Posts(facts.taken, stored.given_up, stored.take_down, begun)
    to_post = unposted(request, facts.made, posts)
    active = facts.active and engine and stored.wanted
    state, waiting_for = _state(
        stored, request, facts, posts, active=active, before=before, engine=engine, full=full, now=now
    )
    stages = []
    for stage in (*PRODUCE, *(f"published_post/{platform}" for platform in request.platforms)):
        done = stage not in to_make and stage not in to_post
        step = steps.get(stage) if active and not done else None
        stages.append(
            StageStatus(
                stage=stage,
                state="done" if done else "running" if step else "waiting",
                share=1.0 if done else step.share if step else 0.0,
                attempt=step.attempt if step else 0,
            )
        )
    if active and not waiting_for:
        waiting_for = _step_waits_for(stages, steps, at_work, unserved, pools)
    return Status(
        id=stored.id,
        title=facts.title or working_title(stored.document),
        state=state,
        stages=tuple(stages),
        priority=stored.priority,
        attempts=facts.runs,
        reason=stored.reason if state != "rejected" else "",
        feedback=facts.review.feedback if facts.review.verdict == "rejected" else "",
        render_sha256=facts.render_sha256,
        failed_checks=facts.failed_checks,
        waiting_for=waiting_for,
        received_at=stored.received_at,
        run_id=facts.run_id,
        links=facts.links,
        seconds=facts.seconds,
        size=facts.size,
        cost=cost,
    )


def _state(
    stored: StoredRequest,
    request: VideoRequest,
    facts: Facts,
    posts: Posts,
    *,
    active: bool,
    before: int,
    engine: bool,
    full: str,
    now: datetime,
) -> tuple[State, str]:
    if stored.outcome in ENDS:
        return ENDS[stored.outcome], ""
    to_make, to_post = missing(facts.made, script_after(request, facts.review)), unposted(request, facts.made, posts)
    unwanted = to_take_down(request, facts.made, posts)
    if unwanted:
        return "publishing", f"its post on {', '.join(unwanted)} to be taken down"
    if not to_make and not to_post:
        return ENDS[outcome(request, facts.made, posts).outcome], ""
    if active:
        # The run that made the render is not over at once; nothing is posted that nobody has approved.
        undecided = request.needs_review and facts.review.verdict != "approved"
        return ("producing" if to_make or undecided else "publishing"), ""
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


def _step_waits_for(
    stages: Sequence[StageStatus],
    steps: Mapping[str, Step],
    at_work: Mapping[str, int],
    unserved: Collection[str],
    pools: Mapping[str, int],
) -> str:
    """What the work waits for that a run in flight is to do: a service, a place in a pool, or somebody who does it."""
    waits = [steps[one.stage].waits_for for one in stages if one.state == "running" and steps[one.stage].waits_for]
    if waits:
        return waits[0]
    done = {one.stage for one in stages if one.state == "done"}
    for one in stages:
        policy = STAGES[one.stage]
        ready = one.state == "waiting" and done.issuperset(UPSTREAM.get(one.stage, PRODUCE))
        if ready and policy.queue in unserved:
            return f"a worker of the queue {policy.queue}: cm worker --queues {policy.queue}"
        if ready and policy.pool:
            limit = pools.get(policy.pool, policy.pool_limit)
            if at_work.get(one.stage, 0) >= limit:
                return f"a place in the pool {policy.pool}, {limit} at once"
    return ""


def _tombstone(stored: StoredRequest, cost: float | None) -> Status:
    return Status(
        id=stored.id,
        title=stored.document["title"],
        state="retired",
        stages=(),
        priority=stored.priority,
        reason=stored.reason,
        received_at=stored.received_at,
        links=stored.document["links"],
        cost=cost,
    )


def _clock(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def facts_of(noted: Mapping[str, Any] | None) -> Facts:
    """The facts as they are stored; those of a video that nobody has worked on if there are none."""
    return Facts.model_validate(noted or {})
