"""A file that its user has handed in: a clip to be shown, or a narration to be heard."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import PositiveInt, StringConstraints

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import Model, Seconds

UPLOAD_ID_PATTERN = r"^[0-9a-f]{32}$"
UPLOAD_PATTERN = r"^upload:[0-9a-f]{32}$"
"""How a request names an upload. What is named otherwise is a file of the footage folder, colon or not."""

UploadId = Annotated[str, StringConstraints(pattern=UPLOAD_ID_PATTERN)]
"""The beginning of the content's SHA-256: the same content has the same id."""

UploadKind = Literal["clip", "narration"]


class Upload(Model):
    """A file that was examined and is kept.

    Attributes:
        id: of its content.
        kind: `clip` for a video or a picture, `narration` for a recording.
        name: as its user calls it, on one line; nothing but text.
        seconds: its length; None for a picture.
        width, height: as shown, pixels; None for a recording.
        uploaded_at: when it first came.
        file: where it lies.
    """

    id: UploadId
    kind: UploadKind
    name: str
    seconds: Seconds | None
    width: PositiveInt | None
    height: PositiveInt | None
    uploaded_at: datetime
    file: ArtifactRef

    @property
    def named(self) -> str:
        """How a request names it."""
        return f"upload:{self.id}"


def upload_id(name: str | None) -> UploadId | None:
    """The id of the upload that a request names; None if this names none."""
    return name.removeprefix("upload:") if name and re.fullmatch(UPLOAD_PATTERN.strip("^$"), name) else None


def uploads_in(document: Mapping[str, Any]) -> frozenset[UploadId]:
    """The ids of the uploads that a canonical request names."""
    named = [document.get("narration"), *(scene.get("clip") for scene in document.get("scenes") or ())]
    return frozenset(found for name in named if (found := upload_id(name)) is not None)
