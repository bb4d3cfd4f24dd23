import subprocess
from pathlib import Path

import pytest

from cm_assets.media.ffmpeg import Ffmpeg, find
from cm_assets.media.probe import probe, validate_picture, validate_video
from cm_assets.models.base import PermanentFailure
from cm_assets_tests.media.conftest import Clip


def test_a_video_is_what_it_is(ffmpeg: Ffmpeg, clip: Clip) -> None:
    info = validate_video(ffmpeg, clip("plain.mp4", "640x360", 2))
    assert (info.kind, info.width, info.height, info.container) == ("video", 640, 360, "mov")
    assert info.seconds == pytest.approx(2, abs=0.05)


def test_a_rotated_video_is_measured_as_it_is_shown(ffmpeg: Ffmpeg, clip: Clip, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    bundled = __import__("imageio_ffmpeg").get_ffmpeg_exe()
    subprocess.run(
        [
            bundled,
            "-v",
            "error",
            "-display_rotation",
            "90",
            "-i",
            str(clip("plain.mp4", "640x360", 2)),
            "-c",
            "copy",
            str(turned),
        ],
        check=True,
    )
    info = validate_video(ffmpeg, turned)
    assert (info.width, info.height) == (360, 640)


def test_a_variable_frame_rate_is_no_obstacle(ffmpeg: Ffmpeg, make: Clip) -> None:
    path = make(
        "vfr.mkv", "-f", "lavfi", "-i", "testsrc2=size=128x128:rate=30:duration=3", "-vf",
        "select='if(lt(t,1),1,not(mod(n,5)))'", "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast",
    )  # fmt: skip
    assert validate_video(ffmpeg, path).seconds == pytest.approx(3, abs=0.3)


def test_8k_is_taken_and_more_is_not(any_ffmpeg: Ffmpeg, clip: Clip, make: Clip) -> None:
    assert validate_video(any_ffmpeg, clip("8k.mp4", "7680x4320", 0.1)).width == 7680
    huge = make("huge.png", "-f", "lavfi", "-i", "color=size=16000x100", "-frames:v", "1")
    with pytest.raises(PermanentFailure, match="too large"):
        validate_picture(huge)


def test_one_pixel_is_too_small(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    with pytest.raises(PermanentFailure, match="too small"):
        validate_picture(path)


def test_sound_alone_is_no_video(make: Clip) -> None:
    path = make("sound.m4a", "-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac")
    with pytest.raises(PermanentFailure, match="only sound"):
        probe(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 500,
        b"\xff\xd8\xff" + b"\x00" * 100,
        b"\x1a\x45\xdf\xa3" + b"junk" * 50,
    ],
)
def test_what_is_no_media_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(PermanentFailure):
        probe(path)


def test_a_truncated_video_is_refused(ffmpeg: Ffmpeg, clip: Clip, tmp_path: Path) -> None:
    whole = clip("fast.mp4", "640x360", 4, "30", "-movflags", "+faststart").read_bytes()
    path = tmp_path / "half.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PermanentFailure):
        validate_video(ffmpeg, path)
    path.write_bytes(clip("plain.mp4", "640x360", 2).read_bytes()[:-2000])
    with pytest.raises(PermanentFailure):
        validate_video(ffmpeg, path)


def test_a_picture_is_no_video_and_a_video_no_picture(make: Clip, clip: Clip) -> None:
    picture = make("picture.jpg", "-f", "lavfi", "-i", "testsrc2=size=640x360", "-frames:v", "1")
    assert validate_picture(picture).kind == "picture"
    with pytest.raises(PermanentFailure, match="picture"):
        validate_video(find(), picture)
    with pytest.raises(PermanentFailure, match="video"):
        validate_picture(clip("plain.mp4", "640x360", 2))
