"""Small real videos for engines that load them."""

import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from cm_assets.media.ffmpeg import find
from cm_assets.storage.database import Database
from cm_assets.storage.footage import FootageMemory

Mp4 = Callable[..., bytes]


@pytest.fixture(scope="session")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Mp4:
    """`mp4(270, 480, seconds=2, colour="red")`: the bytes of a video; each colour is another one."""
    folder = tmp_path_factory.mktemp("mp4")

    @cache
    def make(width: int = 270, height: int = 480, seconds: float = 2, colour: str = "red") -> bytes:
        path = folder / f"{width}x{height}-{seconds}-{colour}.mp4"
        source = f"color={colour}:size={width}x{height}:rate=30:duration={seconds}"
        command = [str(find().path), "-v", "error", "-y", "-f", "lavfi", "-i", source, "-vf", "noise=alls=20"]
        encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        subprocess.run([*command, *encoder, str(path)], check=True)
        return path.read_bytes()

    return make


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Callable[[str], FootageMemory]]:
    """`memory("video-id")`: what that video remembers, all in one database."""
    database = Database(f"sqlite:///{tmp_path / 'memory' / 'cm.sqlite'}")
    yield lambda video: FootageMemory(database, video)
    database.dispose()
