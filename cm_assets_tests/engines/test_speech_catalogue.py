"""Voices are known by name before anything is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from cm_assets.engines.speech.catalogue import described, engines, known_voices
from cm_assets.engines.speech.setup import Setup
from cm_assets.models.base import PermanentFailure

ALL = ["openai_speech", "opentts", "kokoro", "hibari"]


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(PermanentFailure, match="CM_KOKORO_MODEL: there is no file"):
        known_voices(engines(["kokoro"], Setup(Path("/nowhere/kokoro.onnx"))))


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(PermanentFailure, match="CM_VOICES: nonsense is unknown; known: hibari, kokoro"):
        engines(["hibari", "nonsense"], Setup())


def test_voices_are_described_by_the_first_engine_that_has_them() -> None:
    assert described(engines(["hibari"], Setup())) == {"af_heart": "American English, female, warm (hibari)"}


def test_a_server_may_have_voices_that_are_not_known_here() -> None:
    known = known_voices(engines(["hibari", "openai_speech", "opentts"], Setup(opentts_voice="larynx:harvard")))
    assert known == {"hibari": ("af_heart",), "openai_speech": None, "opentts": None}


def test_listing_voices_loads_no_model_and_no_client() -> None:
    script = (
        "import sys\nfrom cm_assets.engines.speech.catalogue import described, engines\n"
        "from cm_assets.engines.speech.setup import Setup\n"
        f"assert 'nova' in described(engines({ALL}, Setup()))\n"
        "assert not {'onnxruntime', 'hibari', 'pocketsphinx', 'httpx', 'av'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
