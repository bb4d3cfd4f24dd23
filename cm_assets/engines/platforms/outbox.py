"""The platform `outbox`: a local channel folder with a page that plays its videos, a feed, and each post's record."""

import ctypes
import errno
import fcntl
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from anyascii import anyascii
from pydantic import ValidationError

from cm_assets.engines.platforms.catalogue import Surroundings
from cm_assets.engines.platforms.channel import RECORD, PostedFile, Record, feed, page
from cm_assets.models.base import PermanentFailure, TransientFailure
from cm_assets.models.post import Post, PostDraft
from cm_assets.models.protocols import Progress
from cm_assets.partitions import is_video_id

_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE})
"""Errors of a folder that a retry may not meet again."""

_log = logging.getLogger(__name__)


def platform(surroundings: Surroundings) -> "Outbox":
    """The outbox of these surroundings."""
    return Outbox(surroundings.outbox)


class Outbox:
    """Publishes into a folder.

    Each video has a folder of its own with everything in it; a post appears whole, by renaming that folder into its
    place. The page and the feed are made again from the posts' records, so they never say more than is there.

    Args:
        folder: of the channel; made if it is not there.
    """

    name = "outbox"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, draft: PostDraft, files: Mapping[str, Path], progress: Progress) -> Post:
        """The post of the draft's video: the one that is there if it shows the same render, else a new one.

        Raises:
            TransientFailure: the folder cannot be written at the moment.
            PermanentFailure: it cannot be written at all, or holds something else under the video's id.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._sweep()
                record = self._record(draft.video_id)
                if record is None or record.render_sha256 != draft.video.sha256 or not self._is_whole(record):
                    record = self._place(draft, files, progress)
                self._write_index()
        except OSError as error:
            raise self._failure(error) from error
        progress(1.0)
        return Post(
            platform=self.name,
            post_id=draft.video_id,
            url=f"{(self._folder / 'index.html').absolute().as_uri()}#{draft.video_id}",
            render_sha256=record.render_sha256,
            published_at=record.published_at,
        )

    def take_down(self, post: Post) -> None:
        """Remove a post, from the page and the feed first.

        Raises:
            TransientFailure: the folder cannot be written at the moment.
            PermanentFailure: it cannot be written at all.
        """
        place = self._folder / post.post_id
        try:
            if not self._folder.is_dir():
                return
            with self._alone():
                self._sweep()
                if is_video_id(post.post_id) and self._record(post.post_id) is not None:
                    part = self._folder / f".{uuid.uuid4().hex}.part"
                    place.rename(part)
                    _sync(self._folder)
                    self._write_index()
                    shutil.rmtree(part)
                else:
                    self._write_index()
        except OSError as error:
            raise self._failure(error) from error

    def posts(self) -> list[Record]:
        """The records of all posts, newest first."""
        names = sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []
        found = [record for name in names if is_video_id(name) and (record := self._record(name)) is not None]
        return sorted(found, key=lambda record: (record.published_at, record.id), reverse=True)

    def _failure(self, error: OSError) -> TransientFailure | PermanentFailure:
        reason = f"the outbox {self._folder} cannot be written: {error.strerror or error} ({error.filename or '?'})"
        return (TransientFailure if error.errno in _PASSING else PermanentFailure)(reason)

    def _place(self, draft: PostDraft, files: Mapping[str, Path], progress: Progress) -> Record:
        place = self._folder / draft.video_id
        if place.exists() and not (place / RECORD).exists():
            raise PermanentFailure(f"{place} is in the way and is no post of this outbox: move it, or set CM_OUTBOX")
        before = self._record(draft.video_id)
        now = datetime.now(UTC)
        record = _record_of(draft, files, before.published_at if before else now, now)
        part = self._folder / f".{uuid.uuid4().hex}.part"
        part.mkdir()
        try:
            for done, (name, file) in enumerate(record.files.items()):
                progress(done / len(record.files))
                _copy(files[name], part / file.name)
            _write(part / RECORD, record.to_bytes())
            _sync(part)
            if place.exists():
                self._replace(part, place)
            else:
                part.rename(place)
            _sync(self._folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return record

    def _replace(self, part: Path, place: Path) -> None:
        """Put a folder in the place of another, in one step where the system can."""
        if not _exchange(part, place):
            # The name says whose it is, so that a sweep can put it back.
            old = self._folder / f".{place.name}.old"
            place.rename(old)
            part.rename(place)
            shutil.rmtree(old, ignore_errors=True)

    def _record(self, video: str) -> Record | None:
        try:
            return Record.model_validate_json((self._folder / video / RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValidationError) as error:
            _log.warning("the record of the post %s cannot be read: %s", video, type(error).__name__)
            return None

    def _is_whole(self, record: Record) -> bool:
        paths = {self._folder / record.id / file.name: file.size for file in record.files.values()}
        return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())

    def _sweep(self) -> None:
        """Clear up after writers that were killed. Called while nobody else writes."""
        for old in self._folder.glob(".*.old"):
            place = self._folder / old.name.removeprefix(".").removesuffix(".old")
            if is_video_id(place.name) and not place.exists():
                old.rename(place)
            else:
                shutil.rmtree(old, ignore_errors=True)
        for part in self._folder.glob(".*.part"):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)

    def _write_index(self) -> None:
        posts = self.posts()
        for name, content in (("index.html", page(posts, self._folder)), ("feed.xml", feed(posts, self._folder))):
            part = self._folder / f".{uuid.uuid4().hex}.part"
            _write(part, content.encode())
            part.replace(self._folder / name)
        _sync(self._folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _record_of(draft: PostDraft, files: Mapping[str, Path], published_at: datetime, now: datetime) -> Record:
    stem = _stem(draft.title)
    refs = {"video": draft.video, "cover": draft.cover, "srt": draft.srt, "vtt": draft.vtt}
    missing = [name for name in refs if name not in files or not files[name].is_file()]
    if missing:
        raise PermanentFailure(f"the {' and the '.join(missing)} of {draft.video_id} cannot be found: render it again")
    posted = {
        name: PostedFile(
            name=f"{'cover' if name == 'cover' else stem}{_ending(files[name])}",
            sha256=ref.sha256,
            size=files[name].stat().st_size,
            media_type=ref.media_type,
        )
        for name, ref in refs.items()
    }
    return Record(
        id=draft.video_id,
        title=draft.title,
        description=draft.description,
        hashtags=draft.hashtags,
        language=draft.language,
        seconds=draft.seconds,
        width=draft.width,
        height=draft.height,
        ai_disclosure=draft.ai_disclosure,
        credits=draft.credits,
        files=posted,
        render_sha256=draft.video.sha256,
        published_at=published_at,
        updated_at=now,
    )


def _stem(title: str) -> str:
    """A file name that says what it is and that no system chokes on."""
    words = "-".join(re.findall(r"[a-z0-9]+", anyascii(title).lower()))
    if len(words) > 60:
        words = words[:60].rsplit("-", 1)[0]
    # Windows keeps some names for devices, and the cover and the page have theirs.
    return f"video-{words}".strip("-") if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d|cover|post)?", words) else words


def _ending(path: Path) -> str:
    return path.suffix.lower() if re.fullmatch(r"\.[a-z0-9]{1,8}", path.suffix.lower()) else ".bin"


def _copy(source: Path, target: Path) -> None:
    """Link where the file system can, copy where not; a stored artifact never changes, so a link is as good."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)
        _sync(target)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, so that there is no moment without a post (Linux, renameat2(2)).

    Returns:
        Whether that was done; the system or the file system may not know it.
    """
    current, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h>
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(current, os.fsencode(one), current, os.fsencode(other), swap) == 0)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Have a file or folder on the disk before anything depends on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
