"""What to do next for a video: pure decisions over what was asked for and what was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cm_assets.models.request import VideoRequest
from cm_assets.policies import PRODUCE

UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "brief": (),
    "script": ("brief",),
    "audio": ("script",),
    "background_clips": ("script",),
    "render": ("script", "audio", "background_clips"),
}
"""What each stage of `produce_video` is made from. The asset graph says the same, and a test compares them."""

MAX_LOST_RUNS = 3
"""Runs of a video that may die without a word before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to launch: a job, limited to the stages that are missing."""

    job: str
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`; `reason` is what the video waits for."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """All that was asked for is there."""


def missing(made: Mapping[str, int]) -> tuple[str, ...]:
    """The stages of `produce_video` that must be made (again): never made, or older than what they are made from.

    Args:
        made: storage id of the newest materialization, by stage.
    """
    stale: list[str] = []
    for stage in PRODUCE:
        upstream = UPSTREAM[stage]
        if (
            stage not in made
            or any(one in stale for one in upstream)
            or any(made[one] > made[stage] for one in upstream)
        ):
            stale.append(stage)
    return tuple(stale)


def unposted(request: VideoRequest, made: Mapping[str, int]) -> tuple[str, ...]:
    """The posts that the request names and that do not show the newest render."""
    posts = (f"published_post/{platform}" for platform in request.platforms)
    return tuple(post for post in posts if made.get(post, -1) < made.get("render", 0))


def next_step(request: VideoRequest, made: Mapping[str, int], now: datetime) -> Launch | Wait | Done:
    """What to do for a video that is wanted and has no run in flight."""
    stages = missing(made)
    if stages:
        if request.not_before is not None and request.not_before > now:
            return Wait(request.not_before, "its time")
        return Launch("produce_video", stages)
    posts = unposted(request, made)
    if posts:
        if request.publish_at is not None and request.publish_at > now:
            return Wait(request.publish_at, "its time")
        return Launch("publish_video", posts)
    return Done()
