"""What the doctor says of the sources of footage."""

from pathlib import Path
from typing import Any

import pytest

from cm_assets.cli_doctor import Finding, examine
from cm_assets.settings import Settings
from cm_assets_tests.emulators.pexels_server import PexelsServer


def footage(home: Path, **settings: Any) -> Finding:
    (one,) = [finding for finding in examine(Settings(home=home, **settings)) if finding.name == "footage"]
    return one


def lines(finding: Finding) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in finding.said.splitlines())


def test_each_source_says_what_it_needs(tmp_path: Path) -> None:
    found = footage(tmp_path)
    assert found.fine
    said = lines(found)
    assert list(said) == ["illustrated", "folder", "pexels", "pixabay"]
    assert "set CM_FOOTAGE_FOLDER" in said["folder"]
    assert "set PEXELS_API_KEY" in said["pexels"]
    assert "set PIXABAY_API_KEY" in said["pixabay"]


def test_a_named_source_without_its_key_is_wrong(tmp_path: Path) -> None:
    found = footage(tmp_path, footage="pexels,illustrated")
    assert not found.fine
    assert lines(found)["pexels"] == "has no key: set PEXELS_API_KEY, or take pexels out of CM_FOOTAGE"
    assert "and name pixabay in CM_FOOTAGE" in lines(found)["pixabay"]


def test_a_source_that_does_not_answer_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEXELS_API_KEY", "secret")
    with PexelsServer() as server:
        found = footage(tmp_path, pexels_url=server.search_url)
        assert found.fine
        assert lines(found)["pexels"] == f"has a key; {server.url}"
    found = footage(tmp_path, pexels_url=server.search_url)
    assert not found.fine
    assert "nothing answers at 127.0.0.1" in found.said
    assert "secret" not in found.said
