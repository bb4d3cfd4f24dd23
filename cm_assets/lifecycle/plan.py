"""What to do next for a video: pure decisions over what was asked for and what was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cm_assets.lifecycle.review import may_be_revised
from cm_assets.models.request import VideoRequest
from cm_assets.models.review import Review
from cm_assets.policies import PRODUCE

UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "brief": (),
    "script": ("brief",),
    "audio": ("script",),
    "background_clips": ("script",),
    "render": ("script", "audio", "background_clips"),
}
"""What each stage of `produce_video` is made from. The asset graph says the same, and a test compares them."""

_NONE = Review()


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to launch: a job, limited to the stages that are missing.

    Attributes:
        job: its name.
        stages: what it makes.
        answers: whether its script answers the rejection of the render.
    """

    job: str
    stages: tuple[str, ...]
    answers: bool = False


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
    """All that was asked for is there."""


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


def unposted(request: VideoRequest, made: Mapping[str, int]) -> tuple[str, ...]:
    """The posts that the request names and that do not show the newest render."""
    posts = (f"published_post/{platform}" for platform in request.platforms)
    return tuple(post for post in posts if made.get(post, -1) < made.get("render", 0))


def script_after(request: VideoRequest, review: Review) -> int:
    """The storage id after which the script must have been written; -1 if any will do."""
    return review.decided if review.verdict == "rejected" and may_be_revised(request, review) else -1


def next_step(
    request: VideoRequest, made: Mapping[str, int], now: datetime, review: Review = _NONE
) -> Launch | Wait | Awaiting | Rejected | Done:
    """What to do for a video that is wanted and has no run in flight."""
    after = script_after(request, review)
    stages = missing(made, after)
    if stages:
        if request.not_before is not None and request.not_before > now:
            return Wait(request.not_before, "its time")
        return Launch("produce_video", stages, answers=after >= 0 and "script" in stages)
    if review.verdict == "rejected":
        return Rejected(review.feedback)
    if request.needs_review and review.verdict != "approved":
        return Awaiting()
    posts = unposted(request, made)
    if posts:
        if request.publish_at is not None and request.publish_at > now:
            return Wait(request.publish_at, "its time")
        return Launch("publish_video", posts)
    return Done()
