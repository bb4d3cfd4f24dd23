"""What the stand-ins share."""

import json
import os
import subprocess
import time
from collections.abc import Sequence

from cm_assets.checks.finding import CHECKS, Finding
from cm_assets.models.artifact import ArtifactRef
from cm_assets.storage.artifacts import ArtifactStore

WORK = "CM_STAND_IN_WORK"
"""Environment variable that says what stages do instead of nothing, as in
`{"audio": {"sleep": 2}, "render": {"cpu": 1.5, "processes": 2}}`: seconds, and CPU seconds of each process."""


def work(stage: str) -> None:
    """Take the time, or the cores, that a stage is to take."""
    load = json.loads(os.environ.get(WORK) or "{}").get(stage, {})
    if "sleep" in load:
        # A process, as a real stage has one that must end with it.
        subprocess.run(["sleep", str(load["sleep"])], check=True)
    if "cpu" in load:
        children = [_busy(load["cpu"]) for _ in range(load.get("processes", 1))]
        for child in children:
            os.waitpid(child, 0)


def _busy(seconds: float) -> int:
    child = os.fork()  # a step has one thread
    if child == 0:
        began = time.process_time()
        while time.process_time() - began < seconds:
            pass
        os._exit(0)
    return child


def passed(stage: str) -> Sequence[Finding]:
    """Every check of a stage, passed: each is an event, as in a real video."""
    return [Finding(check, passed=True, why="no work was done") for check in CHECKS[stage]]


def stored(store: ArtifactStore, video: str, stage: str, suffix: str, media_type: str) -> ArtifactRef:
    """A file of a few bytes in the artifact store."""
    return store.put_bytes(video, stage, f"{video} {stage} {suffix}".encode(), suffix, media_type)
