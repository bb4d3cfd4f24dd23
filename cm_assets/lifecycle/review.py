"""Which decision counts for a render. Pure rules."""

from collections.abc import Sequence

from cm_assets.models.request import VideoRequest
from cm_assets.models.review import Decision, Review

ASSET = "review"
"""The external asset: an approval is a materialization of it, a rejection an observation."""


def judge(render_id: int, render_sha256: str, decisions: Sequence[Decision]) -> Review:
    """What the decisions mean for a render.

    One that names a render counts for that one alone. One that names none counts for the newest render before it, and
    for nothing if a run was in flight.

    Args:
        render_id: storage id of the render's materialization.
        render_sha256: of its video.
        decisions: in any order.
    """
    review = Review(rejections=sum(1 for one in decisions if not one.approved))
    for one in sorted(decisions, key=lambda one: one.storage_id):
        unnamed = not one.render_sha256 and not one.void and one.storage_id > render_id
        if one.render_sha256 == render_sha256 or unnamed:
            review = review.model_copy(
                update={
                    "verdict": "approved" if one.approved else "rejected",
                    "feedback": one.feedback,
                    "by": one.by,
                    "decided": one.storage_id,
                }
            )
    return review


def may_be_revised(request: VideoRequest, review: Review) -> bool:
    """Whether the writer answers the rejection. What people wrote themselves goes back to them."""
    return request.topic is not None and review.rejections <= request.max_revisions
