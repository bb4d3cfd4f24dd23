"""A platform that takes everything and keeps nothing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from working import work

from cm_assets.engines.platforms.catalogue import Surroundings
from cm_assets.models.post import Post, PostDraft
from cm_assets.models.protocols import Progress


def platform(surroundings: Surroundings) -> "Outbox":
    """The platform in these surroundings."""
    return Outbox(surroundings.outbox)


class Outbox:
    """Posts nowhere."""

    name = "outbox"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, draft: PostDraft, _files: Mapping[str, Path], _progress: Progress) -> Post:
        """A post that nobody sees."""
        work("published_post/outbox")
        return Post(
            platform=self.name,
            post_id=draft.video_id,
            url=f"{self._folder.as_uri()}#{draft.video_id}",
            render_sha256=draft.video.sha256,
            published_at=datetime.now(UTC),
        )
