import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from cm_assets.media.ffmpeg import Ffmpeg, Group, arguments, find, source
from cm_assets.models.base import PermanentFailure, TransientFailure
from cm_assets_tests.conftest import called
from cm_assets_tests.media.conftest import Clip

ENDLESS = ["-re", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=30", "-f", "null", "-"]


def children() -> list[psutil.Process]:
    return called("ffmpeg", psutil.Process().children(recursive=True))


def gone(seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not children()


def test_an_unfit_setting_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="CM_FFMPEG"):
        find(tmp_path / "nowhere")
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ' T.. overlay VV->V'\n")
    fake.chmod(0o755)
    with pytest.raises(PermanentFailure, match=r"lacks .*libx264"):
        find(fake)


def test_frames_are_reported(ffmpeg: Ffmpeg) -> None:
    told: list[int] = []
    ffmpeg.run(["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=30:duration=2", "-f", "null", "-"], on_frame=told.append)
    assert told[-1] == 60


def test_a_failure_brings_its_last_words(ffmpeg: Ffmpeg) -> None:
    with pytest.raises(PermanentFailure, match=r"(?s)code \d+: .*nowhere"):
        ffmpeg.run(["-i", "nowhere.mp4", "-f", "null", "-"])


def test_an_exception_out_of_a_signal_kills_it(ffmpeg: Ffmpeg) -> None:
    class Up(BaseException):
        pass

    def fire(_number: int, _frame: object) -> None:
        raise Up

    before = signal.signal(signal.SIGALRM, fire)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Up):
            ffmpeg.run(ENDLESS)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert gone()


def test_a_group_dies_together_and_takes_nobody_in_afterwards(any_ffmpeg: Ffmpeg) -> None:
    ended: list[str] = []

    def run(group: Group) -> None:
        try:
            any_ffmpeg.run(ENDLESS, group=group)
        except PermanentFailure as failure:
            ended.append(str(failure))

    group = Group()
    threads = [threading.Thread(target=run, args=(group,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(children()) < 2:
        time.sleep(0.02)
    group.kill()
    late = threading.Thread(target=run, args=(group,))
    late.start()
    for thread in [*threads, late]:
        thread.join(10)
    assert len(ended) == 3
    assert gone()


@pytest.mark.parametrize(
    "name", ["a b.mp4", "a'b.mp4", "a:b.mp4", "a%03d.mp4", "a\\b.mp4", "a[b],c;d.mp4", "-y.mp4", "ü🚀.mp4"]
)
def test_any_file_name_is_only_a_file_name(ffmpeg: Ffmpeg, clip: Clip, tmp_path: Path, name: str) -> None:
    original = clip("name.mp4", "64x64", 1)
    path = tmp_path / name
    os.link(original, path)
    told: list[int] = []
    graph = source(path).video.filter("scale", w=32, h=32).output("-", format="null")
    ffmpeg.run(arguments(graph), on_frame=told.append)
    assert told[-1] == 30


def test_a_playlist_is_not_followed(ffmpeg: Ffmpeg, clip: Clip, tmp_path: Path) -> None:
    secret = clip("secret.ts", "64x64", 1)
    trap = tmp_path / "trap.mp4"
    trap.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(PermanentFailure):
        ffmpeg.run(arguments(source(trap).video.output("-", format="null")))


def test_one_that_the_system_kills_is_tried_again(tmp_path: Path) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    fake.chmod(0o755)
    with pytest.raises(TransientFailure, match="memory"):
        Ffmpeg(fake, "0").run([])
