import json
import os
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cm_assets.engines.platforms.outbox import Outbox
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.clips import Credit
from cm_assets.models.post import PostDraft

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "]]> & <![CDATA[",
    "a\x00b\x0bc\ufffe",
    "../../etc/passwd",
    "🚀 مرحبا שלום",
    "%s {{ 7*7 }} {% raw %}",
    "javascript:alert(1)",
]


def a_draft(video: str = "v1", title: str = "A title", sha: str = "a" * 64, text: str = "text") -> PostDraft:
    ref = ArtifactRef(key="v1/render/a.mp4", sha256=sha, size=5, media_type="video/mp4")
    return PostDraft(
        video_id=video,
        title=title,
        description=text,
        hashtags=(text,),
        language="en",
        seconds=31.5,
        width=1080,
        height=1920,
        video=ref,
        cover=ref,
        srt=ref,
        vtt=ref,
        ai_disclosure=True,
        credits=(Credit(source="folder", author=text, licence="own"),),
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for name, suffix in (("video", ".mp4"), ("cover", ".jpg"), ("srt", ".srt"), ("vtt", ".vtt")):
        made[name] = tmp_path / f"{name}{suffix}"
        made[name].write_bytes(name.encode())
    return made


def publish(outbox: Outbox, files: dict[str, Path], draft: PostDraft) -> str:
    return outbox.publish(draft, files, lambda share: None).post_id


def test_a_post_has_everything(tmp_path: Path, files: dict[str, Path]) -> None:
    folder = tmp_path / "outbox"
    post = Outbox(folder).publish(a_draft(title="Three AI trends"), files, lambda share: None)
    assert sorted(path.name for path in (folder / "v1").iterdir()) == [
        "cover.jpg",
        "post.json",
        "three-ai-trends.mp4",
        "three-ai-trends.srt",
        "three-ai-trends.vtt",
    ]
    record = json.loads((folder / "v1" / "post.json").read_text())
    assert record["title"] == "Three AI trends"
    assert post.url == f"{(folder / 'index.html').as_uri()}#v1"
    item = ET.parse(folder / "feed.xml").getroot().find("channel/item")
    assert item is not None
    enclosure = item.find("enclosure")
    assert enclosure is not None
    assert enclosure.attrib == {
        "url": (folder / "v1" / "three-ai-trends.mp4").as_uri(),
        "length": "5",
        "type": "video/mp4",
    }


def test_publishing_twice_adds_nothing_twice(tmp_path: Path, files: dict[str, Path]) -> None:
    outbox = Outbox(tmp_path / "outbox")
    first = outbox.publish(a_draft(), files, lambda share: None)
    again = outbox.publish(a_draft(), files, lambda share: None)
    assert first == again
    assert len(outbox.posts()) == 1
    assert (tmp_path / "outbox" / "feed.xml").read_text().count("<item>") == 1


def test_a_new_render_takes_the_place_of_the_old(tmp_path: Path, files: dict[str, Path]) -> None:
    outbox = Outbox(tmp_path / "outbox")
    first = outbox.publish(a_draft(), files, lambda share: None)
    again = outbox.publish(a_draft(sha="b" * 64, title="Better"), files, lambda share: None)
    assert again.published_at == first.published_at
    assert [post["title"] for post in outbox.posts()] == ["Better"]
    assert not list((tmp_path / "outbox").glob(".*.part"))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(tmp_path: Path, files: dict[str, Path], text: str) -> None:
    outbox = Outbox(tmp_path / "outbox")
    publish(outbox, files, a_draft(title=text, text=text))
    page = _Tags()
    page.feed((tmp_path / "outbox" / "index.html").read_text())
    assert not {"script", "img", "iframe"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    title = ET.parse(tmp_path / "outbox" / "feed.xml").getroot().findtext("channel/item/title")
    assert title is not None
    assert title.strip() == "".join(c for c in text if c not in "\x00\x0b\ufffe")
    assert {path.name for path in (tmp_path / "outbox").iterdir()} == {"v1", "index.html", "feed.xml", ".lock"}


def test_many_at_once_are_all_in_the_feed(tmp_path: Path, files: dict[str, Path]) -> None:
    threads = [
        threading.Thread(target=publish, args=(Outbox(tmp_path / "outbox"), files, a_draft(video=f"v{number}")))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "outbox" / "feed.xml").read_text().count("<item>") == 8


def test_a_publisher_that_is_killed_leaves_no_half_post(tmp_path: Path, files: dict[str, Path]) -> None:
    files["video"].write_bytes(os.urandom(1 << 20) * 50)
    code = (
        "import sys, pathlib; from cm_assets_tests.engines.test_outbox import *;"
        "where = pathlib.Path(sys.argv[1]); there = {p.stem: p for p in map(pathlib.Path, sys.argv[2:])};"
        "outbox = Outbox(where); print('go', flush=True);"
        "[outbox.publish(a_draft(video=f'v{n}', sha=f'{m:064d}'), there, lambda s: None)"
        " for m in range(99) for n in range(3)]"
    )
    folder = tmp_path / "outbox"
    for delay in (0.01, 0.03, 0.07, 0.15):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), *map(str, files.values())], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for record in Outbox(folder).posts():
            assert all((folder / record["id"] / name).is_file() for name in record["files"].values())
    publish(Outbox(folder), files, a_draft(video="last"))
    assert not list(folder.glob(".*.part"))
