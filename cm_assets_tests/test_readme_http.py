"""The README's section "Over HTTP" is true: each of its lines is run by a shell against a real `cm up`."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from cm_assets_tests.conftest import Home, until
from cm_assets_tests.serving import Served, serving

pytestmark = pytest.mark.live

README = Path(__file__).parent.parent / "README.md"

ADDRESS = "http://127.0.0.1:8080"


def lines() -> list[str]:
    """The section's commands, in order."""
    (text,) = re.findall(r"^## Over HTTP\n(.*?)(?=^## )", README.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^    (.+)$", text, re.MULTILINE)


def shell(served: Served, line: str) -> subprocess.Popen[str]:
    assert ADDRESS in line
    return subprocess.Popen(
        ["bash", "-c", f"set -eo pipefail; {line.replace(ADDRESS, served.url)}"],
        cwd=served.home.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], seconds: float = 60) -> str:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, out + err
    return out


def test_each_line_of_the_section_works(home: Home) -> None:
    submit, follow, load, approve = lines()
    with serving(home) as served:
        assert '"id":"coffee"' in said(shell(served, submit))
        assert '"repeated":true' in said(shell(served, submit))
        following = shell(served, follow)
        waiting = served.reaches("coffee", "awaiting_review")
        said(shell(served, load))
        video = home.folder / "coffee.mp4"
        whole = video.read_bytes()
        assert hashlib.sha256(whole).hexdigest() == waiting["render_sha256"]
        # And what is missing of it.
        video.write_bytes(whole[:50_000])
        said(shell(served, load))
        assert video.read_bytes() == whole
        assert '"id":"coffee"' in said(shell(served, approve))
        events = said(following)
        assert '"state":"awaiting_review"' in events
        assert '"state":"published"' in events
        assert until(lambda: served.get("/videos/coffee")["state"] == "published", 5)
