"""What is said about a video on a platform, what was begun there, and the post that came of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import Model, Seconds, Sha256
from cm_assets.models.clips import Credit
from cm_assets.partitions import VideoId

LOST = "lost"
"""What is noted as done of an upload that may have been whole and was not found."""

Privacy = Literal["public", "unlisted", "private"]


class PostDraft(Model):
    """Everything that a platform needs to know to post a render.

    Attributes:
        video_id: whose render it is.
        title, description, hashtags: after the request's overrides for this platform.
        privacy: who can see it.
        category: the platform's own name or number of one; empty for its default.
        made_for_kids: what the law of some countries wants to be said.
        account: which of the connected accounts posts it; empty for the only one.
        seconds, width, height: of the video.
        cover_seconds: where in the video its cover is.
        ai_disclosure: whether the post must say that it is made by a machine.
        credits: of the clips, each once; for the description, as their licences ask.
    """

    video_id: VideoId
    title: str
    description: str
    hashtags: tuple[str, ...]
    privacy: Privacy = "public"
    category: str = ""
    made_for_kids: bool = False
    account: str = ""
    language: str
    seconds: Seconds
    width: int
    height: int
    cover_seconds: Seconds = 0.0
    video: ArtifactRef
    cover: ArtifactRef
    srt: ArtifactRef
    vtt: ArtifactRef
    ai_disclosure: bool
    credits: tuple[Credit, ...]


class Post(Model):
    """A published post.

    Attributes:
        platform: such as `outbox`.
        post_id: the platform's own id.
        url: where people see it.
        render_sha256: the render that it shows.
        published_at: UTC.
        account: whose it is; empty for the only one.
        notes: what of the draft the platform did not take, such as its captions, and why.
    """

    platform: str
    post_id: str
    url: str
    render_sha256: Sha256
    published_at: datetime
    account: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What is known of one video's post on one platform.

    Attributes:
        video_id, platform: whose it is, and where.
        account: with which account it was begun.
        render_sha256: the render that is being sent.
        handle: the platform's name of what was begun, if it gives one before there is a post.
        session: where the bytes go. Whoever has it can write there, so nobody is shown it.
        opened: how often something was begun.
        bytes_sent: as far as is known here; the platform knows better.
        tries: of what is at hand, in vain: of finding what came of a lost session, of sending captions.
        done: what was sent besides the video, such as `captions`.
        notes: what was not taken, and why.
        post: what came of it; None until the platform has said so.
        taken_down: whether that post was removed.
    """

    video_id: VideoId
    platform: str
    account: str = ""
    render_sha256: str = ""
    handle: str = ""
    session: str = ""
    opened: int = 0
    bytes_sent: int = 0
    tries: int = 0
    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    post: Post | None = None
    taken_down: bool = False
