"""Caption files: read back, they say the same words at the same times."""

import html
import re
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.media.captions import lay_out
from cm_assets.media.ffmpeg import Ffmpeg
from cm_assets.media.subtitles import srt, vtt
from cm_assets.models.audio import SceneAudio, Word
from cm_assets.models.request import Captions

said = st.lists(
    st.text(st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs")), min_size=1, max_size=12),
    min_size=1,
    max_size=20,
)


STAMP = re.compile(r"<[\d:.]+>")


def scene(words: list[str], first_frame: int = 0) -> SceneAudio:
    timed = tuple(Word(text=word, start=number * 0.3, end=number * 0.3 + 0.25) for number, word in enumerate(words))
    return SceneAudio(first_frame=first_frame, frames=len(words) * 9 + 12, words=timed)


def blocks(document: str, point: str) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds, and the text, as a strict reader finds them."""
    stamp = rf"(\d\d):(\d\d):(\d\d)[{point}](\d\d\d)"
    found = []
    for block in document.strip("\n").split("\n\n"):
        lines = block.split("\n")
        if lines == ["WEBVTT"]:
            continue
        times, text = lines[-2:]
        assert len(lines) == (3 if point == "," else 2)
        match = re.fullmatch(f"{stamp} --> {stamp}", times)
        assert match, times
        numbers = [int(number) for number in match.groups()]
        found.append((milliseconds(*numbers[:4]), milliseconds(*numbers[4:]), text))
    return found


def milliseconds(hours: int, minutes: int, seconds: int, rest: int) -> int:
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


@settings(max_examples=60, deadline=None)
@given(words=said)
def test_both_files_hold_every_word_at_its_time(words: list[str]) -> None:
    cues = lay_out([scene(words, 333)], captions=Captions(), width=1080, height=1920)
    for start, end, text in (read := blocks(vtt(cues), ".")):
        assert 11_100 <= start < end
        stamps = [milliseconds(*map(int, re.split("[:.]", stamp[1:-1]))) for stamp in STAMP.findall(text)]
        inside = [start, *stamps, end]
        assert inside == sorted(set(inside))
    assert html.unescape(STAMP.sub("", " ".join(text for _, _, text in read))).split() == " ".join(words).split()
    in_srt = blocks(srt(cues), ",")
    assert [(start, end) for start, end, _ in in_srt] == [(start, end) for start, end, _ in read]
    assert len(" ".join(text for _, _, text in in_srt).split()) == len(" ".join(words).split())


def test_ffmpeg_reads_the_same_words(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    words = ["Three", "<b>hearts</b>", "&", "{\\b1}two", "-->", "stop;", "日本", "👍", "a<b", "it's"]
    cues = lay_out([scene(words)], captions=Captions(), width=1080, height=1920)
    plain = "Three ‹b>hearts‹/b> & (\\b1}two → stop; 日本 👍 a‹b it's"  # noqa: RUF001 - the look-alikes
    # What ffmpeg itself writes into WebVTT for a brace is its own affair.
    harmless = lay_out(
        [scene([word for word in words if "{" not in word])], captions=Captions(), width=1080, height=1920
    )
    in_vtt = " ".join(word for word in words if "{" not in word)
    for name, document, expected in (("a.srt", srt(cues), plain), ("a.vtt", vtt(harmless), in_vtt)):
        path = tmp_path / name
        path.write_text(document, encoding="utf-8")
        command = [str(ffmpeg.path), "-v", "error", "-i", str(path), "-f", "webvtt", "-"]
        read = subprocess.run(command, capture_output=True, check=True).stdout.decode()
        text = " ".join(line for line in read.splitlines() if line and not re.match(r"WEBVTT$|[\d:.]+ --> ", line))
        assert html.unescape(text).replace("\\", "").split() == expected.replace("\\", "").split()


def test_captions_hours_into_a_video_have_their_hours() -> None:
    cues = lay_out([scene(["late"], 2 * 3600 * 30 + 1)], captions=Captions(), width=1080, height=1920)
    assert "02:00:00,033 --> 02:00:00," in srt(cues)
    assert vtt(cues).startswith("WEBVTT\n\n02:00:00.033 --> ")


def test_no_captions_make_valid_files() -> None:
    assert srt(()) == ""
    assert vtt(()) == "WEBVTT\n"
