"""What a video is to Dagster, one key of the dynamic partition set `videos`, and the rule that its id keeps."""

import re
from typing import Annotated, Final

from pydantic import StringConstraints

PARTITIONS: Final = "videos"

VIDEO_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,63}$"

VideoId = Annotated[str, StringConstraints(pattern=VIDEO_ID_PATTERN)]
"""A slug that is safe as a folder name, a URL segment and a partition key. Never reused: Dagster would show a
re-added key as already materialised, approval included."""


def is_video_id(text: str) -> bool:
    """Whether `text` is a video id. Dagster validates no partition key itself, so every way in asks here."""
    return re.fullmatch(VIDEO_ID_PATTERN.strip("^$"), text) is not None
