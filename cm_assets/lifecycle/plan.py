"""What to do next for a video: pure decisions over what was asked for and what was made."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cm_assets.lifecycle.review import may_be_revised
from cm_assets.models.request import VideoRequest
from cm_assets.models.review import Review
from cm_assets.policies import POST, PRODUCE

UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "brief": (),
    "script": ("brief",),
    "audio": ("script",),
    "background_clips": ("script",),
    "render": ("script", "audio", "background_clips"),
}
"""What each stage of `produce_video` is made from. The asset graph says the same, and a test compares them."""

_NONE = Review()
PRODUCE_JOB, PUBLISH_JOB, TAKE_DOWN_JOB = "produce_video", "publish_video", "take_down_video"
TAKE_DOWN = "take_down/"
"""Beginning of the names of take-downs, as `policies.POST` is of posts; the platform follows."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to launch: a job, limited to the stages that are missing.

    Attributes:
        job: its name.
        stages: what it makes.
        answers: whether its script answers the rejection of the render.
        take_down: the platform whose post it takes down.
    """

    job: str
    stages: tuple[str, ...] = ()
    answers: bool = False
    take_down: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`; `reason` is what the video waits for."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Awaiting:
    """Nothing to do before a person has decided."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """It was rejected, and no writer can answer that."""

    feedback: str


@dataclass(frozen=True, slots=True)
class Done:
    """All that was asked for is there, or given up.

    Attributes:
        outcome: `done`, `partial`, `failed` or `taken_down`.
        reason: what was given up, and why.
    """

    outcome: str = "done"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Posts:
    """What became of the posts of a video, and what is to become of them.

    Attributes:
        taken: storage id of the newest taking down of a post, by its stage.
        given_up: why a post, or the taking down of one, is not tried any more, by stage.
        unwanted: the platforms that are not to show the video any more.
        begun: the platforms on which something was begun that is a post, or may become one, and was not taken down.
    """

    taken: Mapping[str, int] = field(default_factory=dict)
    given_up: Mapping[str, str] = field(default_factory=dict)
    unwanted: Collection[str] = ()
    begun: Collection[str] = ()


_NO_POSTS = Posts()


def missing(made: Mapping[str, int], script_after: int = -1) -> tuple[str, ...]:
    """The stages of `produce_video` that must be made (again): never made, or older than what they are made from.

    Args:
        made: storage id of the newest materialization, by stage.
        script_after: storage id after which the script must have been written: that of a rejection.
    """
    stale: list[str] = []
    for stage in PRODUCE:
        upstream = UPSTREAM[stage]
        if (
            stage not in made
            or (stage == "script" and made[stage] < script_after)
            or any(one in stale for one in upstream)
            or any(made[one] > made[stage] for one in upstream)
        ):
            stale.append(stage)
    return tuple(stale)


def unposted(request: VideoRequest, made: Mapping[str, int], posts: Posts) -> tuple[str, ...]:
    """The posts that are wanted, are not given up, and do not show the newest render."""
    if _all_or_none(request, posts):
        return ()
    stages = [POST + platform for platform in request.platforms if platform not in posts.unwanted]
    newest = {stage: max(made.get("render", 0), posts.taken.get(stage, -1)) for stage in stages}
    return tuple(one for one in stages if one not in posts.given_up and made.get(one, -1) < newest[one])


def shown(request: VideoRequest, made: Mapping[str, int], posts: Posts) -> tuple[str, ...]:
    """The platforms on which the video can be seen."""
    stages = {platform: POST + platform for platform in request.platforms}
    return tuple(one for one, stage in stages.items() if made.get(stage, -1) > posts.taken.get(stage, -1))


def present(request: VideoRequest, made: Mapping[str, int], posts: Posts) -> tuple[str, ...]:
    """The platforms on which the video can be seen, or may be to be seen though nobody here has heard of it."""
    there = {*shown(request, made, posts), *posts.begun}
    return tuple(platform for platform in request.platforms if platform in there)


def to_take_down(request: VideoRequest, made: Mapping[str, int], posts: Posts) -> tuple[str, ...]:
    """The platforms that show the video and are not to: because somebody says so, or since another one failed."""
    unwanted = request.platforms if _all_or_none(request, posts) else posts.unwanted
    return tuple(
        one for one in present(request, made, posts) if one in unwanted and TAKE_DOWN + one not in posts.given_up
    )


def _all_or_none(request: VideoRequest, posts: Posts) -> bool:
    """Whether a post failed for good, so that the others are not to stay."""
    return request.on_partial_failure == "take_down" and any(stage.startswith(POST) for stage in posts.given_up)


def outcome(request: VideoRequest, made: Mapping[str, int], posts: Posts) -> Done:
    """How a video ended for which nothing is left to do."""
    reason = "; ".join(f"{stage}: {why}" for stage, why in posts.given_up.items())
    seen = shown(request, made, posts)
    if any(stage.startswith(POST) for stage in posts.given_up):
        return Done("partial" if seen else "failed", reason)
    return Done("done" if seen else "taken_down", reason)


def script_after(request: VideoRequest, review: Review) -> int:
    """The storage id after which the script must have been written; -1 if any will do."""
    return review.decided if review.verdict == "rejected" and may_be_revised(request, review) else -1


def next_step(
    request: VideoRequest, made: Mapping[str, int], now: datetime, review: Review = _NONE, posts: Posts = _NO_POSTS
) -> Launch | Wait | Awaiting | Rejected | Done:
    """What to do for a video that is wanted and has no run in flight."""
    unwanted = to_take_down(request, made, posts)
    if unwanted:
        return Launch(TAKE_DOWN_JOB, take_down=unwanted[0])
    after = script_after(request, review)
    stages = missing(made, after)
    if stages:
        if request.not_before is not None and request.not_before > now:
            return Wait(request.not_before, "its time")
        return Launch(PRODUCE_JOB, stages, answers=after >= 0 and "script" in stages)
    if review.verdict == "rejected":
        return Rejected(review.feedback)
    if request.needs_review and review.verdict != "approved":
        return Awaiting()
    stages = unposted(request, made, posts)
    if stages:
        if request.publish_at is not None and request.publish_at > now:
            return Wait(request.publish_at, "its time")
        return Launch(PUBLISH_JOB, stages)
    return outcome(request, made, posts)
