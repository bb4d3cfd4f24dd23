"""Which events the difference between two sets of facts means. Pure.

`queued` and the ends are no facts of Dagster's: the database writes them where a request is opened and closed.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import missing, script_after
from cm_assets.lifecycle.review import may_be_revised
from cm_assets.lifecycle.status import Facts, status
from cm_assets.models.event import Event, EventType
from cm_assets.models.request import VideoRequest
from cm_assets.storage.database import StoredRequest

FILES = ("video", "cover", "srt", "vtt")
"""The links of a render; the others are posts."""


def announcements(
    stored: StoredRequest, before: Facts, after: Facts, now: datetime, *, told_to: int = -1
) -> list[Event]:
    """What has happened to a video, in order.

    Args:
        stored: what was asked for.
        before: the facts as they were noted.
        after: the facts as they are.
        now: the time.
        told_to: storage id up to which everything is history that nobody is told again.
    """
    request = parse(stored.document)
    stands = status(stored, after, {}, now, engine=True)
    happened: list[Event] = []

    def tell(kind: EventType, occurrence: object, **data: Any) -> None:
        common = {"title": stands.title, "state": stands.state}
        happened.append(Event.of(stored.id, kind, occurrence, now, common | data))

    if stored.wanted and before.started < stored.wanted_at.timestamp() <= after.started:
        tell("video.started", stored.wanted_at.isoformat())
    for stage, made in sorted(after.made.items(), key=lambda item: item[1]):
        if made > max(before.made.get(stage, -1), told_to):
            tell("video.stage_completed", made, stage=stage)
    if after.rendered > max(before.rendered, told_to):
        tell("video.rendered", after.rendered, **_render(after))
    if _awaits(request, after) and not _awaits(request, before) and after.rendered > told_to:
        tell("video.awaiting_review", after.rendered, **_render(after))
    review = after.review
    if review.decided > max(before.review.decided, told_to):
        if review.verdict == "approved":
            tell("video.approved", review.decided, by=review.by)
        elif stored.wanted and may_be_revised(request, review):
            # Where nobody answers it the rejection is the end, which is told when the request is closed.
            tell("video.rejected", review.decided, by=review.by, feedback=review.feedback, final=False)
    return happened


def _awaits(request: VideoRequest, facts: Facts) -> bool:
    """Whether a person has to look at the render."""
    fit = facts.rendered == facts.made.get("render", -2)
    undecided = request.needs_review and not facts.review.verdict
    return fit and undecided and not missing(facts.made, script_after(request, facts.review))


def _render(facts: Facts) -> Mapping[str, Any]:
    return {
        "links": {name: facts.links[name] for name in FILES if name in facts.links},
        "seconds": facts.seconds,
        "size": facts.size,
        "sha256": facts.render_sha256,
    }
