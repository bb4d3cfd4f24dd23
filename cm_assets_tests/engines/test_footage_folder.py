"""The user's own footage: found by its names, never twice, never from outside the folder."""

import logging
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cm_assets.engines.footage.folder import Folder
from cm_assets.engines.footage.library import words
from cm_assets.media.ffmpeg import find
from cm_assets.models.base import PermanentFailure
from cm_assets.models.clips import FetchedClip, FootageQuery

QUERY = FootageQuery(0, 0, "text", ("sunset beach",), None, 1080, 1920, 4.0, "calm", 3, frozenset())


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds, upright."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    source = "testsrc2=size=180x320:rate=30:duration=2"
    command = [str(find().path), "-v", "error", "-f", "lavfi", "-i", source]
    subprocess.run([*command, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)], check=True)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "footage").mkdir()
    return tmp_path / "footage"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def _picture(path: Path, shade: int = 0, size: tuple[int, int] = (120, 200)) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, (shade, 90, 90)).save(path)


def _fetch(folder: Path, into: Path, **changes: object) -> FetchedClip | None:
    return Folder(folder, find().path).fetch(replace(QUERY, **changes), into)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "SunsetOnTheBeach.png",
        "beach-sunsets_02.png",
        "IMG sunset, beach (1).png",
        "beach/sunset.png",
        "BEACH_sunset.png",
    ],
)
def test_a_file_is_found_by_the_words_of_its_name(folder: Path, into: Path, name: str) -> None:
    _picture(folder / name)
    clip = _fetch(folder, into)
    assert clip is not None
    assert clip.spec.kind == "picture"
    assert clip.spec.label == name
    assert clip.spec.terms == ("sunset beach",)
    assert clip.files[0].parent == into
    assert clip.files[0].stem.isalnum()


def test_nothing_is_better_than_something_that_does_not_match(folder: Path, into: Path) -> None:
    _picture(folder / "mountain.png")
    _picture(folder / "beachhead-of-sunsetting.png")
    assert _fetch(folder, into, terms=("office",)) is None
    assert list(into.iterdir()) == []


def test_the_index_gives_words_author_licence_and_address(folder: Path, into: Path) -> None:
    _picture(folder / "DSC0001.png")
    (folder / "index.yaml").write_text(
        "DSC0001.png: {keywords: [beach, sunset], author: Ada, licence: CC BY 4.0, url: 'https://example.org/1'}\n"
    )
    clip = _fetch(folder, into)
    assert clip is not None
    credit = clip.spec.credit
    assert (credit.source, credit.author, credit.licence) == ("folder", "Ada", "CC BY 4.0")
    assert credit.url == "https://example.org/1"


@pytest.mark.parametrize(
    ("index", "named"),
    [("a.png: {keyword: x}", "a.png"), ("[", "YAML"), ("a.png: {url: 'javascript:alert(1)'}", "url"), ("- a", "index")],
)
def test_a_broken_index_is_named(folder: Path, into: Path, index: str, named: str) -> None:
    (folder / "index.yaml").write_text(index)
    with pytest.raises(PermanentFailure, match=r"index\.yaml") as caught:
        _fetch(folder, into)
    assert named in str(caught.value)


def test_no_file_is_shown_twice_not_even_as_a_copy_under_another_name(folder: Path, into: Path) -> None:
    _picture(folder / "sunset beach 1.png", 10)
    _picture(folder / "sunset beach 2.png", 10)
    _picture(folder / "sunset beach 3.png", 20)
    used: set[str] = set()
    for _ in range(2):
        clip = _fetch(folder, into, used=frozenset(used))
        assert clip is not None
        assert clip.spec.key not in used
        used.add(clip.spec.key)
    assert _fetch(folder, into, used=frozenset(used)) is None


def test_the_shape_of_the_frame_is_preferred(folder: Path, into: Path) -> None:
    _picture(folder / "sunset beach a.png", size=(400, 225))
    _picture(folder / "sunset beach b.png", size=(225, 400))
    upright, wide = _fetch(folder, into), _fetch(folder, into, width=1920, height=1080)
    assert upright is not None
    assert wide is not None
    assert (upright.spec.label, wide.spec.label) == ("sunset beach b.png", "sunset beach a.png")


def test_a_video_carries_its_size_and_length(folder: Path, into: Path, video: bytes) -> None:
    (folder / "Sunset Beach.MP4").write_bytes(video)
    clip = _fetch(folder, into)
    assert clip is not None
    assert (clip.spec.kind, clip.spec.width, clip.spec.height) == ("video", 180, 320)
    assert clip.spec.seconds == pytest.approx(2, abs=0.1)
    assert clip.files[0].suffix == ".mp4"
    assert clip.files[0].read_bytes() == video


@pytest.mark.parametrize(
    "content", [b"", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n", b"ffconcat version 1.0\nfile /etc/passwd\n"]
)
def test_a_broken_file_is_skipped_and_said_so(
    folder: Path, into: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "sunset beach best.mp4").write_bytes(content)
    _picture(folder / "beach.png")
    with caplog.at_level(logging.WARNING):
        clip = _fetch(folder, into, terms=("sunset beach", "beach"))
    assert clip is not None
    assert clip.spec.label == "beach.png"
    assert "sunset beach best.mp4 is skipped" in caplog.text
    assert [path.name for path in into.iterdir()] == [clip.files[0].name]


def test_a_truncated_video_that_is_named_is_an_error_that_names_it(folder: Path, into: Path, video: bytes) -> None:
    (folder / "mine.mp4").write_bytes(video[: len(video) // 2])
    with pytest.raises(PermanentFailure, match=r"clip mine\.mp4: "):
        _fetch(folder, into, clip="mine.mp4")


def test_a_named_clip_is_shown_whatever_the_terms_say(folder: Path, into: Path) -> None:
    _picture(folder / "sunset beach.png")
    _picture(folder / "trips" / "Übersicht.png", 50)
    clip = _fetch(folder, into, clip="U\u0308bersicht.PNG")
    assert clip is not None
    assert clip.spec.label == "trips/Übersicht.png"


def test_a_missing_clip_is_told_with_what_there_is(folder: Path, into: Path) -> None:
    _picture(folder / "one.png")
    _picture(folder / "two.png")
    with pytest.raises(PermanentFailure, match=r"no 'three\.png'; it has one\.png, two\.png"):
        _fetch(folder, into, clip="three.png")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "..", "", "secret.png", "link.png", "pipe.mp4"])
def test_nothing_outside_the_folder_can_be_named(folder: Path, into: Path, name: str) -> None:
    _picture(folder.parent / "secret.png")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "sub").symlink_to(folder.parent, target_is_directory=True)
    os.mkfifo(folder / "pipe.mp4")
    with pytest.raises(PermanentFailure, match="no videos and no pictures"):
        _fetch(folder, into, clip=name)


def test_a_link_inside_the_folder_is_followed(folder: Path, into: Path) -> None:
    _picture(folder / "original.png")
    (folder / "sunset-beach.png").symlink_to("original.png")
    assert _fetch(folder, into) is not None


def test_hostile_names_become_no_path_and_can_be_stored(folder: Path, into: Path) -> None:
    names = [b"sunset beach \xff\xfe.png", b"sunset beach ' ; : {\\an8} %d\n.png", b"-i sunset beach.png"]
    used: set[str] = set()
    for number, name in enumerate(names):
        _picture(folder / os.fsdecode(name), number)
    for _ in names:
        clip = _fetch(folder, into, used=frozenset(used))
        assert clip is not None
        clip.spec.to_bytes()
        assert clip.spec.label.isprintable()
        used.add(clip.spec.key)
    assert all(path.stem.isalnum() for path in into.iterdir())


def test_a_folder_that_is_not_there_names_the_variable(tmp_path: Path, into: Path) -> None:
    with pytest.raises(PermanentFailure, match="CM_FOOTAGE_FOLDER"):
        _fetch(tmp_path / "nowhere", into)


def test_the_same_query_gives_the_same_file(folder: Path, into: Path) -> None:
    for number in range(5):
        _picture(folder / f"sunset beach {number}.png", number)
    picks = {seed: {clip.spec.key for _ in range(2) if (clip := _fetch(folder, into, seed=seed))} for seed in range(8)}
    assert all(len(keys) == 1 for keys in picks.values())
    assert len(set.union(*picks.values())) > 1


@given(st.text(max_size=80))
def test_any_name_has_words_without_an_error(name: str) -> None:
    assert all(word and word.isalpha() for word in words(name) if word.isascii())
