"""Folders for files in the making, each named by the process that works in it, so that others see when that is dead.

A step that is killed leaves its folder behind. Containers may share a home, and a pid of one means nothing in another.
"""

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import psutil

from cm_assets.partitions import VideoId
from cm_assets.policies import RUN_MAXIMUM
from cm_assets.storage.hosts import here


def new_folder(work: Path, video: VideoId) -> Path:
    """A folder for what this process makes of a video, in the work folder of a home."""
    work.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{video}.{os.getpid()}.{_place()}.", dir=work))


def sweep_work(work: Path) -> None:
    """Remove the folders of dead steps: whose process is gone or, where that cannot be seen, no run may be so old."""
    for folder in work.glob("*.*.*"):
        if _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    _, pid, place, *_ = folder.name.split(".")
    if place == _place() and pid.isdigit():
        return not psutil.pid_exists(int(pid))
    try:
        return time.time() - folder.stat().st_mtime > RUN_MAXIMUM
    except FileNotFoundError:
        return False


def _place() -> str:
    """This host and its pid name space, as part of a file's name."""
    return hashlib.sha256(here().encode()).hexdigest()[:8]
