"""What the stand-ins share."""

from collections.abc import Sequence

from cm_assets.checks.finding import CHECKS, Finding
from cm_assets.models.artifact import ArtifactRef
from cm_assets.storage.artifacts import ArtifactStore


def passed(stage: str) -> Sequence[Finding]:
    """Every check of a stage, passed: each is an event, as in a real video."""
    return [Finding(check, passed=True, why="no work was done") for check in CHECKS[stage]]


def stored(store: ArtifactStore, video: str, stage: str, suffix: str, media_type: str) -> ArtifactRef:
    """A file of a few bytes in the artifact store."""
    return store.put_bytes(video, stage, f"{video} {stage} {suffix}".encode(), suffix, media_type)
