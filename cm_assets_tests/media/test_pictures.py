from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cm_assets.media.ffmpeg import Ffmpeg, arguments, source
from cm_assets.media.pictures import filled, panned, untold_matrix, write_still
from cm_assets.models.clips import ClipSpec, Credit
from cm_assets_tests.media.conftest import Clip


def spec(width: int, height: int, seed: int = 0) -> ClipSpec:
    credit = Credit(source="folder", licence="own")
    return ClipSpec(scene=0, kind="picture", key="k", width=width, height=height, seed=seed, credit=credit)


def left_and_right(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        left, right = image.getpixel((4, image.height // 2)), image.getpixel((image.width - 5, image.height // 2))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    return left, right


def test_a_photo_taken_upright_is_shown_upright(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (900, 300), "red")
    sideways.paste("blue", (450, 0, 900, 300))
    exif = sideways.getexif()
    exif[0x0112] = 8  # turned a quarter to the left when shown: what lies right is above
    sideways.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    write_still(tmp_path / "photo.jpg", spec(300, 900), tmp_path / "still.png", width=100, height=200, frames=40)
    with Image.open(tmp_path / "still.png") as still:
        above, below = still.getpixel((50, 5)), still.getpixel((50, still.height - 5))
    assert isinstance(above, tuple)
    assert isinstance(below, tuple)
    assert above[2] > 200 > 60 > above[0]
    assert below[0] > 200 > 60 > below[2]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "I;16", "CMYK"])
def test_every_kind_of_picture_is_shown(tmp_path: Path, mode: str) -> None:
    grey = np.full((200, 300), 200, dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode in {"RGBA", "LA"}:
        image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(grey * 0)]).convert(mode)
    else:
        image = Image.fromarray(grey).convert(mode)
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    image.save(path)
    write_still(path, spec(300, 200), tmp_path / "still.png", width=120, height=80, frames=30)
    shown = left_and_right(tmp_path / "still.png")[0][0]
    assert shown == pytest.approx(255 if mode in {"RGBA", "LA"} else 200, abs=6)


def test_a_broken_colour_profile_is_no_obstacle(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, data in (("good", profile), ("bad", profile[:60]), ("none", b"")):
        Image.new("RGB", (300, 200), (10, 200, 90)).save(tmp_path / f"{name}.png", icc_profile=data or None)
        still = tmp_path / f"{name}.still.png"
        write_still(tmp_path / f"{name}.png", spec(300, 200), still, width=120, height=80, frames=30)
        assert left_and_right(still)[0] == pytest.approx((10, 200, 90), abs=3)


@pytest.mark.parametrize(("size", "down"), [((400, 900), True), ((900, 400), False), ((500, 500), False)])
def test_a_picture_moves_by_a_pixel_a_frame_and_comes_back(
    ffmpeg: Ffmpeg, tmp_path: Path, size: tuple[int, int], down: bool
) -> None:
    random = np.random.default_rng(1)
    Image.fromarray(random.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(tmp_path / "p.png")
    still, frames = tmp_path / "still.png", 700
    write_still(tmp_path / "p.png", spec(*size), still, width=90, height=160, frames=frames)
    graph = panned(still, spec(*size), width=90, height=160, frames=frames)
    raw = tmp_path / "o.yuv"
    ffmpeg.run(arguments(graph.output(f"file:{raw}", format="rawvideo", frames=frames)))
    shown = np.fromfile(raw, np.uint8).reshape(frames, -1)[:, : 90 * 160].reshape(frames, 160, 90).astype(float)
    steps = []
    for one, two in pairwise(shown):
        axis = 0 if down else 1
        errors = {s: np.abs(two[2:-2, 2:-2] - np.roll(one, s, axis)[2:-2, 2:-2]).mean() for s in (-1, 0, 1)}
        steps.append(min(errors, key=errors.__getitem__))
    assert set(steps) == {-1, 1}
    turns = np.count_nonzero(np.diff(steps))
    assert 1 <= turns <= 40


@given(
    size=st.tuples(st.integers(64, 8192), st.integers(64, 6000)),
    frame=st.sampled_from([(1080, 1920), (1920, 1080), (1080, 1080)]),
    frames=st.integers(1, 3000),
)
def test_the_way_of_a_picture_never_leaves_it(size: tuple[int, int], frame: tuple[int, int], frames: int) -> None:
    from cm_assets.media.pictures import _full

    width, height = _full(spec(*size), *frame, frames)
    across, down = width - frame[0], height - frame[1]
    assert min(across, down) == 0
    assert max(across, down) >= 2
    assert max(across, down) % 2 == 0


def test_a_matrix_that_only_the_coded_frames_say_is_heeded(make: Clip) -> None:
    source_args = ["-f", "lavfi", "-i", "color=c=0x20C040:size=1280x720:rate=30:duration=0.2"]
    found = []
    for said in ("smpte170m", "unknown"):
        picture = f"scale=out_color_matrix=smpte170m,format=yuv420p,setparams=colorspace={said}"
        raw = make(f"{said}.264", *source_args, "-vf", picture, "-c:v", "libx264", "-preset", "ultrafast")
        # Packed as it is: an MP4 that says nothing of colours.
        found.append(untold_matrix(make(f"{said}.mp4", "-i", str(raw), "-c", "copy")))
    assert found == [None, "bt709"]


def test_footage_that_does_not_say_its_colours_is_taken_as_players_take_it(ffmpeg: Ffmpeg, make: Clip) -> None:
    source_args = ["-f", "lavfi", "-i", "color=c=0x20C040:size=1280x720:rate=30:duration=0.2"]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    to_709 = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    said = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    tagged = make("tagged.mp4", *source_args, "-vf", to_709, *encode, *said)
    # The same samples, and nothing said about them.
    untagged = make("untagged.mp4", *source_args, "-vf", to_709 + ",setparams=colorspace=unknown", *encode)
    assert untold_matrix(tagged) is None
    assert untold_matrix(untagged) == "bt709"
    seen = []
    for path in (tagged, untagged):
        graph = filled(source(path).video, width=180, height=320, matrix=untold_matrix(path))
        raw = path.with_suffix(".yuv")
        ffmpeg.run(arguments(graph.output(f"file:{raw}", format="rawvideo", frames=1)))
        seen.append(np.fromfile(raw, np.uint8)[:: 180 * 40].astype(int))
    assert np.abs(seen[0] - seen[1]).max() <= 2
