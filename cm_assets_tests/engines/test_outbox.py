import html
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cm_assets.engines.platforms.channel import Record, legal
from cm_assets.engines.platforms.outbox import Outbox, _exchange
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import PermanentFailure
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
    "con",
    "x" * 400,
    "\u202egnp.exe\x85\x1b[31m",
]
MEDIA = "{http://search.yahoo.com/mrss/}"
ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"


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
    made["vtt"].write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nHello <00:00.500>&lt;b&gt; you\n")
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
    assert record["files"]["video"] == {
        "name": "three-ai-trends.mp4",
        "sha256": "a" * 64,
        "size": 5,
        "media_type": "video/mp4",
    }
    assert record["credits"] == [{"source": "folder", "author": "text", "licence": "own", "url": None}]
    assert record["published_at"] == record["updated_at"]
    assert record["render_sha256"] == post.render_sha256
    assert post.url == f"{(folder / 'index.html').as_uri()}#v1"
    assert (folder / "v1" / "three-ai-trends.mp4").samefile(files["video"]), "a link takes no space"
    item = ET.parse(folder / "feed.xml").getroot().find("channel/item")
    assert item is not None
    assert item.findtext(f"{ITUNES}duration") == "32"
    media = item.find(f"{MEDIA}content")
    assert media is not None
    assert (media.get("width"), media.get("height"), media.get("medium")) == ("1080", "1920", "video")
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
    before = [(tmp_path / "outbox" / name).read_bytes() for name in ("index.html", "feed.xml", "v1/post.json")]
    again = outbox.publish(a_draft(), files, lambda share: None)
    assert first == again
    assert before == [(tmp_path / "outbox" / name).read_bytes() for name in ("index.html", "feed.xml", "v1/post.json")]
    assert len(outbox.posts()) == 1
    assert (tmp_path / "outbox" / "feed.xml").read_text().count("<item>") == 1


def test_a_new_render_takes_the_place_of_the_old(tmp_path: Path, files: dict[str, Path]) -> None:
    outbox = Outbox(tmp_path / "outbox")
    first = outbox.publish(a_draft(), files, lambda share: None)
    again = outbox.publish(a_draft(sha="b" * 64, title="Better"), files, lambda share: None)
    assert again.published_at == first.published_at
    assert [post.title for post in outbox.posts()] == ["Better"]
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
    assert title.strip() == legal(text)
    described = ET.parse(tmp_path / "outbox" / "feed.xml").getroot().findtext("channel/item/description")
    assert html.unescape(described or "").strip() == legal(text)
    assert "<" not in (described or ""), "readers take a description for HTML"
    record = json.loads((tmp_path / "outbox" / "v1" / "post.json").read_text())
    assert record["title"] == text
    for name in (file["name"] for file in record["files"].values()):
        assert re.fullmatch(r"[a-z0-9-]{1,70}\.[a-z0-9]{3}", name)
        assert not re.match(r"(con|post)\.", name)
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
    seen: set[str] = set()
    for delay in (0.0, 0.004, 0.01, 0.02, 0.03, 0.07, 0.15):
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
            assert all((folder / record.id / file.name).is_file() for file in record.files.values())
        seen |= {path.parent.name for path in folder.glob("[!.]*/post.json")}
        assert {record.id for record in Outbox(folder).posts()} == seen, "what was posted once stays posted"
    publish(Outbox(folder), files, a_draft(video="last"))
    assert not list(folder.glob(".*.part"))


def test_the_page_asks_nothing_of_anybody(tmp_path: Path, files: dict[str, Path]) -> None:
    publish(Outbox(tmp_path / "outbox"), files, a_draft())
    text = (tmp_path / "outbox" / "index.html").read_text()
    assert "default-src 'none'" in text
    assert "script-src" not in text
    asked = re.findall(r'(?:src|href|poster)="([^"]*)"', text)
    assert len(asked) >= 7
    for address in asked:
        local = address.startswith("data:text/vtt;base64,") or (tmp_path / "outbox" / address).is_file()
        assert local, address


def test_the_words_are_on_the_page_for_who_cannot_hear(tmp_path: Path, files: dict[str, Path]) -> None:
    publish(Outbox(tmp_path / "outbox"), files, a_draft())
    assert "Hello &lt;b&gt; you" in (tmp_path / "outbox" / "index.html").read_text()


def test_there_is_no_moment_without_a_post_while_it_is_replaced(tmp_path: Path, files: dict[str, Path]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    if not _exchange(tmp_path / "one", tmp_path / "two"):
        pytest.skip("this file system cannot exchange folders")
    outbox = Outbox(tmp_path / "outbox")
    publish(outbox, files, a_draft())
    stop, gaps = threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            try:
                Record.model_validate_json((tmp_path / "outbox" / "v1" / "post.json").read_bytes())
            except FileNotFoundError as gap:
                gaps.append(gap)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(40):
        publish(outbox, files, a_draft(sha=f"{number:064d}"))
    stop.set()
    watcher.join()
    assert gaps == []


def test_a_post_whose_replacement_was_killed_half_way_comes_back(tmp_path: Path, files: dict[str, Path]) -> None:
    outbox = Outbox(tmp_path / "outbox")
    publish(outbox, files, a_draft())
    (tmp_path / "outbox" / "v1").rename(tmp_path / "outbox" / ".v1.old")
    publish(outbox, files, a_draft(video="v2"))
    assert {record.id for record in outbox.posts()} == {"v1", "v2"}


@pytest.mark.parametrize("harm", ["record", "video", "empty"])
def test_a_post_that_was_damaged_is_made_again(tmp_path: Path, files: dict[str, Path], harm: str) -> None:
    outbox = Outbox(tmp_path / "outbox")
    publish(outbox, files, a_draft())
    place = tmp_path / "outbox" / "v1"
    if harm == "record":
        (place / "post.json").write_text('{"id": "v1", "files": {"video": "../../../etc/passwd"}}')
        publish(outbox, files, a_draft(video="v2"))
        assert [record.id for record in outbox.posts()] == ["v2"], "a bad record hides its post and harms no other"
    else:
        (place / "a-title.mp4").unlink()
        if harm == "empty":
            (place / "a-title.mp4").touch()
    publish(outbox, files, a_draft())
    assert "v1" in {record.id for record in outbox.posts()}
    assert (place / "a-title.mp4").read_bytes() == b"video"


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path, files: dict[str, Path]) -> None:
    theirs = tmp_path / "outbox" / "v1" / "thesis.doc"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    with pytest.raises(PermanentFailure, match="in the way"):
        publish(Outbox(tmp_path / "outbox"), files, a_draft())
    assert theirs.read_text() == "years of work"


def test_what_cannot_be_found_is_named(tmp_path: Path, files: dict[str, Path]) -> None:
    files["srt"].unlink()
    with pytest.raises(PermanentFailure, match="the srt of v1 cannot be found"):
        publish(Outbox(tmp_path / "outbox"), files, a_draft())
    assert not list((tmp_path / "outbox").glob(".*.part"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, files: dict[str, Path]) -> None:
    (tmp_path / "outbox").write_text("a file")
    with pytest.raises(PermanentFailure, match="outbox"):
        publish(Outbox(tmp_path / "outbox"), files, a_draft())


def test_the_newest_post_comes_first(tmp_path: Path, files: dict[str, Path]) -> None:
    outbox = Outbox(tmp_path / "outbox")
    for video in ("b", "c", "a"):
        publish(outbox, files, a_draft(video=video))
    assert re.findall(r'article id="(\w)"', (tmp_path / "outbox" / "index.html").read_text()) == ["a", "c", "b"]
    assert [one.text for one in ET.parse(tmp_path / "outbox" / "feed.xml").iter("guid")] == ["a", "c", "b"]


def test_processes_publish_side_by_side(tmp_path: Path, files: dict[str, Path]) -> None:
    code = (
        "import sys, pathlib; from cm_assets_tests.engines.test_outbox import *;"
        "there = {p.stem: p for p in map(pathlib.Path, sys.argv[3:])};"
        "[publish(Outbox(pathlib.Path(sys.argv[1])), there, a_draft(video=f'{sys.argv[2]}{n}')) for n in range(6)]"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "outbox"), name, *map(str, files.values())])
        for name in "ab"
    ]
    assert [process.wait() for process in started] == [0, 0]
    assert (tmp_path / "outbox" / "feed.xml").read_text().count("<item>") == 12
    assert (tmp_path / "outbox" / "index.html").read_text().count("<article") == 12


def test_a_post_that_is_taken_down_is_gone_from_page_and_feed(tmp_path: Path, files: dict[str, Path]) -> None:
    folder = tmp_path / "outbox"
    outbox = Outbox(folder)
    first = outbox.publish(a_draft("v1", "The first one"), files, lambda share: None)
    outbox.publish(a_draft("v2", "The second one"), files, lambda share: None)
    outbox.take_down(first)
    outbox.take_down(first)
    assert [record.id for record in outbox.posts()] == ["v2"]
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "feed.xml", "index.html", "v2"]
    for name in ("index.html", "feed.xml"):
        assert "The first one" not in (folder / name).read_text()
        assert "The second one" in (folder / name).read_text()
    outbox.publish(a_draft("v1", "The first one"), files, lambda share: None)
    assert {record.id for record in outbox.posts()} == {"v1", "v2"}


def test_taking_down_touches_nothing_but_posts(tmp_path: Path, files: dict[str, Path]) -> None:
    folder = tmp_path / "outbox"
    outbox = Outbox(folder)
    post = outbox.publish(a_draft("v1"), files, lambda share: None)
    (folder / "mine").mkdir()
    for odd in ("mine", "../outside", ".lock", "nobody"):
        outbox.take_down(post.model_copy(update={"post_id": odd}))
    assert (folder / "mine").is_dir()
    assert (folder / "v1").is_dir()
    Outbox(tmp_path / "nowhere").take_down(post)
    assert not (tmp_path / "nowhere").exists()
