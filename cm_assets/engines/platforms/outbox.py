"""The platform `outbox`: a local channel folder with a page that plays its videos, a feed, and each post's record."""

import fcntl
import json
import mimetypes
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyascii import anyascii

from cm_assets.models.post import Post, PostDraft
from cm_assets.models.protocols import Progress

RECORD = "post.json"


class Outbox:
    """Publishes into a folder.

    Each video has a folder of its own with everything in it; a post appears whole, by renaming that folder into its
    place. The page and the feed are made again from the posts' records, so they never say more than is there.
    """

    name = "outbox"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, draft: PostDraft, files: Mapping[str, Path], progress: Progress) -> Post:
        """The post of the draft's video: the one that is there if it shows the same render, else a new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._sweep()
            record = self._record(draft.video_id)
            if record is None or record["render_sha256"] != draft.video.sha256:
                record = self._place(draft, files, progress)
            self._write_index()
        progress(1.0)
        return Post(
            platform=self.name,
            post_id=draft.video_id,
            url=f"{(self._folder / 'index.html').absolute().as_uri()}#{draft.video_id}",
            render_sha256=record["render_sha256"],
            published_at=datetime.fromisoformat(record["published_at"]),
        )

    def posts(self) -> list[dict[str, Any]]:
        """The records of all posts, newest first."""
        records = [self._record(path.parent.name) for path in self._folder.glob(f"*/{RECORD}")]
        found = [record for record in records if record is not None]
        return sorted(found, key=lambda record: (record["published_at"], record["id"]), reverse=True)

    def _place(self, draft: PostDraft, files: Mapping[str, Path], progress: Progress) -> dict[str, Any]:
        stem = _stem(draft.title)
        names = {
            name: f"{'cover' if name == 'cover' else stem}{files[name].suffix}"
            for name in ("video", "cover", "srt", "vtt")
        }
        before = self._record(draft.video_id)
        now = datetime.now(UTC)
        record = {
            "id": draft.video_id,
            "title": draft.title,
            "description": draft.description,
            "hashtags": list(draft.hashtags),
            "language": draft.language,
            "seconds": draft.seconds,
            "width": draft.width,
            "height": draft.height,
            "ai_disclosure": draft.ai_disclosure,
            "credits": [credit.model_dump(mode="json") for credit in draft.credits],
            "files": names,
            "bytes": draft.video.size,
            "render_sha256": draft.video.sha256,
            "published_at": before["published_at"] if before else now.isoformat(),
            "updated_at": now.isoformat(),
        }
        part = self._folder / f".{uuid.uuid4().hex}.part"
        part.mkdir()
        for done, (name, target) in enumerate(names.items()):
            _copy(files[name], part / target)
            progress(done / len(names))
        _write(part / RECORD, json.dumps(record, indent=2, ensure_ascii=False).encode())
        place = self._folder / draft.video_id
        if place.exists():
            place.rename(self._folder / f".{uuid.uuid4().hex}.part")
        part.rename(place)
        self._sweep()
        return record

    def _record(self, video: str) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self._folder / video / RECORD).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return record

    def _sweep(self) -> None:
        """Remove the rests of writers that were killed. Called while nobody else writes."""
        for path in self._folder.glob(".*.part*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _write_index(self) -> None:
        posts = self.posts()
        self._replace("index.html", _page(posts).encode())
        self._replace("feed.xml", _feed(posts, self._folder).encode())

    def _replace(self, name: str, content: bytes) -> None:
        part = self._folder / f".{uuid.uuid4().hex}.part"
        _write(part, content)
        part.replace(self._folder / name)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _stem(title: str) -> str:
    """A file name that says what it is and that no system chokes on."""
    words = re.findall(r"[a-z0-9]+", anyascii(title).lower())
    return "-".join(words)[:60].strip("-") or "video"


def _page(posts: Sequence[Mapping[str, Any]]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cm_assets.engines.platforms"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [{**post, "base": quote(post["id"]), "day": post["published_at"][:10]} for post in posts]
    return environment.get_template("index.html").render(posts=shown)


def _feed(posts: Sequence[Mapping[str, Any]], folder: Path) -> str:
    from feedgenerator import Enclosure, Rss201rev2Feed

    home = folder.absolute().as_uri()
    feed = Rss201rev2Feed(
        title="Outbox", link=f"{home}/index.html", description="Videos of this channel", feed_url=f"{home}/feed.xml"
    )
    for post in posts:
        video = f"{home}/{quote(post['id'])}/{quote(post['files']['video'])}"
        media_type = mimetypes.guess_type(post["files"]["video"])[0] or "video/mp4"
        feed.add_item(
            title=_legal(post["title"]),
            link=f"{home}/index.html#{quote(post['id'])}",
            description=_legal(post["description"]),
            unique_id=post["id"],
            unique_id_is_permalink=False,
            pubdate=datetime.fromisoformat(post["published_at"]),
            updateddate=datetime.fromisoformat(post["updated_at"]),
            categories=[_legal(tag) for tag in post["hashtags"]],
            enclosures=[Enclosure(video, str(post["bytes"]), media_type)],
        )
    return str(feed.writeString("utf-8"))


def _legal(text: str) -> str:
    """The text without the characters that XML has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


def _copy(source: Path, target: Path) -> None:
    """Link where the file system can, copy where not; a stored artifact never changes, so a link is as good."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        _sync(target)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
