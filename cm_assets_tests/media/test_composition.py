import hashlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from cm_assets.media.composition import Look, SegmentCache, ShotPicture, compose
from cm_assets.media.cover import thumbnail, write_cover
from cm_assets.media.ffmpeg import Ffmpeg
from cm_assets.media.narration import write_flac
from cm_assets.media.probe import probe
from cm_assets.media.soundtrack import build
from cm_assets.models.base import SAMPLES_PER_FRAME, PermanentFailure
from cm_assets.models.clips import ClipSpec, Credit

FONTS = Path(__file__).parent


def look(width: int = 180, height: int = 320) -> Look:
    return Look(width=width, height=height, preset="superfast", fonts=FONTS)


def a_shot(path: Path, first: int, frames: int, scene: int = 0, **more: object) -> ShotPicture:
    info = probe(path)
    spec = ClipSpec(
        scene=scene,
        kind=info.kind,
        key=path.name,
        width=info.width,
        height=info.height,
        seconds=info.seconds,
        seed=scene,
        credit=Credit(source="folder", licence="own"),
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ShotPicture(spec=spec, files=(path,), digest=digest, first_frame=first, frames=frames, captions=None)


@pytest.fixture
def sound(ffmpeg: Ffmpeg, tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(frames: int) -> Path:
        noise = np.random.default_rng(1).standard_normal(frames * SAMPLES_PER_FRAME).astype(np.float32) * 0.05
        write_flac(noise, tmp_path / "n.flac")
        return build(ffmpeg, tmp_path / "n.flac", -26, None, len(noise), tmp_path).path

    return make


@pytest.fixture
def shots(clip, make) -> list[ShotPicture]:  # type: ignore[no-untyped-def]
    """Wide, tall, short (looped), slow and still: all in one video."""
    picture = make("still.jpg", "-f", "lavfi", "-i", "testsrc2=size=800x600", "-frames:v", "1")
    files = [
        (clip("wide.mp4", "640x360", 2), 41),
        (clip("tall.mp4", "360x640", 2), 30),
        (clip("short.mp4", "640x360", 0.5), 50),
        (clip("slow.mp4", "640x360", 3, "12"), 37),
        (picture, 45),
    ]
    placed, first = [], 0
    for number, (path, frames) in enumerate(files):
        placed.append(a_shot(path, first, frames, number))
        first += frames
    return placed


def run(
    ffmpeg: Ffmpeg,
    shots: Sequence[ShotPicture],
    sound: Path,
    folder: Path,
    cache: SegmentCache | None = None,
    size: tuple[int, int] = (180, 320),
) -> Path:
    folder.mkdir(exist_ok=True)
    told: list[float] = []
    cache = cache or SegmentCache(folder / "cache", 10**9)
    video = compose(ffmpeg, shots, look(*size), sound, folder, cache, told.append)
    assert told[-1] == pytest.approx(1.0)
    return video


@pytest.mark.parametrize("size", [(180, 320), (320, 180), (180, 180)])
def test_a_video_has_its_shape_length_and_kind(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound, tmp_path: Path, size: tuple[int, int]
) -> None:  # type: ignore[no-untyped-def]
    video = run(ffmpeg, shots, sound(203), tmp_path / "v", size=size)
    with av.open(str(video)) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        assert (context.width, context.height) == size
        assert (context.name, context.profile, context.pix_fmt) == ("h264", "High", "yuv420p")
        assert stream.average_rate == 30
        frames = list(file.decode(stream))
        assert len(frames) == 203
        assert {int(frame.colorspace) for frame in frames} == {1}
        assert context.color_primaries == 1
        assert context.color_trc == 1
    with av.open(str(video)) as file:
        assert file.streams.audio[0].codec_context.name == "aac"
    head = video.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


def test_the_same_video_twice_is_the_same_bytes(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    track = sound(203)
    one = run(ffmpeg, shots, track, tmp_path / "one").read_bytes()
    two = run(ffmpeg, shots, track, tmp_path / "two").read_bytes()
    assert one == two


def test_a_second_run_encodes_only_what_changed(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    track, cache = sound(203), SegmentCache(tmp_path / "cache", 10**9)
    run(ffmpeg, shots, track, tmp_path / "one", cache)
    before = {path.name for path in (tmp_path / "cache").iterdir()}
    changed = [replace(shots[0], captions=None, digest="other"), *shots[1:]]
    run(ffmpeg, changed, track, tmp_path / "two", cache)
    after = {path.name for path in (tmp_path / "cache").iterdir()}
    assert len(before) == 5
    assert len(after - before) == 1


def test_the_cache_keeps_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    cache = SegmentCache(tmp_path / "cache", 250)
    for number in range(4):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(bytes(100))
        cache.put(str(number), path)
        os.utime(tmp_path / "cache" / f"{number}.mp4", (number, number))
    assert cache.take("0", tmp_path / "taken.mp4")
    cache.trim()
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"0.mp4", "3.mp4"}
    assert not cache.take("1", tmp_path / "taken.mp4")


def test_a_shot_that_fails_takes_the_others_with_it(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\x00" * 1000)
    bad = replace(shots[1], files=(broken,), digest="broken")
    with pytest.raises(PermanentFailure):
        run(ffmpeg, [shots[0], bad, *shots[2:]], sound(203), tmp_path / "v")
    assert not (tmp_path / "v" / "video.mp4").exists()


def test_a_picture_moves_evenly(ffmpeg: Ffmpeg, make, sound, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    picture = make("grain.png", "-f", "lavfi", "-i", "nullsrc=s=400x900,geq=random(1)*255:128:128", "-frames:v", "1")
    video = run(ffmpeg, [a_shot(picture, 0, 60)], sound(60), tmp_path / "v")
    with av.open(str(video)) as file:
        frames = [frame.to_ndarray(format="gray").astype(float) for frame in file.decode(video=0)]
    steps = []
    for one, two in zip(frames[:-1:6], frames[1::6], strict=True):
        errors = {dy: np.abs(two[4:-4] - np.roll(one, dy, axis=0)[4:-4]).mean() for dy in (-2, -1, 0, 1, 2)}
        steps.append(min(errors, key=errors.__getitem__))
    assert set(map(abs, steps)) == {1}


def test_a_full_disk_is_said_to_be_full(ffmpeg: Ffmpeg, shots: list[ShotPicture], sound, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import resource
    import signal

    from cm_assets.models.base import Failure

    track = sound(203)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(Failure):
            run(ffmpeg, shots, track, tmp_path / "v")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (tmp_path / "v" / "video.mp4").exists()


def test_two_renders_share_a_cache(ffmpeg: Ffmpeg, shots: list[ShotPicture], sound, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    track, cache = sound(203), SegmentCache(tmp_path / "cache", 10**9)
    made: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda name=name: made.append(run(ffmpeg, shots, track, tmp_path / name, cache).read_bytes())
        )
        for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1]


def test_a_cover_has_the_frame_s_size_and_a_thumbnail_is_small(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    video = run(ffmpeg, shots, sound(203), tmp_path / "v")
    write_cover(ffmpeg, video, [5, 60, 150], tmp_path / "cover.jpg")
    with Image.open(tmp_path / "cover.jpg") as picture:
        assert (picture.size, picture.format) == ((180, 320), "JPEG")
    assert thumbnail(tmp_path / "cover.jpg").startswith(b"\xff\xd8\xff")
    assert len(thumbnail(tmp_path / "cover.jpg")) < 45_000
    assert not list(tmp_path.glob("candidate*"))
