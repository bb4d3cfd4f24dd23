import hashlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from cm_assets.media.composition import FileCache, Look, ShotPicture, compose
from cm_assets.media.cover import thumbnail, write_cover
from cm_assets.media.ffmpeg import Ffmpeg
from cm_assets.media.fonts import fonts_folder
from cm_assets.media.narration import write_flac
from cm_assets.media.probe import probe
from cm_assets.media.segments import cache_key
from cm_assets.media.soundtrack import build
from cm_assets.models.base import SAMPLES_PER_FRAME, PermanentFailure
from cm_assets.models.clips import ClipSpec, Credit
from cm_assets_tests.conftest import called
from cm_assets_tests.media.conftest import Clip

FONTS = fonts_folder()

ASS = """[Script Info]
ScriptType: v4.00+
PlayResX: 180
PlayResY: 320

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Word,Lato Black,90,&H00FFFFFF,5

[Events]
Format: Layer, Start, End, Style, Text
Dialogue: 0,0:00:01.00,0:00:02.00,Word,HELLO
"""


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


Sound = Callable[[int], Path]


@pytest.fixture
def sound(any_ffmpeg: Ffmpeg, tmp_path: Path) -> Sound:
    def make(frames: int) -> Path:
        tone = (0.1 * np.sin(np.arange(frames * SAMPLES_PER_FRAME) / 20)).astype(np.float32)
        write_flac(tone, tmp_path / "n.flac")
        return build(any_ffmpeg, tmp_path / "n.flac", -26, None, len(tone), tmp_path).path

    return make


@pytest.fixture
def shots(clip: Clip, make: Clip) -> list[ShotPicture]:
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
    cache: FileCache | None = None,
    size: tuple[int, int] = (180, 320),
) -> Path:
    folder.mkdir(exist_ok=True)
    told: list[float] = []
    cache = cache or FileCache(folder / "cache", 10**9)
    video = compose(ffmpeg, shots, look(*size), sound, folder, cache, told.append)
    assert told[-1] == pytest.approx(1.0)
    return video


@pytest.mark.parametrize("size", [(180, 320), (320, 180), (180, 180)])
def test_a_video_has_its_shape_length_and_kind(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path, size: tuple[int, int]
) -> None:
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
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path
) -> None:
    track = sound(203)
    one = run(ffmpeg, shots, track, tmp_path / "one").read_bytes()
    two = run(ffmpeg, shots, track, tmp_path / "two").read_bytes()
    assert one == two


def test_a_second_run_encodes_only_what_changed(
    any_ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path
) -> None:
    track, cache = sound(203), FileCache(tmp_path / "cache", 10**9)
    run(any_ffmpeg, shots, track, tmp_path / "one", cache)
    before = {path.name for path in (tmp_path / "cache").iterdir()}
    changed = [replace(shots[0], captions=None, digest="other"), *shots[1:]]
    run(any_ffmpeg, changed, track, tmp_path / "two", cache)
    after = {path.name for path in (tmp_path / "cache").iterdir()}
    assert len(before) == 5
    assert len(after - before) == 1


def test_the_cache_keeps_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", 250)
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
    any_ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\x00" * 1000)
    bad = replace(shots[1], files=(broken,), digest="broken")
    with pytest.raises(PermanentFailure):
        run(any_ffmpeg, [shots[0], bad, *shots[2:]], sound(203), tmp_path / "v")
    assert not (tmp_path / "v" / "video.mp4").exists()


def test_footage_whose_sound_outlasts_its_picture_goes_on_moving(
    ffmpeg: Ffmpeg, clip: Clip, make: Clip, sound: Sound, tmp_path: Path
) -> None:
    silent = clip("second.mp4", "640x360", 1)
    path = make(
        "outlasts.mp4", "-i", str(silent), "-f", "lavfi", "-i", "sine=duration=3", "-c:v", "copy", "-c:a", "aac"
    )
    assert probe(path).seconds == pytest.approx(1, abs=0.05)
    video = run(ffmpeg, [a_shot(path, 0, 75)], sound(75), tmp_path / "v", size=(320, 180))
    with av.open(str(video)) as file:
        frames = [frame.to_ndarray(format="gray").astype(float) for frame in file.decode(video=0)]
    assert np.mean([np.abs(one - two).mean() for one, two in zip(frames[:45], frames[30:75], strict=True)]) < 3
    assert min(np.abs(one - two).mean() for one, two in pairwise(frames)) > 0


def test_a_turned_video_is_shown_upright(ffmpeg: Ffmpeg, make: Clip, sound: Sound, tmp_path: Path) -> None:
    import imageio_ffmpeg

    halves = "color=red:s=320x180:d=1:r=30[a];color=blue:s=320x180:d=1:r=30[b];[a][b]hstack"
    lying = make("lying.mp4", "-f", "lavfi", "-i", halves, "-pix_fmt", "yuv420p")
    turned = tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", "90", "-i", str(lying)]
    subprocess.run([*command, "-c", "copy", str(turned)], check=True)
    assert (probe(turned).width, probe(turned).height) == (180, 640)
    video = run(ffmpeg, [a_shot(turned, 0, 20)], sound(20), tmp_path / "v")
    with av.open(str(video)) as file:
        frame = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    above, below = frame[20, 90], frame[-20, 90]
    assert {int(np.argmax(above)), int(np.argmax(below))} == {0, 2}


def test_pixels_that_are_not_square_are_shown_square(
    any_ffmpeg: Ffmpeg, make: Clip, sound: Sound, tmp_path: Path
) -> None:
    # A circle, squeezed to half its width, with pixels twice as wide as high.
    circle = (
        "color=black:s=400x400:d=1:r=30,geq=lum='255*lt(hypot(X-200,Y-200),100)':cb=128:cr=128,scale=200:400,setsar=2"
    )
    path = make("anamorphic.mp4", "-f", "lavfi", "-i", circle, "-pix_fmt", "yuv420p")
    assert probe(path).width == 400
    video = run(any_ffmpeg, [a_shot(path, 0, 15)], sound(15), tmp_path / "v", size=(200, 200))
    with av.open(str(video)) as file:
        white = next(file.decode(video=0)).to_ndarray(format="gray") > 128
    assert white.any(axis=0).sum() == pytest.approx(white.any(axis=1).sum(), abs=3)


def test_sound_and_picture_start_together_and_last_as_long(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], tmp_path: Path
) -> None:
    beeps = np.zeros(203 * SAMPLES_PER_FRAME, dtype=np.float32)
    at = np.arange(30, 203, 30) * SAMPLES_PER_FRAME
    for start in at:
        beeps[start : start + 4800] = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(4800) / 48000)
    write_flac(beeps, tmp_path / "beeps.flac")
    track = build(ffmpeg, tmp_path / "beeps.flac", -30, None, len(beeps), tmp_path).path
    video = run(ffmpeg, shots, track, tmp_path / "v")
    with av.open(str(video)) as file:
        blocks = [(frame.pts, frame.to_ndarray()[0]) for frame in file.decode(audio=0)]
    assert blocks[0][0] == 0
    heard = np.concatenate([block for _, block in blocks])
    assert 0 <= len(heard) - len(beeps) <= 1024
    onsets = [int(np.flatnonzero(np.abs(heard[start - 1000 : start + 2000]) > 0.1)[0]) - 1000 for start in at]
    assert max(map(abs, onsets)) <= 48


def test_a_folder_of_any_name_will_do(ffmpeg: Ffmpeg, clip: Clip, sound: Sound, tmp_path: Path) -> None:
    strange = tmp_path / "a'b:c,[d];e%d \\ ü"
    shot = replace(a_shot(clip("wide.mp4", "640x360", 2), 0, 20), captions=ASS)
    plain = run(ffmpeg, [shot], sound(20), tmp_path / "plain").read_bytes()
    assert run(ffmpeg, [shot], sound(20), strange).read_bytes() == plain


def test_captions_across_a_cut_are_drawn_at_the_time_of_the_video(
    ffmpeg: Ffmpeg, clip: Clip, sound: Sound, tmp_path: Path
) -> None:
    path = clip("wide.mp4", "640x360", 2)
    bare = [a_shot(path, 0, 40), a_shot(path, 40, 40, 1)]
    titled = [replace(shot, captions=ASS) for shot in bare]
    track = sound(80)
    shown = []
    for name, shots in (("bare", bare), ("titled", titled)):
        with av.open(str(run(ffmpeg, shots, track, tmp_path / name))) as file:
            shown.append([frame.to_ndarray(format="gray").astype(float) for frame in file.decode(video=0)])
    differ = [number for number in range(80) if np.abs(shown[0][number] - shown[1][number]).max() > 60]
    assert differ == list(range(30, 60))


def test_a_shot_without_captions_is_found_wherever_it_lies(any_ffmpeg: Ffmpeg, clip: Clip, tmp_path: Path) -> None:
    shot = a_shot(clip("wide.mp4", "640x360", 2), 0, 40)
    key = cache_key(any_ffmpeg, shot, look())
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(shot.files[0].read_bytes())
    assert cache_key(any_ffmpeg, replace(shot, first_frame=99, files=(copy,)), look()) == key
    others = [
        cache_key(any_ffmpeg, replace(shot, digest="other"), look()),
        cache_key(any_ffmpeg, replace(shot, frames=41), look()),
        cache_key(any_ffmpeg, replace(shot, captions=ASS), look()),
        cache_key(any_ffmpeg, replace(shot, captions=ASS, first_frame=99), look()),
        cache_key(any_ffmpeg, shot, look(182)),
        cache_key(any_ffmpeg, shot, replace(look(), preset="veryfast")),
        cache_key(replace(any_ffmpeg, version="other"), shot, look()),
    ]
    assert len({key, *others}) == 8


def test_a_cached_shot_that_was_damaged_is_made_anew(
    any_ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path
) -> None:
    track, cache = sound(203), FileCache(tmp_path / "cache", 10**9)
    whole = run(any_ffmpeg, shots, track, tmp_path / "one", cache).read_bytes()
    kept = sorted((tmp_path / "cache").iterdir())
    damages = [b"", kept[1].read_bytes()[:-3000], b"\0" * 5000]
    for path, damage in zip(kept, damages, strict=False):
        path.unlink()
        path.write_bytes(damage)
    assert run(any_ffmpeg, shots, track, tmp_path / "two", cache).read_bytes() == whole


def test_an_exception_out_of_a_signal_ends_all_within_five_seconds(
    any_ffmpeg: Ffmpeg, clip: Clip, sound: Sound, tmp_path: Path
) -> None:
    class Up(BaseException):
        pass

    def fire(_number: int, _frame: object) -> None:
        raise Up

    long = [a_shot(clip("wide.mp4", "640x360", 2), first * 900, 900, first) for first in range(6)]
    track = sound(30)
    before = signal.signal(signal.SIGALRM, fire)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    started = time.monotonic()
    try:
        with pytest.raises(Up):
            run(any_ffmpeg, long, track, tmp_path / "v", size=(1080, 1920))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 6
    assert not called("ffmpeg", psutil.Process().children(recursive=True))
    assert not (tmp_path / "v" / "video.mp4").exists()
    assert not list((tmp_path / "v" / "cache").glob("*.mp4"))


def test_a_full_disk_is_said_to_be_full_and_leaves_no_video(
    any_ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path
) -> None:
    """On a file system of 300 kB, which only a mount name space of our own can offer."""
    probe_of_rights = subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True)
    if probe_of_rights.returncode != 0:
        pytest.skip("this machine lets nobody mount")
    track = sound(900)
    shot = replace(shots[0], frames=900)
    job = tmp_path / "job.pickle"
    job.write_bytes(pickle.dumps((any_ffmpeg, [shot], track)))
    (tmp_path / "small").mkdir()
    script = (
        "import pickle,sys,pathlib;"
        "from cm_assets_tests.media.test_composition import run;"
        "any_ffmpeg,shots,track=pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "run(any_ffmpeg,shots,track,pathlib.Path(sys.argv[2])/'v')"
    )
    mounted = 'mount -t tmpfs -o size=300k none "$2"; "$0" -c "$3" "$1" "$2"; ls -R "$2"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, sys.executable, str(job), str(tmp_path / "small"), script],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "TransientFailure: the disk is full" in done.stderr
    assert "video.mp4" not in done.stdout


def test_two_renders_share_a_cache(any_ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path) -> None:
    track, cache = sound(203), FileCache(tmp_path / "cache", 10**9)
    made: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda name=name: made.append(run(any_ffmpeg, shots, track, tmp_path / name, cache).read_bytes())
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


@pytest.mark.parametrize("frame", [0, 1, 2, 7, 29, 30, 31, 73, 89])
def test_a_cover_is_the_very_frame(ffmpeg: Ffmpeg, tmp_path: Path, frame: int) -> None:
    from PIL import Image, ImageStat

    video = tmp_path / "steps.mp4"
    steps = "nullsrc=s=64x64:r=30,format=gray,geq=lum='2.5*N',format=yuv420p"
    ffmpeg.run(
        [
            *("-f", "lavfi", "-i", steps, "-frames:v", "90", "-c:v", "libx264", "-crf", "1", "-g", "30"),
            *("-video_track_timescale", "15360", str(video)),
        ]
    )
    assert write_cover(ffmpeg, video, [frame], tmp_path / "cover.jpg") == frame
    with Image.open(tmp_path / "cover.jpg") as picture:
        shown = ImageStat.Stat(picture.convert("L")).mean[0]
    assert shown == pytest.approx(2.5 * frame, abs=1.2)


def test_of_several_frames_the_one_that_is_the_cover_is_named(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    video = tmp_path / "bars.mp4"
    bars = "nullsrc=s=64x64:r=30,format=gray,geq=lum='if(eq(N,40),255*gt(X,32),128)',format=yuv420p"
    ffmpeg.run(["-f", "lavfi", "-i", bars, "-frames:v", "60", "-c:v", "libx264", "-crf", "1", str(video)])
    assert write_cover(ffmpeg, video, [10, 40, 50], tmp_path / "cover.jpg") == 40


def test_a_cover_has_the_frame_s_size_and_a_thumbnail_is_small(
    ffmpeg: Ffmpeg, shots: list[ShotPicture], sound: Sound, tmp_path: Path
) -> None:
    from PIL import Image

    video = run(ffmpeg, shots, sound(203), tmp_path / "v")
    write_cover(ffmpeg, video, [5, 60, 150], tmp_path / "cover.jpg")
    with Image.open(tmp_path / "cover.jpg") as picture:
        assert (picture.size, picture.format) == ((180, 320), "JPEG")
    assert thumbnail(tmp_path / "cover.jpg").startswith(b"\xff\xd8\xff")
    assert len(thumbnail(tmp_path / "cover.jpg")) < 45_000
    assert not list(tmp_path.glob("candidate*"))
