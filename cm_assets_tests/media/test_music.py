import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.media.ffmpeg import find
from cm_assets.media.music import MOODS, choose, known, mood_of
from cm_assets.models.base import PermanentFailure

BUNDLED = ("calm", "energetic", "happy", "nostalgic", "tender")
ELSEWHERE = (
    *("sad", "melancholic", "happy", "euphoric/high", "excited", "chill", "uneasy", "angry", "dark", "hopeful"),
    *("contemplative", "funny/quirky"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "music"
    own.mkdir()
    for name in ("Sunrise.mp3", "calm.mp3", "cafe\u0301.ogg", "notes.txt", ".hidden.mp3", "loop.wav.mp3", "loop.wav"):
        (own / name).write_bytes(b"sound")
    (own / "album.mp3").mkdir()
    (tmp_path / "secret.mp3").write_bytes(b"private")
    (own / "away.mp3").symlink_to(tmp_path / "secret.mp3")
    return own


@pytest.mark.parametrize("name", [*BUNDLED, *ELSEWHERE])
def test_every_mood_has_a_track(name: str) -> None:
    track = choose(name, seed=1, folder=None)
    assert track is not None
    assert track.path.parent.name == track.mood == mood_of(name)
    assert (track.licence, track.author) == ("MIT", "immich-memories")


def test_chill_is_calm_in_any_case() -> None:
    assert mood_of("chill") == mood_of("Chill ") == "calm"


def test_every_bundled_track_is_reached_by_some_seed() -> None:
    tracks = {track.path for mood in BUNDLED for seed in range(60) if (track := choose(mood, seed=seed, folder=None))}
    assert len(tracks) == 28


def test_a_track_of_every_mood_can_be_decoded_to_its_end() -> None:
    for mood in BUNDLED:
        track = choose(mood, seed=0, folder=None)
        assert track is not None
        path = track.path
        done = subprocess.run(
            [str(find(None).path), "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), path.name


def test_the_same_seed_gives_the_same_track() -> None:
    assert choose("calm", seed=5, folder=None) == choose("chill", seed=5, folder=None)
    assert len({choose("calm", seed=seed, folder=None) for seed in range(40)}) > 1


def test_none_is_no_music(folder: Path) -> None:
    assert choose("none", seed=1, folder=folder) is None


@pytest.mark.parametrize("name", ["Sunrise", "sunrise.mp3", "SUNRISE"])
def test_own_music_is_found_by_file_name_or_stem(folder: Path, name: str) -> None:
    track = choose(name, seed=1, folder=folder)
    assert track is not None
    assert (track.path, track.title, track.licence, track.mood) == (folder / "Sunrise.mp3", "Sunrise", "own", "calm")


def test_own_music_is_found_however_its_accents_are_encoded(folder: Path) -> None:
    track = choose("caf\u00e9", seed=1, folder=folder)
    assert track is not None
    assert track.path.suffix == ".ogg"


def test_a_mood_stays_a_mood_beside_a_file_of_that_name(folder: Path) -> None:
    mood, own = choose("calm", seed=1, folder=folder), choose("calm.mp3", seed=1, folder=folder)
    assert mood is not None
    assert mood.licence == "MIT"
    assert own is not None
    assert own.licence == "own"


def test_a_full_name_comes_before_a_stem(folder: Path) -> None:
    track = choose("loop.wav", seed=1, folder=folder)
    assert track is not None
    assert track.path.name == "loop.wav"


@pytest.mark.parametrize(
    "name",
    ["../secret.mp3", "secret", "away", "/etc/passwd", ".hidden", "notes.txt", "album", "", ".", "polka", "x\0y"],
)
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(PermanentFailure) as failed:
        choose(name, seed=1, folder=folder)
    assert "Sunrise.mp3" in str(failed.value)


@given(st.text(max_size=40))
def test_any_name_is_a_track_none_or_refused(name: str) -> None:
    try:
        track = choose(name, seed=1, folder=Path(__file__).parent)
    except PermanentFailure:
        return
    assert track is None or track.path.is_file()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert known(tmp_path / "gone") == (*sorted(MOODS), "none")
    with pytest.raises(PermanentFailure, match="CM_MUSIC_FOLDER"):
        choose("polka", seed=1, folder=tmp_path / "gone")
