"""Voice `opentts`: an OpenTTS server, which has many engines and languages behind one address and no key."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from cm_assets.engines.speech import remote
from cm_assets.engines.speech.casting import LANGUAGES
from cm_assets.engines.speech.passages import joined, passages
from cm_assets.engines.speech.reading import read
from cm_assets.engines.speech.setup import Setup
from cm_assets.engines.speech.speaking import silence
from cm_assets.engines.speech.timing import timed
from cm_assets.media.recordings import stretched
from cm_assets.models.audio import Speech, Word
from cm_assets.models.base import SAMPLE_RATE, PermanentFailure, TransientFailure
from cm_assets.models.protocols import Voice

SERVICE = "OpenTTS"

LIMIT = 3000
"""Bytes of a text in an address: web servers take 4 to 8 kB of one line."""

_ROBOTIC = frozenset({"espeak", "flite", "festival", "nanotts", "marytts"})
"""Systems whose voices are not chosen as long as there is another one for the language."""


class OpenTTS:
    """Speaks through `GET {base}/api/tts`.

    OpenTTS speaks at one pace: another speed is made of its recording, at the same pitch.
    """

    name = "opentts"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._base = setup.opentts_url.strip().rstrip("/")
        self._kept = remote.Kept(setup.cache)
        self._listed: Mapping[str, str] | None = None
        self.sent = 0

    def voices(self) -> Mapping[str, str]:
        """The one of the settings; the others, its server knows."""
        return {self._setup.opentts_voice: "of CM_OPENTTS_VOICE"} if self._setup.opentts_voice else {}

    def offered(self) -> Mapping[str, str]:
        """The voices of the server, as `system:voice`, the natural ones first.

        Raises:
            Failure: it does not answer.
        """
        if self._listed is None:
            answer = self._ask("/api/voices", most=5_000_000)
            try:
                document = json.loads(answer.body)
                listed = {
                    name: _described(one)
                    for name, one in document.items()
                    if isinstance(one, dict) and isinstance(one.get("language"), str) and 0 < len(name) <= 200
                }
            except (ValueError, AttributeError, RecursionError):
                raise PermanentFailure("CM_OPENTTS_URL: what answers there is not OpenTTS: check it") from None
            if not listed:
                raise PermanentFailure("CM_OPENTTS_URL: what answers there lists no voices: check it")
            self._listed = dict(sorted(listed.items(), key=lambda item: item[0].partition(":")[0] in _ROBOTIC))
        return self._listed

    def reach(self) -> str:
        """Where the server is, found out by asking for its voices.

        Raises:
            Failure: it does not answer.
        """
        self.offered()
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"

    def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
        """The text spoken; see `models.protocols.Voice`.

        Raises:
            Failure: one of its three classes.
        """
        readings = read(text)
        if not any(reading.spoken for reading in readings):
            return silence(readings)
        # An unknown voice is an internal error to the server, as a passing fault would be. What follows the name,
        # `#speaker` or `;quality`, is in no list.
        known = self.offered()
        if voice.partition("#")[0].partition(";")[0] not in {name.partition("#")[0] for name in known}:
            raise PermanentFailure(f"voice: OpenTTS has no {voice!r}; cm doctor lists what it has")
        said = [
            (passage, self._passage(passage.text, voice, speed, language))
            for passage in passages(text, LIMIT, size=lambda part: len(quote(part)))
        ]
        return joined(text, said, speed)

    def _passage(self, text: str, voice: str, speed: float, language: str) -> Speech:
        key = remote.key_of(f"{self._base}/api/tts", {"voice": voice, "text": text})
        samples = self._kept.recall(key, lambda content: remote.judged(content, text, 1.0, SERVICE))
        if samples is None:
            self._setup.before_call(self.name)
            most = remote.most_bytes(text, 1.0)
            content = self._ask("/api/tts", most=most, params={"voice": voice, "text": text}).body
            self.sent += len(text)
            samples = remote.judged(content, text, 1.0, SERVICE)
            self._kept.put(key, content)
        # Words are found at the voice's own pace, where it is least hurried, and move with the sound.
        words, timing = timed(text, samples, SAMPLE_RATE, language)
        played = stretched(samples, speed)
        scale = len(played) / len(samples)
        moved = tuple(Word(text=word.text, start=word.start * scale, end=word.end * scale) for word in words)
        return Speech(played, SAMPLE_RATE, moved, timing)

    def _ask(self, path: str, *, most: int, **request: Any) -> remote.Answer:
        from cm_assets.engines.http import failure_of

        if not self._base:
            raise PermanentFailure("no server is configured: set CM_OPENTTS_URL, as http://localhost:5500")
        if not remote.is_address(self._base):
            raise PermanentFailure("CM_OPENTTS_URL is no address: set it to one such as http://localhost:5500")
        patience = self._setup.patience if request else min(self._setup.patience, remote.LISTING)
        answer = remote.call("GET", self._base + path, SERVICE, most=most, patience=patience, **request)
        if answer.status == 404:
            raise PermanentFailure("CM_OPENTTS_URL: what answers there is not OpenTTS: check it")
        if not answer.response.is_success:
            raise failure_of(answer.response, SERVICE, answer.said)
        if not answer.body:
            raise TransientFailure("OpenTTS sent nothing")
        return answer


def engine(setup: Setup) -> Voice:
    """The engine for an installation."""
    return OpenTTS(setup)


def _described(listed: Mapping[str, Any]) -> str:
    """A voice of the list for people."""
    language = listed["language"][:20]
    gender = {"F": "female", "M": "male"}.get(str(listed.get("gender") or "").upper(), "")
    accent = {"en-us": "American", "en-gb": "British"}.get(str(listed.get("locale") or "").lower().replace("_", "-"))
    spoken = LANGUAGES.get(language.split("-")[0].lower(), language)
    parts = (f"{accent} {spoken}" if accent else spoken, gender, str(listed.get("name") or "")[:40])
    return ", ".join(part for part in parts if part)
