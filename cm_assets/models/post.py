"""What is said about a video on a platform, and the post that came of it."""

from datetime import datetime

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import Model, Seconds, Sha256
from cm_assets.models.clips import Credit
from cm_assets.partitions import VideoId


class PostDraft(Model):
    """Everything that a platform needs to know to post a render.

    Attributes:
        video_id: whose render it is.
        title, description, hashtags: after the request's overrides for this platform.
        seconds, width, height: of the video.
        ai_disclosure: whether the post must say that it is made by a machine.
        credits: of the clips, each once; for the description, as their licences ask.
    """

    video_id: VideoId
    title: str
    description: str
    hashtags: tuple[str, ...]
    language: str
    seconds: Seconds
    width: int
    height: int
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
    """

    platform: str
    post_id: str
    url: str
    render_sha256: Sha256
    published_at: datetime
