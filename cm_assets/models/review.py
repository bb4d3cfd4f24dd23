"""What a person said of a render."""

from datetime import datetime

from cm_assets.models.base import Model


class Decision(Model):
    """One approval or rejection.

    Attributes:
        storage_id: its place in the event log's one order.
        approved: whether it is an approval.
        render_sha256: of the video that was looked at; empty where the decision did not say, as from Dagster's UI.
        feedback: what to do better.
        by: who decided.
        at: when; UTC.
        void: whether a run of the video was in flight, so that nobody can know which render was looked at.
    """

    storage_id: int
    approved: bool
    render_sha256: str = ""
    feedback: str = ""
    by: str = ""
    at: datetime | None = None
    void: bool = False


class Review(Model):
    """What the decisions mean for the newest render.

    Attributes:
        verdict: `approved`, `rejected`, or empty as long as nobody has decided.
        feedback: of the rejection.
        by: who decided.
        rejections: how many renders of the video were rejected.
        decided: storage id of the decision; what is made to answer a rejection must be newer.
    """

    verdict: str = ""
    feedback: str = ""
    by: str = ""
    rejections: int = 0
    decided: int = -1
