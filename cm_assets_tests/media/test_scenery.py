"""Layered clips: exact length, size and format, on either ffmpeg."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cm_assets.media.ffmpeg import Ffmpeg, arguments
from cm_assets.media.scenery import layered
from cm_assets.models.clips import ClipSpec, Credit, Layer
from cm_assets_tests.media.conftest import Clip


def _spec(*layers: Layer, width: int = 360, height: int = 640) -> ClipSpec:
    return ClipSpec(
        scene=0,
        kind="layers",
        key="k",
        width=width,
        height=height,
        layers=layers,
        credit=Credit(source="illustrated", licence="MIT"),
    )


@pytest.fixture
def files(make: Clip, tmp_path: Path) -> list[Path]:
    """A dark loop of one second at 15 frames a second, and a red sprite, under names that ffmpeg could misread."""
    folder = tmp_path / "it's: a [0:v] %d, folder=;"
    folder.mkdir()
    picture = "color=0x101020:size=90x160:rate=15:duration=1"
    loop = make("dark.mp4", "-f", "lavfi", "-i", picture, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    background, sprite = folder / "loop.mp4", folder / "sprite.png"
    background.write_bytes(loop.read_bytes())
    Image.new("RGBA", (80, 80), (255, 0, 0, 255)).save(sprite)
    return [background, sprite]


def _drawn(
    ffmpeg: Ffmpeg, spec: ClipSpec, files: list[Path], width: int, height: int, frames: int, tmp_path: Path
) -> list[av.VideoFrame]:
    out = tmp_path / "out.mkv"
    stream = layered(spec, files, width=width, height=height, frames=frames)
    ffmpeg.run(arguments(stream.output(f"file:{out}", vcodec="ffv1")))
    with av.open(str(out)) as file:
        return list(file.decode(video=0))


@pytest.mark.parametrize(("width", "height"), [(360, 640), (640, 360), (360, 360)])
@pytest.mark.parametrize("frames", [1, 95])
def test_frames_size_format_and_times_are_exact(
    ffmpeg: Ffmpeg, files: list[Path], tmp_path: Path, width: int, height: int, frames: int
) -> None:
    spec = _spec(Layer(file=1, x=180, y=200, sway_x=5, sway_y=9, enter=0.2), width=width, height=height)
    drawn = _drawn(ffmpeg, spec, files, width, height, frames, tmp_path)
    assert len(drawn) == frames  # three times the loop's own length, and less than it
    assert {(frame.width, frame.height, frame.format.name) for frame in drawn} == {(width, height, "yuv420p")}
    assert [round(float(frame.time or 0) * 30, 1) for frame in drawn] == list(range(frames))


def _red(frame: av.VideoFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    picture = frame.to_ndarray(format="rgb24").astype(int)
    return (picture[..., 0] > 150) & (picture[..., 1] < 80)


def test_a_layer_lies_where_it_should_and_sways(ffmpeg: Ffmpeg, files: list[Path], tmp_path: Path) -> None:
    spec = _spec(Layer(file=1, x=180, y=320, sway_x=0, sway_y=30, period=2, phase=0.25))
    drawn = _drawn(ffmpeg, spec, files, 360, 640, 61, tmp_path)
    heights = [float(np.nonzero(_red(frame))[0].mean()) for frame in drawn]
    assert heights[0] == pytest.approx(319.5, abs=2)
    assert heights[60] == pytest.approx(heights[0], abs=2)  # a whole period later
    assert max(heights) - min(heights) == pytest.approx(60, abs=4)


def test_a_layer_arrives_when_it_should_and_stays(ffmpeg: Ffmpeg, files: list[Path], tmp_path: Path) -> None:
    drawn = _drawn(ffmpeg, _spec(Layer(file=1, x=180, y=320, enter=1)), files, 360, 640, 70, tmp_path)
    seen = [int(_red(frame).sum()) for frame in drawn]
    assert seen[29] == 0
    assert seen[45] == pytest.approx(80 * 80, rel=0.05)
    assert seen[69] == seen[45]


def test_a_canvas_of_another_size_is_scaled(ffmpeg: Ffmpeg, files: list[Path], tmp_path: Path) -> None:
    spec = _spec(Layer(file=1, x=360, y=640), width=720, height=1280)
    red = _red(_drawn(ffmpeg, spec, files, 360, 640, 1, tmp_path)[0])
    assert red.sum() == pytest.approx(40 * 40, rel=0.1)
    assert np.nonzero(red)[1].mean() == pytest.approx(179.5, abs=2)


def test_another_kind_of_clip_is_refused(files: list[Path]) -> None:
    spec = _spec().model_copy(update={"kind": "video"})
    with pytest.raises(ValueError, match="no layers"):
        layered(spec, files, width=360, height=640, frames=1)
