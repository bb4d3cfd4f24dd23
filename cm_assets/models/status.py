"""Where a video stands, for people and programs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, get_args

from cm_assets.models.base import Model
from cm_assets.partitions import VideoId

State = Literal[
    "queued",
    "producing",
    "awaiting_review",
    "rejected",
    "scheduled",
    "publishing",
    "published",
    "partially_published",
    "failed",
    "cancelled",
    "taken_down",
    "retired",
]

STATES: Final[tuple[State, ...]] = get_args(State)


class StageStatus(Model):
    """One stage of a video.

    Attributes:
        stage: its name.
        state: `waiting`, `running` or `done`.
        share: how far it is, 0 to 1.
        attempt: which try of the run this is, from 1; 0 if it does not run.
    """

    stage: str
    state: Literal["waiting", "running", "done"]
    share: float
    attempt: int = 0


class Status(Model):
    """Where a video stands.

    Attributes:
        id: the video.
        title: of its script, or the beginning of what was asked for.
        state: one of the states that the documents explain.
        stages: each stage of it in order.
        priority: 1 (urgent) to 10.
        attempts: runs so far.
        reason: what failed, and why, or why it retired; empty otherwise.
        feedback: why it was rejected; empty otherwise.
        waiting_for: what it waits for; empty otherwise.
        render_sha256: of the newest render; what approvals and rejections name.
        failed_checks: blocking checks that the newest render did not pass: it cannot be approved.
        received_at: when the request came.
        run_id: its newest run.
        links: where things lie: `video`, `cover`, `srt`, `vtt`, `post`, as far as they are made.
        seconds: length of the video, once it is rendered.
        size: bytes of the video, once it is rendered.
        cost: US dollars that the language model has cost so far; None if its price is not known.
    """

    id: VideoId
    title: str = ""
    state: State
    stages: tuple[StageStatus, ...]
    priority: int = 10
    attempts: int = 0
    reason: str = ""
    feedback: str = ""
    waiting_for: str = ""
    render_sha256: str = ""
    failed_checks: tuple[str, ...] = ()
    received_at: datetime
    run_id: str | None = None
    links: Mapping[str, str] = {}
    seconds: float | None = None
    size: int | None = None
    cost: float | None = 0.0

    @property
    def stage(self) -> StageStatus | None:
        """The stage that runs, the last one if several do."""
        return next((stage for stage in reversed(self.stages) if stage.state == "running"), None)

    @property
    def waits_for_long(self) -> bool:
        """Whether it waits for a person or for a time of day."""
        return self.state in {"awaiting_review", "scheduled"} or self.waiting_for.startswith("its time")

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state not in {"queued", "producing", "awaiting_review", "scheduled", "publishing"}
