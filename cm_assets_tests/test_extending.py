"""`docs/extending.md` is true: what it shows is taken from the page, registered by its line, and used."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cm_assets.engines.speech.catalogue import ENGINES, engines
from cm_assets.engines.speech.chain import tell
from cm_assets.engines.speech.setup import Setup
from cm_assets_tests.emulators.webdav_server import PASSWORD, WebDavServer
from cm_assets_tests.posting import SIZE

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def blocks(section: str) -> list[str]:
    """The Python blocks of a section of the page, in order."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's voice, in its place; its name."""
    code, line = blocks("Adding a voice")
    registered: dict[str, str] = ast.literal_eval(f"{{{line}}}")
    ((name, module),) = registered.items()
    path = tmp_path / "voice.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module, loaded)
    spec.loader.exec_module(loaded)
    monkeypatch.setitem(ENGINES, name, module)
    return name


def test_the_page_shows_a_whole_voice_in_less_than_sixty_lines() -> None:
    code, line = blocks("Adding a voice")
    assert len(code.splitlines()) < 60
    assert len(line.splitlines()) == 1


def test_the_pages_voice_speaks_a_narration(voice: str) -> None:
    told = tell(
        ("Hello from the docs.", "It works, 100 %."),
        engines([voice, "hibari"], Setup()),
        voice=f"{voice}:low",
        speed=1.5,
        language="en",
        preferred={},
        progress=lambda _share: None,
        comes_back=lambda _failure: False,
        time_limit=60,
    )
    assert (told.engine, told.voice, told.passed_over) == (voice, "low", ())
    assert told.narration.timing == "model"
    assert [[word.text for word in scene.words] for scene in told.narration.scenes] == [
        ["Hello", "from", "the", "docs."],
        ["It", "works,", "100", "%."],
    ]
    # The tone is heard from the beginning of the first word.
    first = told.narration.scenes[0].words[0].start
    heard = np.flatnonzero(np.abs(told.narration.samples) > 0.05)[0] / 48_000
    assert heard == pytest.approx(first, abs=0.05)


def test_a_voice_by_another_name_is_stood_in_for(voice: str) -> None:
    told = tell(
        ("Hello from the docs.",),
        engines([voice], Setup()),
        voice="af_heart",
        speed=1.0,
        language="de",
        preferred={},
        progress=lambda _share: None,
        comes_back=lambda _failure: False,
        time_limit=60,
    )
    assert told.voice == "high"


def checkout_with_the_pages_platform(folder: Path) -> Path:
    """A copy of the package, with the page's file and line in their places."""
    code, line = blocks("Adding a platform")
    package = folder / "cm_assets"
    shutil.copytree(PAGE.parent.parent / "cm_assets", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "engines" / "platforms" / "webdav.py").write_text(code)
    policies = package / "policies.py"
    changed, count = re.subn(r"^PLATFORMS: Final = .*$", line.strip(), policies.read_text(), flags=re.MULTILINE)
    assert count == 1
    policies.write_text(changed)
    return folder


USE = """
import sys
from cm_assets.definitions import build_defs
from cm_assets.models.base import Failure
from cm_assets.settings import Settings
from cm_assets_tests.posting import Place
from pathlib import Path

import cm_assets
home = Path(sys.argv[1])
assert Path(cm_assets.__file__).is_relative_to(home.parent), cm_assets.__file__
defs = build_defs(Settings(home=home))
assert "published_post/webdav" in {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
place = Place(home)
for _ in range(3):
    try:
        post = place.publish("webdav")
        print("posted")
    except Failure as failure:
        print(type(failure).__name__, failure)
if "down" in sys.argv:
    with place.platform("webdav") as webdav:
        webdav.take_down(post)
        webdav.take_down(post)
"""


def test_the_pages_platform_is_an_asset_and_posts_once(tmp_path: Path) -> None:
    code, line = blocks("Adding a platform")
    assert len(code.splitlines()) < 60
    assert len(line.splitlines()) == 1
    (tmp_path / "home").mkdir()
    with WebDavServer() as server:
        server.refusals = [503]
        checkout = checkout_with_the_pages_platform(tmp_path)

        def use(*more: str) -> list[str]:
            done = subprocess.run(
                [sys.executable, "-c", USE, str(tmp_path / "home"), *more],
                cwd=checkout,
                env=os.environ
                | {
                    "PYTHONPATH": f"{tmp_path}:{PAGE.parent.parent}",
                    "WEBDAV_URL": server.url,
                    "WEBDAV_PASSWORD": PASSWORD,
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()

        assert use() == ["TransientFailure the WebDAV server answers 503", "posted", "posted"]
        assert set(server.files) == {"/videos/v.mp4"}
        assert len(server.files["/videos/v.mp4"]) == SIZE
        assert use("down") == ["posted"] * 3
        assert server.files == {}
