"""Reload in Dagster's UI: an edited asset is what it shows; code that does not load changes nothing."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import cm_assets
from cm_assets_tests.conftest import SHORT, Home, Up, until
from cm_assets_tests.test_live import latest

pytestmark = pytest.mark.live

RELOAD = """
mutation { reloadRepositoryLocation(repositoryLocationName: "cm_assets") { __typename } }
"""
BRIEF = """
{ assetNodeOrError(assetKey: {path: ["brief"]}) { ... on AssetNode { description } } }
"""
CONFIG = {"ops": {"brief": {"config": {"request": SHORT}}}}


@pytest.fixture
def copied(home: Home) -> Iterator[tuple[Up, Path]]:
    """`cm up` of a copy of the package that may be edited, and the file of its first asset."""
    package = home.folder / "cm_assets"
    shutil.copytree(Path(cm_assets.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    home.variables["PYTHONPATH"] = str(home.folder)
    process = home.start("up", "--port", "0", "--web-port", "0")
    try:
        assert until(lambda: "http://" in home.log(), 120), home.log()
        url = next(word for word in home.log().split() if word.startswith("http://"))
        yield Up(home, url), package / "assets" / "brief.py"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def described(up: Up) -> str:
    """What the UI says of the asset after a click on Reload."""
    assert up.graphql(RELOAD)["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    return str(up.graphql(BRIEF)["assetNodeOrError"]["description"])


def test_an_edited_asset_is_what_the_ui_shows_and_the_next_run_does(copied: tuple[Up, Path]) -> None:
    up, file = copied
    assert described(up).startswith("What was asked for.")
    edit(file, '"What was asked for. ', '"What somebody would like. ')
    edit(file, '"voice": request.voice,', '"voice": request.voice, "edited": "yes",')
    assert until(lambda: described(up).startswith("What somebody would like."), 90, 0.5)
    assert up.add("after-the-edit") == "AddDynamicPartitionSuccess"
    run = up.ended(up.launch("produce_video", "after-the-edit", CONFIG, ["brief"]))
    assert run["status"] == "SUCCESS"
    assert latest(up, "brief", "after-the-edit")["metadata"]["edited"] == "yes"

    log = up.home.path / "engine" / "engine.log"
    edit(file, "def brief(", "def brief brief(")
    assert until(lambda: "does not load" in log.read_text(), 90, 0.5)
    assert described(up).startswith("What somebody would like.")
    edit(file, "def brief brief(", "def brief(")
    edit(file, '"What somebody would like. ', '"What is wanted. ')
    assert until(lambda: described(up).startswith("What is wanted."), 90, 0.5)
