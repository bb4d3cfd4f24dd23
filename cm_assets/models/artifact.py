"""A reference to one immutable file of the artifact store, and what is raised where that is gone."""

from pathlib import PurePosixPath

from pydantic import NonNegativeInt

from cm_assets.models.base import Model, PermanentFailure, Sha256


class LostArtifact(PermanentFailure):
    """A file of the store is missing, or is not what it was."""


class ArtifactRef(Model):
    """Names a stored file by where it lies and what it holds.

    Attributes:
        key: `<video id>/<asset>/<sha256[:16]>.<ext>`, relative to the store's root.
        sha256: of the whole content.
        size: bytes.
        media_type: such as `video/mp4`.
    """

    key: str
    sha256: Sha256
    size: NonNegativeInt
    media_type: str

    @property
    def suffix(self) -> str:
        """The file's ending, dot included."""
        return PurePosixPath(self.key).suffix
