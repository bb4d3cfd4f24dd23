"""What strangers hand in: told apart by its content, or refused with the reason, and nothing in it is followed."""

import socket
import struct
import subprocess
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from cm_assets.media.examination import LONGEST_NARRATION, NotTaken, examine
from cm_assets.media.ffmpeg import find
from cm_assets.models.base import PermanentFailure
from cm_assets_tests.media.conftest import Clip

TONE = ("-f", "lavfi", "-i", "sine=frequency=300:duration=1.5:sample_rate=44100")


@pytest.mark.parametrize(
    ("name", "arguments", "suffix"),
    [
        ("a.wav", ("-c:a", "pcm_s24le"), ".wav"),
        ("a.flac", (), ".flac"),
        ("a.mp3", (), ".mp3"),
        ("a.ogg", ("-c:a", "libvorbis"), ".ogg"),
        ("a.opus", ("-c:a", "libopus"), ".ogg"),
        ("a.m4a", ("-c:a", "aac"), ".m4a"),
        ("b.m4a", ("-c:a", "alac"), ".m4a"),
        ("a.webm", ("-c:a", "libopus"), ".mka"),
        ("a.aac", ("-c:a", "aac"), ".aac"),
    ],
)
def test_what_people_record_with_is_a_narration_of_its_length(
    make: Clip, name: str, arguments: tuple[str, ...], suffix: str
) -> None:
    found = examine(make(name, *TONE, *arguments), None)
    assert (found.kind, found.suffix, found.width) == ("narration", suffix, None)
    assert found.seconds == pytest.approx(1.5, abs=0.1)


def test_a_video_is_a_clip_whatever_it_is_called_and_lies_as_it_is_shown(make: Clip, tmp_path: Path) -> None:
    arguments = ("-f", "lavfi", "-i", "testsrc2=size=320x180:duration=1", *TONE, "-pix_fmt", "yuv420p")
    plain = make("with-sound.mp4", *arguments)
    disguised = tmp_path / "holiday.mp3"
    bundled = __import__("imageio_ffmpeg").get_ffmpeg_exe()
    turning = ["-v", "error", "-display_rotation", "90", "-i", str(plain), "-c", "copy", "-f", "mp4", str(disguised)]
    subprocess.run([bundled, *turning], check=True)
    found = examine(disguised, None)
    assert (found.kind, found.suffix, found.width, found.height) == ("clip", ".mp4", 180, 320)
    assert found.seconds == pytest.approx(1, abs=0.1)


def test_a_picture_is_a_clip_without_a_length(make: Clip) -> None:
    found = examine(make("p.webp", "-f", "lavfi", "-i", "testsrc2=size=300x200", "-frames:v", "1"), None)
    assert (found.kind, found.media_type, found.seconds, found.width) == ("clip", "image/webp", None, 300)


@pytest.fixture
def bait() -> "Bait":
    return Bait()


class Bait:
    """A port of this machine that nobody must come to."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/x.mp4"

    def was_taken(self, seconds: float = 0.2) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.accept()[0].close()
        except TimeoutError:
            return False
        finally:
            self._socket.close()
        return True


def test_the_bait_works(bait: Bait) -> None:
    threading.Thread(
        target=lambda: subprocess.run([str(find().path), "-v", "quiet", "-i", bait.url], check=False)
    ).start()
    assert bait.was_taken(20)


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{url}'\n",
        "ffconcat version 1.0\nfile '{file}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>',
        '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200"><image href="{url}"/></svg>',
        "{url}",
    ],
)
def test_what_leads_elsewhere_is_not_taken_and_not_followed(
    tmp_path: Path, mp4: object, bait: Bait, content: str
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(mp4())  # type: ignore[operator]
    path = tmp_path / "clip.mp4"
    path.write_text(content.format(url=bait.url, file=secret))
    with pytest.raises(NotTaken, match=r"is no video .* and is no sound"):
        examine(path, None)
    assert not bait.was_taken()


def test_a_reference_inside_a_real_container_is_not_followed(make: Clip, tmp_path: Path, bait: Bait) -> None:
    """QuickTime's data references may name another file, or an address."""
    whole = make(
        "examined.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x180:duration=1", "-pix_fmt", "yuv420p"
    ).read_bytes()
    place = whole.index(b"url \x00\x00\x00\x01")  # "the media is in this file"
    for flag, kind, target in ((0, b"url ", bait.url.encode()), (0, b"alis", b"/etc/passwd")):
        path = tmp_path / "clip.mp4"
        changed = kind + bytes([0, 0, 0, flag])
        # What follows is read as the reference's text: the sample table is torn, as an attacker's need not be.
        path.write_bytes(whole[:place] + changed + target + whole[place + 8 + len(target) :])
        with pytest.raises(PermanentFailure):
            examine(path, None)
    assert not bait.was_taken()


def test_half_a_file_is_refused(make: Clip, tmp_path: Path) -> None:
    clip = make("long.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x180:duration=4", "-movflags", "+faststart")
    sounds = [make(name, *TONE) for name in ("t.wav", "t.flac")]
    sounds.append(make("t.m4a", *TONE, "-movflags", "+faststart"))
    for whole in (clip, *sounds):
        path = tmp_path / whole.name
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
        with pytest.raises(PermanentFailure) as refused:
            examine(path, None)
        assert not isinstance(refused.value, NotTaken), whole.name


def png_of(width: int, height: int) -> bytes:
    """A few hundred bytes that say that they are a picture of this size."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9999)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (8192, 8192), (2_000_000_000, 64), (1, 1)])
def test_a_picture_that_would_unpack_to_gigabytes_is_refused_by_its_head(
    tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(width, height))
    with pytest.raises(PermanentFailure, match=r"too large|too small|cannot be read"):
        examine(path, None)


def test_an_hour_of_sound_is_refused_and_decoded_no_further_than_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        for _ in range(60):
            file.writeframes(np.tile(np.arange(250, dtype=np.uint8), 60 * 8000 // 250).tobytes())
    with pytest.raises(PermanentFailure, match=f"longer than {LONGEST_NARRATION:.0f} s"):
        examine(path, None)


def test_silence_and_nothing_are_refused(make: Clip, tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="is silent"):
        examine(make("silence.wav", "-f", "lavfi", "-i", "anullsrc=duration=2"), None)
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(PermanentFailure, match="is empty"):
        examine(empty, None)


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0WAVE", b"OggS", b"ID3", b"fLaC"]
)
def test_the_beginning_of_a_kind_and_noise_after_it_are_refused(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "noise"
    path.write_bytes(head + np.random.default_rng(1).bytes(20_000))
    with pytest.raises(PermanentFailure):
        examine(path, None)


def test_what_takes_too_long_is_given_up_and_leaves_no_process(tmp_path: Path, make: Clip) -> None:
    import psutil

    sleeper = tmp_path / "ffmpeg"
    sleeper.write_text(f'#!/bin/sh\ncase "$*" in *-progress*) sleep 60;; esac\nexec {find().path} "$@"\n')
    sleeper.chmod(0o755)
    clip = make("examined.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x180:duration=1", "-pix_fmt", "yuv420p")
    with pytest.raises(PermanentFailure, match=r"takes longer than 1\.5 s to be looked through"):
        examine(clip, sleeper, limit=1.5)
    left = [one for one in psutil.process_iter(["cmdline"]) if str(clip) in " ".join(one.info["cmdline"] or ())]
    assert left == []


def test_whoever_opens_it_may_die(tmp_path: Path, make: Clip) -> None:
    """A crash of the reader, here of an ffmpeg that kills what started it, is the file's failure and nobody else's."""
    killer = tmp_path / "ffmpeg"
    killer.write_text(f'#!/bin/sh\ncase "$*" in *-progress*) kill -SEGV $PPID;; esac\nexec {find().path} "$@"\n')
    killer.chmod(0o755)
    clip = make("examined.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x180:duration=1", "-pix_fmt", "yuv420p")
    with pytest.raises(PermanentFailure, match="whoever opens it crashes"):
        examine(clip, killer)


def test_the_right_reader_is_started_from_any_folder(
    make: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the folder was imported')")
    (tmp_path / "av.py").write_text("raise SystemExit('a file of the folder was imported')")
    clip = make("t.wav", *TONE)
    monkeypatch.chdir(tmp_path)
    assert examine(clip, None).kind == "narration"
