"""Laying out captions: they fit, whatever is said, and follow the voice."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.media.captions import MOST_LINES, SAFE, lay_out
from cm_assets.media.fonts import FACES, showable
from cm_assets.media.phrasing import phrases
from cm_assets.models.audio import SceneAudio, Word
from cm_assets.models.request import SIZES, CaptionPosition, Captions, CaptionStyle, Orientation

STYLES: tuple[CaptionStyle, ...] = ("bold", "clean", "playful")
POSITIONS: tuple[CaptionPosition, ...] = ("top", "center", "bottom")

printed = st.text(st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs")), min_size=1, max_size=40)
readable = st.text("abcdefghijklmnopqrstuvwxyzÄÖÅßñçWMil.,'-", min_size=1, max_size=14)
overlong = st.builds(lambda text, times: text * times, printed, st.integers(1, 60))
texts = st.lists(st.one_of(readable, readable, printed, overlong), min_size=1, max_size=25)


def scene(words: list[str], *, first_frame: int = 0, each: float = 0.3, gap: float = 0.0) -> SceneAudio:
    timed = tuple(
        Word(text=word, start=number * (each + gap), end=number * (each + gap) + each)
        for number, word in enumerate(words)
    )
    return SceneAudio(first_frame=first_frame, frames=max(1, round((timed[-1].end + 0.5) * 30)), words=timed)


@settings(max_examples=60, deadline=None)
@given(words=texts, style=st.sampled_from(STYLES), size=st.sampled_from(list(SIZES)), place=st.sampled_from(POSITIONS))
def test_every_caption_fits_whatever_is_said(
    words: list[str], style: CaptionStyle, size: Orientation, place: CaptionPosition
) -> None:
    width, height = SIZES[size]
    for cue in lay_out([scene(words)], captions=Captions(style=style, position=place), width=width, height=height):
        left, top, right, bottom = cue.box
        assert right - left <= 0.9 * width
        safe = SAFE[size]
        assert safe[0] * width - 0.01 <= left <= right <= safe[2] * width + 0.01
        assert safe[1] * height - 0.01 <= top <= bottom <= safe[3] * height + 0.01
        assert len(cue.lines) <= MOST_LINES
        if size == "portrait":
            assert bottom <= 0.801 * height
            assert right <= 0.88 * width
        for line in cue.lines:
            for one, other in pairwise(line):
                assert one.x + one.width / 2 < other.x - other.width / 2
            for word in line:
                assert word.text
                assert not set(word.text) & set("{}\\")
                assert word.face.covers(word.text)
                assert left <= word.x - word.width / 2
                assert word.x + word.width / 2 <= right


@settings(max_examples=60, deadline=None)
@given(
    scenes=st.lists(
        st.tuples(st.lists(readable, min_size=1, max_size=15), st.floats(0.001, 0.8), st.floats(0, 0.6)),
        min_size=1,
        max_size=4,
    )
)
def test_captions_follow_the_voice_and_keep_every_word(scenes: list[tuple[list[str], float, float]]) -> None:
    made: list[SceneAudio] = []
    for words, each, gap in scenes:
        start = made[-1].first_frame + made[-1].frames if made else 0
        made.append(scene(words, first_frame=start, each=each, gap=gap))
    cues = lay_out(made, captions=Captions(), width=1080, height=1920)
    assert [word for cue in cues for word in cue.words] == [word.text for one in made for word in one.words]
    for one, other in pairwise(cues):
        assert one.first_frame + one.frames <= other.first_frame
    for cue in cues:
        assert cue.frames > 0
        home = next(one for one in made if one.first_frame <= cue.first_frame < one.first_frame + one.frames)
        assert cue.first_frame + cue.frames <= home.first_frame + home.frames
        shown = [word for line in cue.lines for word in line]
        for word, following in pairwise(shown):
            assert word.end_frame == following.first_frame
        assert shown[0].first_frame == cue.first_frame
        assert shown[-1].end_frame == cue.first_frame + cue.frames


def test_a_caption_stays_until_the_next_one() -> None:
    cues = lay_out(
        [scene(["Two", "hearts", "stop.", "They", "would", "crawl."], gap=0.3)],
        captions=Captions(),
        width=1080,
        height=1920,
    )
    assert len(cues) > 1
    assert all(one.first_frame + one.frames == other.first_frame for one, other in pairwise(cues))


def test_a_caption_does_not_stay_through_a_long_silence() -> None:
    words = (Word(text="Before", start=0, end=0.4), Word(text="after", start=6, end=6.4))
    cues = lay_out([SceneAudio(first_frame=0, frames=240, words=words)], captions=Captions(), width=1080, height=1920)
    assert cues[0].frames < 60
    assert cues[1].first_frame == 180


def test_captions_part_at_sentences_pauses_and_commas() -> None:
    def parted(text: str, most: int = 5) -> list[str]:
        words = scene(text.split()).words
        return [" ".join(word.text for word in group) for group in phrases(words, most, lambda _: True)]

    assert parted("It is late. Go home.") == ["It is late.", "Go home."]
    assert parted("When they swim, two of them stop") == ["When they swim,", "two of them stop"]
    assert parted("Did Dr. Smith know?") == ["Did Dr. Smith know?"]
    assert all(len(group.split()) > 1 for group in parted("one two three four five six seven eight nine ten eleven"))
    assert not any(
        group.endswith((" the", " of")) for group in parted("He was the king of the hill and the lord of the rings")
    )


@pytest.mark.parametrize("style", STYLES)
def test_ordinary_words_stay_large_and_whole(style: CaptionStyle) -> None:
    words = ["Extraordinary", "responsibilities:", "photosynthesis,", "entrepreneurs", "and", "misunderstandings"]
    for width, height in SIZES.values():
        cues = lay_out([scene(words)], captions=Captions(style=style), width=width, height=height)
        full = max(cue.size for cue in cues)
        assert all(cue.size > 0.75 * full for cue in cues)
        shown = [word.text.lower() for cue in cues for line in cue.lines for word in line]
        assert shown == [word.lower() for word in words]


@pytest.mark.parametrize("style", STYLES)
def test_the_longest_words_shrink_and_endless_ones_are_cut(style: CaptionStyle) -> None:
    long = "Pneumonoultramicroscopicsilicovolcanoconiosis"
    cues = lay_out([scene([long, "W" * 10_000])], captions=Captions(style=style), width=1080, height=1920)
    shown = [word.text for cue in cues for line in cue.lines for word in line]
    assert shown[0].lower() == long.lower()
    assert shown[1].endswith("W…")


def test_emoji_are_dropped_and_their_words_stay_in_the_files() -> None:
    cues = lay_out([scene(["Yes!", "👍🏽", "🇩🇪", "fun🎉"])], captions=Captions(style="clean"), width=1080, height=1920)
    assert [word for cue in cues for word in cue.words] == ["Yes!", "👍🏽", "🇩🇪", "fun🎉"]
    assert [word.text for cue in cues for line in cue.lines for word in line] == ["Yes!", "fun"]


def test_another_face_or_latin_letters_stand_in_for_what_a_face_lacks() -> None:
    for text in ("日本語", "שלום", "мир", "λόγος", "naïve", "½", "1️⃣", "\u202eabc", "→"):
        for face in FACES:
            shown, chosen = showable(text, face)
            assert chosen.covers(shown)
            assert not set(shown) & set(":\u202e\ufe0f")
    assert showable("мир", FACES[0])[0].lower() == "mir"
    assert showable("naïve", FACES[0]) == ("naïve", FACES[0])
