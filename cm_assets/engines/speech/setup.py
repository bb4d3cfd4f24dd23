"""What voice engines need to know of an installation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cm_assets.models.base import Seconds

PATIENCE: Seconds = 120.0
"""Seconds that a server may be silent: one on a slow CPU takes as long for a passage as the passage is."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Where voices are, and who counts their calls.

    Attributes:
        kokoro_model: path of Kokoro's weights, if they are not those of its package.
        speech_url: of an OpenAI-compatible speech server; OpenAI's own if empty.
        speech_key: for it.
        speech_model: its model.
        speech_voice: what it speaks with where a request's voice is not one of its own.
        opentts_url: of an OpenTTS server.
        opentts_voice: what it speaks with where a request's voice is not one of its own.
        cache: folder for what servers have spoken, so that nothing is paid twice; None for none.
        before_call: called with an engine's name before each text that its server is to speak; may raise AskedToWait.
        patience: seconds that a server may be silent.
    """

    kokoro_model: Path | None = None
    speech_url: str = field(default="", repr=False)
    speech_key: str = field(default="", repr=False)
    speech_model: str = "tts-1"
    speech_voice: str = ""
    opentts_url: str = field(default="", repr=False)
    opentts_voice: str = ""
    cache: Path | None = None
    before_call: Callable[[str], None] = lambda _service: None
    patience: Seconds = PATIENCE
