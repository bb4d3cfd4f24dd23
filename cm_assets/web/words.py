"""What the board calls things: states and their groups, stages, runs, sizes. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime

from cm_assets.lifecycle.plan import PRODUCE_JOB, PUBLISH_JOB
from cm_assets.models.status import State, Status
from cm_assets.models.story import RunTold
from cm_assets.policies import POST, PRODUCE

STATES: Mapping[State, tuple[str, str]] = {
    "queued": ("Queued", "quiet"),
    "producing": ("In the making", "busy"),
    "awaiting_review": ("To review", "ask"),
    "rejected": ("Rejected", "bad"),
    "scheduled": ("Scheduled", "quiet"),
    "publishing": ("Publishing", "busy"),
    "published": ("Published", "good"),
    "partially_published": ("Published in part", "warn"),
    "failed": ("Failed", "bad"),
    "cancelled": ("Cancelled", "quiet"),
    "taken_down": ("Taken down", "quiet"),
    "retired": ("Retired", "quiet"),
}
"""The name and the tone of each state."""

GROUPS: Mapping[str, tuple[str, tuple[State, ...]]] = {
    "review": ("To review", ("awaiting_review",)),
    "making": ("In the making", ("producing", "publishing")),
    "waiting": ("Waiting", ("queued", "scheduled")),
    "posted": ("Posted", ("published", "partially_published")),
    "failed": ("Failed", ("failed", "rejected")),
    "closed": ("Closed", ("cancelled", "taken_down", "retired")),
}
"""The states as people look for them; each in one group."""

PLATFORMS = {"outbox": "Outbox", "youtube": "YouTube", "tiktok": "TikTok"}

_STAGES = {"brief": "Brief", "script": "Script", "audio": "Voice", "background_clips": "Footage", "render": "Render"}

ENDS = {
    "queued": ("queued", "quiet"),
    "running": ("at work", "busy"),
    "done": ("done", "good"),
    "failed": ("failed", "bad"),
    "waits": ("waits", "warn"),
    "cancelled": ("cancelled", "quiet"),
    "stopped": ("interrupted", "warn"),
}
"""The name and the tone of each end of a run."""

_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def state(name: State) -> str:
    """What a state is called."""
    return STATES[name][0]


def tone(name: State) -> str:
    """How a state looks: quiet, busy, ask, good, warn or bad."""
    return STATES[name][1]


def platform(name: str) -> str:
    """What a platform is called."""
    return PLATFORMS.get(name, name)


def stage(name: str) -> str:
    """What a stage is called."""
    if name.startswith("take_down/"):
        return f"Take-down from {platform(name.removeprefix('take_down/'))}"
    return _STAGES.get(name) or f"Post on {platform(name.removeprefix(POST))}"


def errand(run: RunTold) -> str:
    """What a run was for."""
    if not run.stages:
        return {PRODUCE_JOB: "The whole video", PUBLISH_JOB: "All posts"}.get(run.job, run.job)
    return "The whole video" if set(run.stages) >= set(PRODUCE) else ", ".join(map(stage, run.stages))


def waits(status: Status) -> str:
    """What a video waits for, as a sentence; empty if it waits for nothing."""
    if status.state == "awaiting_review":
        if status.failed_checks:
            return f"It did not pass {', '.join(status.failed_checks)}, so it cannot be approved."
        return "It waits for somebody to look at it."
    return f"Waits for {_TIME.sub(_readable, status.waiting_for)}." if status.waiting_for else ""


def _readable(found: re.Match[str]) -> str:
    return clock(datetime.fromisoformat(found[0]))


def percent(share: float) -> int:
    """A share in per cent; 100 only when it is all."""
    return min(int(share * 100), 99) if share < 1 else 100


def length(seconds: float) -> str:
    """A length as players show it."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def size(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"


def clock(moment: datetime) -> str:
    """A time, UTC; browsers put their own in its place."""
    return f"{moment:%d %b %Y, %H:%M} UTC"


def is_link(address: str) -> bool:
    """Whether a browser should open it."""
    return address.startswith(("https://", "http://"))
