"""`docs/extending.md` is true: what it shows is taken from the page, registered by its line, and used."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from cm_assets.engines.speech.catalogue import ENGINES, engines
from cm_assets.engines.speech.chain import tell
from cm_assets.engines.speech.setup import Setup

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
