"""Music by mood from the bundled package, or a track from the user's own folder."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cm_assets.models.base import PermanentFailure

NONE = "none"

MOODS: Mapping[str, str] = {
    "calm": "calm",
    "energetic": "energetic",
    "happy": "happy",
    "nostalgic": "nostalgic",
    "tender": "tender",
    # The names that other tools' requests use.
    "angry": "energetic",
    "chill": "calm",
    "contemplative": "calm",
    "dark": "nostalgic",
    "euphoric": "energetic",
    "euphoric/high": "energetic",
    "excited": "energetic",
    "funny": "happy",
    "funny/quirky": "happy",
    "high": "energetic",
    "hopeful": "happy",
    "melancholic": "nostalgic",
    "quirky": "happy",
    "sad": "tender",
    "uneasy": "nostalgic",
}
"""What a request may call a mood -> the mood of the bundled tracks."""

ENDINGS = frozenset({".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a"})


@dataclass(frozen=True, slots=True)
class Track:
    """A piece of music.

    Attributes:
        path: the file.
        title: for people.
        author: empty if unknown.
        licence: such as `MIT` or `own`.
        mood: one of the five.
    """

    path: Path
    title: str
    author: str
    licence: str
    mood: str


def choose(name: str, *, seed: int, folder: Path | None) -> Track | None:
    """The track for a mood, or one of the user's own by its name; None for `none`.

    Args:
        name: as in the request. A file of the user's that is called like a mood is meant by its full name: `calm.mp3`.
        seed: of two tracks of a mood, the same seed always gives the same.
        folder: the user's own music.

    Raises:
        PermanentFailure: nothing is called so.
    """
    wanted = _plain(name)
    if wanted == NONE:
        return None
    if wanted in MOODS:
        mood = MOODS[wanted]
        bundled = _bundled(mood)
        pick = int.from_bytes(hashlib.sha256(f"{mood} {seed}".encode()).digest()[:8], "big") % len(bundled)
        return Track(bundled[pick], bundled[pick].stem.replace("_", " "), "immich-memories", "MIT", mood)
    own = _own(folder)
    for key in ("name", "stem"):
        for path in own:
            if wanted == _plain(getattr(path, key)):
                return Track(path, path.stem, "", "own", mood_of(name))
    missing = "" if folder is None or folder.is_dir() else f" (CM_MUSIC_FOLDER: {folder} is no folder)"
    raise PermanentFailure(f"music: there is none called {name!r}; known: {', '.join(known(folder))}{missing}")


def known(folder: Path | None) -> tuple[str, ...]:
    """All names that can be asked for: the moods, `none`, and the user's own with and without their endings."""
    own = (name for path in _own(folder) for name in (path.name, path.stem))
    return tuple(dict.fromkeys((*sorted(MOODS), NONE, *own)))


def mood_of(name: str) -> str:
    """The mood that a name stands for, for the colours of the picture; calm where it says nothing."""
    return MOODS.get(_plain(name), "calm")


def _plain(name: str) -> str:
    """A name as it is compared: whatever its case, and however its accents are encoded."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _own(folder: Path | None) -> list[Path]:
    """The tracks in the user's folder: looked up in a listing, so that no name can lead out of it."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS
        and not path.name.startswith(".")
        and path.is_file()
        and path.resolve().parent == folder.resolve()
    )


def _bundled(mood: str) -> list[Path]:
    from immich_memories_music import tracks_dir

    return sorted(path for path in (tracks_dir() / mood).iterdir() if path.suffix in ENDINGS)
