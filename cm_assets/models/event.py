"""What happens to a video, as it is told to people and programs outside."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, Self, get_args

from cm_assets.models.base import Model
from cm_assets.partitions import VideoId

EventType = Literal[
    "video.queued",
    "video.started",
    "video.stage_completed",
    "video.rendered",
    "video.awaiting_review",
    "video.approved",
    "video.rejected",
    "video.published",
    "video.partially_published",
    "video.failed",
    "video.cancelled",
    "video.taken_down",
    "video.retired",
]

EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)

ENDED: Final[Mapping[str, EventType]] = {
    "done": "video.published",
    "partial": "video.partially_published",
    "taken_down": "video.taken_down",
    "failed": "video.failed",
    "cancelled": "video.cancelled",
    "rejected": "video.rejected",
}
"""The event that closing a request with an outcome is."""

_NAMESPACE = uuid.UUID("7c0d4d2e-52c4-4c52-9a5c-6b6f1f4f2a11")


class Event(Model):
    """One thing that happened to a video.

    Attributes:
        id: the same whenever the same thing is noted again.
        video_id: whose.
        type: what.
        at: when it was noted, UTC.
        data: what is told: `id` of the video, `title`, `state`, and what belongs to the type.
    """

    id: str
    video_id: VideoId
    type: EventType
    at: datetime
    data: Mapping[str, Any]

    @classmethod
    def of(cls, video: VideoId, kind: EventType, occurrence: object, at: datetime, data: Mapping[str, Any]) -> Self:
        """An event with its id.

        Args:
            video: whose.
            kind: what happened.
            occurrence: what tells this one from others of its type and video, such as a storage id.
            at: when.
            data: what is told beside the video's id.
        """
        event_id = str(uuid.uuid5(_NAMESPACE, f"{video}/{kind}/{occurrence}"))
        return cls(id=event_id, video_id=video, type=kind, at=at, data={"id": video, **data})

    def body(self) -> Mapping[str, Any]:
        """What receivers get: the same at each attempt."""
        at = self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"type": self.type, "timestamp": at, "data": dict(self.data)}
