"""Captions as libass draws them: real frames, measured in pixels."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cm_assets.media import ass
from cm_assets.media.captions import Box, Cue, CueWord, lay_out
from cm_assets.media.ffmpeg import Ffmpeg, find
from cm_assets.media.fonts import FACES, Face, fonts_folder
from cm_assets.models.audio import SceneAudio, Word
from cm_assets.models.request import SIZES, Captions, CaptionStyle, Orientation

BACK = (20, 120, 120)
Picture = npt.NDArray[np.uint8]

STYLES: tuple[CaptionStyle, ...] = ("bold", "clean", "playful")
EVERYDAY = "Did you know that jumping octopuses (Ångström's favourites) have three hearts, fjord by fjord?"
HOSTILE = (
    r"{\pos(0,0)\fs400}EVIL {\an7} \N \h \n x\Ny {\p1}m 0 0 l 999 0{\p0} {{}} } \{ שלום مرحبا 日本語 👍🏽 1️⃣ 🇩🇪 "
    "\u202ebackwards\u202c Ẵgjỵ " + "W" * 10_000
)


def spoken(text: str, *, word: float = 0.3, first_frame: int = 0) -> SceneAudio:
    words = tuple(
        Word(text=one, start=number * word, end=(number + 0.9) * word) for number, one in enumerate(text.split())
    )
    return SceneAudio(first_frame=first_frame, frames=round((len(words) * word + 1) * 30), words=words)


def drawn(
    ffmpeg: Ffmpeg, document: str, folder: Path, *, width: int, height: int, first_frame: int, frames: int = 1
) -> Picture:
    """Frames of the document over a plain ground: shape (frames, height, width, 3)."""
    path = folder / "captions.ass"
    path.write_text(document, encoding="utf-8")
    ground = "0x" + "".join(f"{channel:02x}" for channel in BACK)
    chain = (
        f"color=c={ground}:s={width}x{height}:r=30,trim=end_frame={frames},format=gbrp,settb=AVTB,"
        f"setpts=PTS-STARTPTS+{first_frame}/30/TB,ass={path}:fontsdir={fonts_folder()},setpts=PTS-STARTPTS"
    )
    raw = subprocess.run(
        [str(ffmpeg.path), "-v", "error", "-f", "lavfi", "-i", chain, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    )
    assert not raw.stderr
    return np.frombuffer(raw.stdout, np.uint8).reshape(-1, height, width, 3)


def extent(picture: Picture) -> Box | None:
    """What differs from the ground: left, top, right, bottom."""
    different = np.abs(picture.astype(np.int16) - np.array(BACK)).max(axis=2) > 6
    if not different.any():
        return None
    columns, rows = np.flatnonzero(different.any(axis=0)), np.flatnonzero(different.any(axis=1))
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def of_colour(picture: Picture, colour: str) -> int:
    """How many pixels have about that colour."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return int((np.abs(picture.astype(np.int16) - wanted).max(axis=2) < 12).sum())


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
def test_the_measure_is_what_libass_draws(ffmpeg: Ffmpeg, face: Face, tmp_path: Path) -> None:
    for text in ("HHHHHHHHHH", "The office waffle, Å", "AVAWATAYLTfffi"):
        size = 90
        head = "\n".join(ass._head(1920, 400))
        event = rf"{{\an5\pos(960,200)\fn{face.name}\fs{face.ass_size(size):.2f}}}{text}"
        box = extent(
            drawn(ffmpeg, f"{head}\n{ass._event(0, 0, 9, event)}\n", tmp_path, width=1920, height=400, first_frame=2)[0]
        )
        assert box is not None
        # The ink lacks the outer side bearings, and ligatures take less than their letters. Never wider, but for the
        # soft edges that a design's `around` allows for: that counts.
        assert 0.94 * face.width(text, size) <= box[2] - box[0] <= face.width(text, size) + 0.02 * size
        if text[0] == "H":
            assert box[3] - box[1] == pytest.approx(face.cap_height(size), abs=2.5)


@pytest.mark.parametrize("orientation", SIZES)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("text", [EVERYDAY, HOSTILE], ids=["everyday", "hostile"])
def test_nothing_is_drawn_outside_a_cues_box(
    style: CaptionStyle, orientation: Orientation, text: str, tmp_path: Path
) -> None:
    width, height = SIZES[orientation]
    captions = Captions(style=style)
    cues = lay_out([spoken(text, word=0.2)], captions=captions, width=width, height=height)
    total = cues[-1].first_frame + cues[-1].frames
    document = ass.document(cues, first_frame=0, frames=total, captions=captions, width=width, height=height)
    assert document is not None
    for cue in cues:
        # Each word's pop is at its largest in its third frame.
        for word in [word for line in cue.lines for word in line][::4]:
            if word.end_frame > word.first_frame + 3:
                frame = word.first_frame + 3
                box = extent(drawn(find(), document, tmp_path, width=width, height=height, first_frame=frame)[0])
                assert box is not None
                left, top, right, bottom = cue.box
                assert left - 1 <= box[0]
                assert top - 1 <= box[1]
                assert box[2] <= right + 1
                assert box[3] <= bottom + 1
                assert box[2] - box[0] <= 0.9 * width


def test_every_frame_shows_one_cue_and_one_spoken_word_joins_included(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    captions = Captions(style="bold", highlight="#ff00ff")
    scene = spoken("One three five! Seven nine.", word=0.211, first_frame=100_003)
    cues = lay_out([scene], captions=captions, width=540, height=540)
    first, second = cues
    assert first.first_frame + first.frames == second.first_frame
    document = ass.document(cues, first_frame=0, frames=200_000, captions=captions, width=540, height=540)
    assert document is not None
    seen = drawn(
        ffmpeg,
        document,
        tmp_path,
        width=540,
        height=540,
        first_frame=first.first_frame - 1,
        frames=first.frames + second.frames + 2,
    )
    assert extent(seen[0]) is None
    assert extent(seen[-1]) is None
    followed = []
    for frame, picture in enumerate(seen[1:-1], first.first_frame):
        cue = first if frame < second.first_frame else second
        word = next(word for line in cue.lines for word in line if word.first_frame <= frame < word.end_frame)
        pink = (np.abs(picture.astype(np.int16) - np.array((255, 0, 255))).max(axis=2) < 12).nonzero()
        assert word.x - word.width / 2 - 6 <= pink[1].min()
        assert pink[1].max() <= word.x + word.width / 2 + 6
        # The words beside it are there too, and those of the other cue, which reach elsewhere, are not.
        box = extent(picture)
        assert box is not None
        assert box[0] == pytest.approx(cue.box[0], abs=15)
        assert box[2] == pytest.approx(cue.box[2], abs=15)
        followed.append(word.text)
    assert abs(first.box[0] - second.box[0]) > 30
    assert list(dict.fromkeys(followed)) == ["ONE", "THREE", "FIVE!", "SEVEN", "NINE."]


def test_the_styles_look_different_and_take_the_asked_colour(tmp_path: Path) -> None:
    pictures = {}
    for style in STYLES:
        own, asked = Captions(style=style), Captions(style=style, highlight="#00A2FF")
        for captions in (own, asked):
            cues = lay_out([spoken("Three hearts beat")], captions=captions, width=1080, height=1080)
            document = ass.document(cues, first_frame=0, frames=99, captions=captions, width=1080, height=1080)
            assert document is not None
            picture = drawn(find(), document, tmp_path, width=1080, height=1080, first_frame=5)[0]
            pictures[style, captions.highlight] = picture
            assert of_colour(picture, captions.highlight or ass.HIGHLIGHTS[style]) > 1000
            assert of_colour(picture, "#FFFFFF") > 1000
    looks = [pictures[style, None].astype(np.int16) for style in STYLES]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert (np.abs(looks[one] - looks[other]).max(axis=2) > 60).sum() > 15_000


@pytest.mark.parametrize("highlight", ["#000000", "#ffffff", "#101014", "#777777"])
@pytest.mark.parametrize("style", STYLES)
def test_the_spoken_word_can_be_read_in_any_colour(style: CaptionStyle, highlight: str, tmp_path: Path) -> None:
    captions = Captions(style=style, highlight=highlight)
    cues = lay_out([spoken("hearts")], captions=captions, width=1080, height=1080)
    document = ass.document(cues, first_frame=0, frames=30, captions=captions, width=1080, height=1080)
    assert document is not None
    picture = drawn(find(), document, tmp_path, width=1080, height=1080, first_frame=6)[0]
    left, top, right, bottom = (round(side) for side in cues[0].box)
    luma = picture[top:bottom, left:right].astype(np.float64) @ (0.2126, 0.7152, 0.0722)
    assert np.percentile(luma, 97) - np.percentile(luma, 3) > 100


def test_a_stretch_holds_the_cues_that_are_seen_in_it_and_no_others() -> None:
    captions = Captions()
    cues = lay_out(
        [spoken("First words. Second words.", first_frame=0), spoken("Later words.", first_frame=300)],
        captions=captions,
        width=1080,
        height=1920,
    )

    def words(first_frame: int, frames: int) -> set[str]:
        document = ass.document(
            cues, first_frame=first_frame, frames=frames, captions=captions, width=1080, height=1920
        )
        return set(re.findall(r"\}([A-Z]+)", document or ""))

    second = cues[1].first_frame
    assert words(0, second) == {"FIRST", "WORDS"}
    assert words(0, second + 1) == {"FIRST", "SECOND", "WORDS"}
    assert words(300, 10) == {"LATER", "WORDS"}
    assert words(250, 50) == set()
    assert words(cues[-1].first_frame + cues[-1].frames, 100) == set()


def test_no_style_draws_nothing() -> None:
    captions = Captions(style="none")
    cues = lay_out([spoken("Some words")], captions=captions, width=1080, height=1920)
    assert cues
    assert ass.document(cues, first_frame=0, frames=99, captions=captions, width=1080, height=1920) is None


def test_equal_cues_give_equal_bytes_and_a_changed_word_others() -> None:
    captions = Captions(style="playful")

    def made(text: str) -> str | None:
        cues = lay_out([spoken(text)], captions=captions, width=1080, height=1920)
        return ass.document(cues, first_frame=0, frames=99, captions=captions, width=1080, height=1920)

    assert made("Same words") == made("Same words") != made("Other words")


def test_no_text_of_a_user_opens_a_tag() -> None:
    captions = Captions(style="clean")
    cues: tuple[Cue, ...] = lay_out([spoken(HOSTILE)], captions=captions, width=1080, height=1920)
    document = ass.document(cues, first_frame=0, frames=9999, captions=captions, width=1080, height=1920)
    assert document is not None
    for line in document.splitlines():
        if line.startswith(("Dialogue: 2", "Dialogue: 3")):
            text = line.split(",", 9)[9]
            tags, _, shown = text.partition("}")
            assert tags.startswith(r"{\an5\pos(")
            assert not set(shown) & set("{}\\\n")


def test_a_cue_from_elsewhere_opens_no_tag_and_no_event() -> None:
    evil = CueWord("a{\\p1}b\\Nc\nDialogue: 9,x\r\u2028d", FACES[0], 540, 540, 300, 0, 9)
    cue = Cue(0, 9, ("a",), (0,), ((evil,),), 90, (300, 400, 800, 700))
    document = ass.document([cue], first_frame=0, frames=9, captions=Captions(), width=1080, height=1080)
    assert document is not None
    assert [line.partition("}")[2] for line in document.splitlines() if line.startswith("Dialogue")] == [
        "a(/p1)b/Nc Dialogue: 9,x d"
    ]


def test_events_adjoin_between_frames() -> None:
    times = [ass._time(frame) for frame in range(40_000, 40_100)]
    seconds = [int(time[0]) * 3600 + int(time[2:4]) * 60 + float(time[5:]) for time in times]
    for number, time in enumerate(seconds):
        assert (40_000 + number - 1) / 30 + 0.005 < time < (40_000 + number) / 30 - 0.005
    assert all(later > earlier for earlier, later in pairwise(seconds))
