"""What people see of the channel folder: each post's record, the page and the feed that are made from the records."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, NonNegativeInt, StringConstraints

from cm_assets.engines.platforms.description import describe
from cm_assets.models.base import Model, Seconds, Sha256
from cm_assets.models.clips import Credit
from cm_assets.partitions import VideoId

LONGEST = 100_000
"""Characters of a description in the feed, which has no limit of its own."""

RECORD = "post.json"
"""Name of a post's record within its folder."""


class PostedFile(Model):
    """A file of a post.

    Attributes:
        name: within the post's folder; letters, digits, dashes and one dot only.
        sha256: of its content.
        size: bytes.
        media_type: such as `video/mp4`.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,80}\.[a-z0-9]{1,8}$")]
    sha256: Sha256
    size: NonNegativeInt
    media_type: str


class Record(Model):
    """A post as it is kept in its folder, and all that the page and the feed know of it.

    Attributes:
        files: `video`, `cover`, `srt` and `vtt`.
        render_sha256: the render that it shows.
        published_at: of the first post of this video; UTC.
        updated_at: of the render that it shows now; UTC.
    """

    schema_version: Literal[1] = 1
    id: VideoId
    title: str
    description: str
    hashtags: tuple[str, ...]
    language: str
    seconds: Seconds
    width: int
    height: int
    ai_disclosure: bool
    credits: tuple[Credit, ...]
    files: Mapping[str, PostedFile]
    render_sha256: Sha256
    published_at: AwareDatetime
    updated_at: AwareDatetime


def page(records: Sequence[Record], folder: Path) -> str:
    """The channel's page: one HTML file without script that needs nothing but the posts' folders beside it."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cm_assets.engines.platforms"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = _clock
    shown = [_shown(record, folder) for record in records]
    total = sum(record.seconds for record in records)
    return environment.get_template("index.html").render(posts=shown, total=total)


def feed(records: Sequence[Record], folder: Path) -> str:
    """The channel as RSS 2.0, with the enclosures and the tags that podcast and media readers look for.

    Addresses are absolute, as the format demands; they are those of this machine's files.
    """
    from feedgenerator import Enclosure

    home = folder.absolute().as_uri()
    channel = _feed_class()(
        title="Outbox",
        link=f"{home}/index.html",
        description="Videos of this channel",
        feed_url=f"{home}/feed.xml",
        cover=f"{home}/{records[0].id}/{records[0].files['cover'].name}" if records else None,
    )
    for record in records:
        here = f"{home}/{record.id}"
        video = record.files["video"]
        channel.add_item(
            title=legal(record.title),
            link=f"{home}/index.html#{record.id}",
            # Readers take a description for HTML: it is escaped once as text, and once more as XML.
            description=html.escape(legal(describe(record.description, record.credits, LONGEST)), quote=False),
            unique_id=record.id,
            unique_id_is_permalink=False,
            pubdate=record.published_at,
            updateddate=record.updated_at,
            categories=[legal(tag) for tag in record.hashtags],
            enclosures=[Enclosure(f"{here}/{video.name}", str(video.size), video.media_type)],
            record=record,
            cover=f"{here}/{record.files['cover'].name}",
        )
    return str(channel.writeString("utf-8"))


def legal(text: str) -> str:
    """The text without the characters that XML has no way to write, and that HTML forbids."""
    return re.sub(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]", "", text)


def _shown(record: Record, folder: Path) -> dict[str, Any]:
    """A record as the template takes it."""
    captions = _captions(folder / record.id / record.files["vtt"].name)
    return {
        **record.model_dump(),
        "title": legal(record.title),
        "description": legal(record.description),
        "hashtags": [tag for one in record.hashtags if (tag := legal(one).lstrip("#").strip())],
        "shape": "tall" if record.width * 16 == record.height * 9 else "wide",
        # Browsers give a page that was opened from a disk no captions from beside it; those within it they do.
        "captions": "data:text/vtt;base64," + base64.b64encode(captions.encode()).decode(),
        "transcript": _transcript(captions),
        "megabytes": record.files["video"].size / 1e6,
        "files": {name: f"{record.id}/{file.name}" for name, file in record.files.items()},
        "record": f"{record.id}/{RECORD}",
    }


def _captions(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "WEBVTT\n"


def _transcript(captions: str) -> str:
    """The words of WebVTT captions, without their times and marks."""
    blocks = re.split(r"\n\s*\n", captions.replace("\r\n", "\n"))
    texts = (block.split("-->", 1)[1].partition("\n")[2] for block in blocks if "-->" in block)
    return legal(" ".join(html.unescape(re.sub(r"<[^<>]*>", "", text)) for text in texts)).strip()


def _clock(seconds: Seconds) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def _feed_class() -> Any:
    from feedgenerator import Rss201rev2Feed

    class MediaFeed(Rss201rev2Feed):  # type: ignore[misc]
        """RSS with the namespaces of podcast and media readers."""

        def rss_attributes(self) -> dict[str, str]:
            return {
                **super().rss_attributes(),
                "xmlns:itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
                "xmlns:media": "http://search.yahoo.com/mrss/",
            }

        def add_root_elements(self, handler: Any) -> None:
            super().add_root_elements(handler)
            handler.addQuickElement("generator", "cm-assets")
            if self.feed["cover"]:
                handler.addQuickElement("itunes:image", None, {"href": self.feed["cover"]})

        def add_item_elements(self, handler: Any, item: Any) -> None:
            super().add_item_elements(handler, item)
            record: Record = item["record"]
            (enclosure,) = item["enclosures"]
            handler.addQuickElement("itunes:duration", str(round(record.seconds)))
            handler.addQuickElement("itunes:image", None, {"href": item["cover"]})
            size = {"width": str(record.width), "height": str(record.height)}
            media = {
                "url": enclosure.url,
                "fileSize": enclosure.length,
                "type": enclosure.mime_type,
                "medium": "video",
                "duration": str(round(record.seconds)),
                **size,
            }
            handler.startElement("media:content", media)
            handler.addQuickElement("media:thumbnail", None, {"url": item["cover"], **size})
            for credit in dict.fromkeys(legal(one.author or one.source) for one in record.credits):
                handler.addQuickElement("media:credit", credit, {"role": "author"})
            handler.endElement("media:content")

    return MediaFeed
