"""docs/operations.md, "Backup and restore": its very lines are run by a shell, and the restored home goes on."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cm_assets.settings import Settings
from cm_assets.storage.database import Database, StoredRequest
from cm_assets_tests.conftest import Home, called, until
from cm_assets_tests.emulators.youtube_server import YouTubeServer
from cm_assets_tests.postgres import _programs, new_database
from cm_assets_tests.test_make import LONG, slots_taken, unfinished
from cm_assets_tests.test_youtube_live import channel, server

__all__ = ["channel", "server"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]


def lines(heading: str) -> str:
    """The commands under a heading of the page."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (text,) = re.findall(rf"^#### {heading}\n(.*?)(?=^#)", page, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^    (.+)$", text, re.MULTILINE)
    assert found
    return "\n".join(found)


def shell(home: Home, backup: Path, text: str) -> None:
    """Run commands as a person does in the checkout, `cm` in the search path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(_programs_if_any())])
    done = subprocess.run(
        ["bash", "-c", f"set -eux -o pipefail\n{text}"],
        cwd=ROOT,
        env=home.environment() | {"PATH": path, "BACKUP": str(backup)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _programs_if_any() -> Path:
    try:
        return _programs()
    except RuntimeError:
        return Path("/nowhere")


def listed(home: Home) -> dict[str, Any]:
    """What the list says of what is done: whatever else was at work may have come further."""
    videos = json.loads(home.run("list", "--json").stdout)["videos"]
    return {one["id"]: one for one in videos}


def same(one: dict[str, Any]) -> dict[str, Any]:
    """A status without the folder that its links begin with."""
    return {**one, "links": sorted(Path(link).name for link in one["links"].values())}


def ends_well(home: Home, video: str) -> None:
    assert home.made(home.request("again.yaml", scenes=LONG, id=video))["state"] == "published"
    assert slots_taken(home) == 0
    assert unfinished(home) == 0
    assert len(list((home.path / "outbox" / video).glob("*.mp4"))) == 1


def test_a_home_is_restored_elsewhere_and_nothing_is_posted_twice(
    channel: Home, server: YouTubeServer, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    assert channel.run("submit", channel.request(id="done")).returncode == 0
    assert until(lambda: channel.told("done")["state"] == "published", 300, 0.5)
    later = channel.request(id="later", seed=5, platforms=["youtube"], post={"title": "Later"})
    assert channel.run("submit", later).returncode == 0
    assert until(lambda: channel.told("later")["state"] == "awaiting_review", 300, 0.5)
    assert channel.run("submit", channel.request(id="open", scenes=LONG)).returncode == 0
    assert until(lambda: called("ffmpeg", channel.processes()), 300, 0.1)
    shell(channel, backup, lines("On SQLite"))
    then = listed(channel)
    # What happens after the backup is lost with the home, but not on YouTube.
    assert channel.run("approve", "later").returncode == 0
    assert until(lambda: channel.told("later")["state"] == "published", 300, 0.5)
    assert len(server.videos) == 1
    restored = Home(tmp_path / "elsewhere", dict(channel.variables))
    restored.folder.mkdir()
    try:
        shell(restored, backup, lines("Restore on SQLite") + "\n" + lines("Hold back what may be posted"))
        now = listed(restored)
        assert now.keys() == then.keys()
        assert same(now["done"]) == same(then["done"])
        assert Path(now["done"]["links"]["video"]).is_relative_to(restored.path)
        assert Path(now["done"]["links"]["video"]).is_file()
        assert now["later"]["state"] == "cancelled"
        assert now["later"]["render_sha256"] == then["later"]["render_sha256"]
        ends_well(restored, "open")
        assert restored.told("later")["state"] == "cancelled"
        assert len(server.videos) == 1
        # Whoever has two backups in one folder could restore a mixture.
        command = ["python3", "deploy/backup/backup.py", str(channel.path), str(backup)]
        again = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert again.returncode == 2
    finally:
        restored.kill_everything()


def test_what_may_be_posted_is_held_back_however_old_it_is(home: Home, tmp_path: Path) -> None:
    database = Database(Settings(home=home.path).database)
    now = datetime.now(UTC)

    def ask(video: str, minutes: int, platform: str, **changes: Any) -> None:
        asked = now - timedelta(minutes=minutes)
        row: dict[str, Any] = {"wanted": True, "outcome": "", "reason": "", "priority": 10, "lost_runs": 0} | changes
        document = {"topic": "tides", "platforms": [platform]}
        database.add(StoredRequest(video, "file", video, document, "0" * 64, received_at=asked, wanted_at=asked, **row))

    for number in range(1001):
        ask(f"local-{number}", number, "outbox")
        ask(f"ended-{number}", number, "youtube", wanted=False, outcome="cancelled", closed_at=now)
    ask("newest", 0, "tiktok")
    ask("oldest", 2000, "youtube")
    (home.path / "inbox").mkdir()
    for name in ("calendar.yaml", "inbox/calendar.yaml", "inbox/b.json"):
        (home.path / name).write_text(name)
    shell(home, tmp_path, lines("Hold back what may be posted"))
    stored = {video: database.get(video) for video in ("newest", "oldest", "local-0", "local-1000")}
    assert {video: one and one.wanted for video, one in stored.items()} == {
        "newest": False,
        "oldest": False,
        "local-0": True,
        "local-1000": True,
    }
    assert list((home.path / "inbox").iterdir()) == []
    for name in ("calendar.yaml", "inbox/calendar.yaml", "inbox/b.json"):
        assert (home.path / "aside" / name).read_text() == name


@pytest.mark.postgres
def test_a_home_on_postgres_is_restored_into_another_database(home: Home, postgres: str, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    home.variables["CM_DATABASE_URL"] = new_database(postgres)
    process = home.start("up", "--port", "0", "--web-port", "0")
    assert home.run("submit", home.request(id="done")).returncode == 0
    assert until(lambda: home.told("done")["state"] == "published", 300, 0.5)
    assert home.run("submit", home.request(id="open", scenes=LONG)).returncode == 0
    assert until(lambda: called("ffmpeg", home.processes()), 300, 0.1)
    shell(home, backup, lines("On Postgres"))
    then = listed(home)
    process.send_signal(signal.SIGKILL)
    home.kill_everything(process)
    restored = Home(tmp_path / "elsewhere", {"CM_DATABASE_URL": new_database(postgres)})
    restored.folder.mkdir()
    try:
        shell(restored, backup, lines("Restore on Postgres") + "\n" + lines("Hold back what may be posted"))
        now = listed(restored)
        assert now.keys() == then.keys()
        assert same(now["done"]) == same(then["done"])
        ends_well(restored, "open")
    finally:
        restored.kill_everything()


def test_what_a_backup_needs_is_named(tmp_path: Path) -> None:
    for arguments, words in ((["/no/such/home", str(tmp_path)], "is no folder"), ([], "HOME FOLDER")):
        command = [sys.executable, "deploy/backup/backup.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert words in done.stderr
