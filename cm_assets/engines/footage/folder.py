"""The footage source `folder`: the user's own videos and pictures, found by their names and an optional index."""

import errno
import hashlib
import logging
import os
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from cm_assets.engines.footage import library
from cm_assets.engines.footage.library import Item
from cm_assets.media.ffmpeg import find
from cm_assets.media.probe import probe, validate_picture, validate_video
from cm_assets.models.base import PermanentFailure, TransientFailure
from cm_assets.models.clips import ClipSpec, Credit, FetchedClip, FootageQuery

MOST_COMPARED = 12
"""Files that match equally well and are opened to compare their shapes."""

MOST_LISTED = 20
"""File names in an error."""

log = logging.getLogger(__name__)


class Folder:
    """Looks through a folder for every query: files may come and go."""

    name = "folder"

    def __init__(self, folder: Path, ffmpeg: Path) -> None:
        self._folder = folder
        self._ffmpeg = ffmpeg

    def fetch(self, query: FootageQuery, into: Path) -> FetchedClip | None:
        """The file that the query names, else the best that matches its terms and is not shown yet; None without one.

        Files that are broken are skipped and logged, unless the query names them.

        Raises:
            PermanentFailure: the named file is missing or cannot be used; the folder or its index cannot be read.
            TransientFailure: the disk is full.
        """
        items = library.read(self._folder)
        if query.clip is not None:
            item = _named(items, query.clip)
            try:
                return self._clip(item, query, into)
            except PermanentFailure as error:
                raise PermanentFailure(f"clip {item.shown_name}: {error}") from error
        for item in _ranked(items, query):
            if _known_key(item.path) in query.used:
                continue
            try:
                return self._clip(item, query, into)
            except PermanentFailure as error:
                log.warning("footage: %s is skipped: %s", item.shown_name, error)
        return None

    def _clip(self, item: Item, query: FootageQuery, into: Path) -> FetchedClip:
        copy = into / "folder.part"
        try:
            digest = _copy(item.path, copy)
            info = validate_video(find(self._ffmpeg), copy) if item.is_video else validate_picture(copy)
            path = copy.replace(into / f"{digest[:16]}{item.path.suffix.lower()}")
        finally:
            copy.unlink(missing_ok=True)
        entry = item.entry
        spec = ClipSpec(
            scene=query.scene,
            kind=info.kind,
            key=_key(digest),
            label=item.shown_name,
            terms=tuple(
                term.encode(errors="replace").decode() for term in query.terms if library.words(term) & item.words
            ),
            width=info.width,
            height=info.height,
            seconds=info.seconds,
            seed=(query.seed + query.scene + query.shot) % 2**32,
            credit=Credit(source="folder", author=entry.author, licence=entry.licence, url=entry.url),
        )
        return FetchedClip(spec, (path,))


def _named(items: Sequence[Item], clip: str) -> Item:
    """Looks the name up in the listing: it never becomes a path."""
    wanted = _plain(clip)
    exactly = [item for item in items if Path(item.name).name == clip]
    for found in (exactly, [item for item in items if _plain(Path(item.name).name) == wanted]):
        if found:
            return min(found, key=lambda item: (item.name.count("/"), item.name))
    names = [item.shown_name for item in items]
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    there = f"it has {', '.join(names[:MOST_LISTED])}{more}" if names else "it has no videos and no pictures"
    raise PermanentFailure(f"the footage folder has no {clip!r}; {there}")


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _ranked(items: Sequence[Item], query: FootageQuery) -> list[Item]:
    """Files that match, best first; among equals, those of the frame's shape, then in an order drawn by the seed."""
    scores = {item.name: score for item in items if (score := _score(item, query.terms)) > 0}
    matching = sorted(
        (item for item in items if item.name in scores),
        key=lambda item: (-scores[item.name], _lot(item, query), item.name),
    )
    fits = {item.name: _fit(item, query) for item in matching[:MOST_COMPARED]}
    return sorted(matching, key=lambda item: (-scores[item.name], -fits.get(item.name, 0.0)))


def _score(item: Item, terms: Sequence[str]) -> float:
    """Earlier terms count more, a whole term more than its last word alone."""
    total = 0.0
    for index, term in enumerate(terms):
        wanted = library.words(term)
        if not wanted:
            continue
        if wanted <= item.words:
            total += (2 + 0.1 * len(wanted)) / (1 + index)
        elif library.words(term.split()[-1]) & item.words:
            total += 1 / (1 + index)
    return round(total, 6)


def _fit(item: Item, query: FootageQuery) -> float:
    """How much of the file is seen in the frame, and whether its pixels suffice; 0 to 1."""
    try:
        info = probe(item.path)
    except (PermanentFailure, OSError):
        return 0.0
    shape, frame = info.width / info.height, query.width / query.height
    seen = min(shape, frame) / max(shape, frame)
    sharp = min(1.0, info.width / query.width, info.height / query.height)
    lasts = 1.0 if info.seconds is None else min(1.0, info.seconds / max(query.seconds, 0.1))
    return round(0.6 * seen + 0.25 * sharp + 0.15 * lasts, 2)


def _lot(item: Item, query: FootageQuery) -> bytes:
    return hashlib.sha256(f"{query.seed}|{item.name}".encode(errors="surrogatepass")).digest()


def _key(digest: str) -> str:
    return f"folder:{digest[:16]}"


def _known_key(path: Path) -> str:
    """The key of a file that may have been read before; empty if it cannot be read."""
    try:
        state = path.stat()
        return _key(_digest(path, state.st_size, state.st_mtime_ns))
    except OSError:
        return ""


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> str:
    """Copies a file and returns its SHA-256. The source's own name is read here and nowhere else."""
    digest = hashlib.sha256()
    try:
        # The path was resolved when the folder was listed: what has become a link or a pipe since then is not followed.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file, target.open("wb") as out:
            while block := file.read(1 << 20):
                digest.update(block)
                out.write(block)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TransientFailure("the disk is full: free some space, then make the video again") from None
        raise PermanentFailure(f"cannot be read: {error.strerror}") from None
    return digest.hexdigest()
