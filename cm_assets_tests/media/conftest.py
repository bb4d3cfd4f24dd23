"""Real media, made once per test session by the ffmpeg that is under test."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cm_assets.media.ffmpeg import Ffmpeg, find

Clip = Callable[..., Path]


@pytest.fixture(scope="session", params=["system", "bundled"])
def ffmpeg(request: pytest.FixtureRequest) -> Ffmpeg:
    """The ffmpeg that `find` chooses here, and the bundled one: both must do."""
    if request.param == "system":
        return find()
    import imageio_ffmpeg

    return find(Path(imageio_ffmpeg.get_ffmpeg_exe()))


@pytest.fixture(scope="session")
def any_ffmpeg() -> Ffmpeg:
    """The ffmpeg that `find` chooses here, where it does not matter which."""
    return find()


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Makes a media file with ffmpeg's own arguments: `make("a.mp4", "-f", "lavfi", ...)`."""
    folder = tmp_path_factory.mktemp("clips")
    binary = find().path

    def build(name: str, *arguments: str) -> Path:
        path = folder / name
        if not path.exists():
            subprocess.run([str(binary), "-v", "error", "-y", *arguments, str(path)], check=True)
        return path

    return build


@pytest.fixture(scope="session")
def clip(make: Clip) -> Clip:
    """A moving test picture: `clip("a.mp4", "640x360", seconds=2, rate=30)`."""

    def build(name: str, size: str = "640x360", seconds: float = 2, rate: str = "30", *more: str) -> Path:
        source = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
        return make(
            name, "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *more
        )

    return build
