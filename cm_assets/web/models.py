"""What the API says of videos."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cm_assets.models.base import Model
from cm_assets.models.status import StageStatus, State, Status
from cm_assets.partitions import VideoId


class Links(Model):
    """Where the rest is, as paths of this server.

    Attributes:
        video, cover, captions: None until there is a render.
    """

    self: str
    events: str
    page: str
    video: str | None = None
    cover: str | None = None
    captions: str | None = None


class Submitted(Model):
    """A request that is in the database.

    Attributes:
        id: its video's.
        repeated: whether it had been there before: nothing else will be made of it.
        waiting_for: what it waits for before anything happens; empty if nothing but its turn.
        links: where to follow it.
    """

    id: VideoId
    repeated: bool
    waiting_for: str = ""
    links: Links


class Video(Model):
    """Where a video stands.

    Attributes:
        share: how much of it is done, 0 to 1.
        posts: where people see it, by platform.
        cost: US dollars that the language model has cost so far; None if its price is not known.
    """

    id: VideoId
    title: str
    state: State
    share: float
    stages: tuple[StageStatus, ...]
    priority: int
    attempts: int
    reason: str
    feedback: str
    waiting_for: str
    render_sha256: str
    received_at: datetime
    run_id: str | None
    seconds: float | None
    size: int | None
    cost: float | None
    posts: Mapping[str, str]
    links: Links

    @classmethod
    def of(cls, status: Status) -> "Video":
        """What the API says of a status."""
        same = {name: getattr(status, name) for name in cls.model_fields if name in Status.model_fields}
        posts = {name: url for name, url in status.links.items() if name not in FILES}
        return cls(**same | {"share": share_of(status), "posts": posts, "links": links_of(status)})


class Page(Model):
    """Videos, the newest first.

    Attributes:
        next: the cursor of the page after this one; None if this is the last.
    """

    videos: tuple[Video, ...]
    next: str | None


class Event(Model):
    """A change of a video.

    Attributes:
        stage: that is at work; None if none is.
        share: how much of that stage is done, or of the video where none is at work, 0 to 1.
    """

    id: VideoId
    state: State
    stage: str | None
    share: float
    attempts: int
    waiting_for: str
    reason: str

    @classmethod
    def of(cls, status: Status) -> "Event":
        """The event that a status is."""
        stage = status.stage
        return cls(
            id=status.id,
            state=status.state,
            stage=stage.stage if stage else None,
            share=round(stage.share if stage else share_of(status), 3),
            attempts=status.attempts,
            waiting_for=status.waiting_for,
            reason=status.reason,
        )


FILES: Sequence[str] = ("video", "cover", "srt", "vtt")


def links_of(status: Status) -> Links:
    """The links of a video."""
    here = paths_of(status.id)
    there = {"video": "video", "cover": "cover", "captions": "vtt"}
    return here.model_copy(update={name: f"{here.self}/{name}" for name, file in there.items() if file in status.links})


def paths_of(video: VideoId) -> Links:
    """The links that every video has."""
    return Links(self=f"/videos/{video}", events=f"/videos/{video}/events", page=f"/board/{video}")


def share_of(status: Status) -> float:
    """How much of a video is done, 0 to 1: the stages count alike."""
    return round(sum(stage.share for stage in status.stages) / max(len(status.stages), 1), 3)
