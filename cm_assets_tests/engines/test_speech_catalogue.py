"""Voices are known by name before anything is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from cm_assets.engines.speech.catalogue import engine_for, engines, voices
from cm_assets.models.base import PermanentFailure


def test_the_first_engine_that_has_a_voice_speaks_it(tmp_path: Path) -> None:
    model = tmp_path / "kokoro.onnx"
    model.touch()
    assert engine_for("af_heart", ["hibari", "kokoro"], kokoro_model=model).name == "hibari"
    assert engine_for("af_heart", ["kokoro", "hibari"], kokoro_model=model).name == "kokoro"
    assert engine_for("am_michael", ["hibari", "kokoro"], kokoro_model=model).name == "kokoro"


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(PermanentFailure, match="CM_KOKORO_MODEL: there is no file"):
        engine_for("af_heart", ["kokoro"], kokoro_model=Path("/nowhere/kokoro.onnx"))


def test_an_unknown_voice_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PermanentFailure, match=r"voice: 'nobody' is not installed; installed: af_heart"):
        engine_for("nobody", ["hibari"])


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(PermanentFailure, match="CM_VOICES: nonsense is unknown; known: hibari, kokoro"):
        engines(["hibari", "nonsense"])


def test_voices_are_described() -> None:
    assert voices(["hibari"]) == {"af_heart": "American English, female, warm (hibari)"}


def test_listing_voices_loads_no_model() -> None:
    script = (
        "import sys\nfrom cm_assets.engines.speech.catalogue import voices\nassert voices(['hibari', 'kokoro'])\n"
        "assert not {'onnxruntime', 'hibari', 'pocketsphinx'} & sys.modules.keys(), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
