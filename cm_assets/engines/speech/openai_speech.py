"""Voice `openai_speech`: OpenAI's speech endpoint, or any server that speaks its protocol, such as Kokoro-FastAPI.

httpx and not OpenAI's client: Kokoro-FastAPI's word times are beside that protocol, an answer must be bounded while it
comes, and the client takes three times as long to import.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from cm_assets.engines.speech import remote
from cm_assets.engines.speech.passages import joined, passages
from cm_assets.engines.speech.reading import read
from cm_assets.engines.speech.setup import Setup
from cm_assets.engines.speech.speaking import silence
from cm_assets.engines.speech.timing import Told, reconciled, timed
from cm_assets.models.audio import Speech
from cm_assets.models.base import SAMPLE_RATE, Failure, PermanentFailure, TransientFailure
from cm_assets.models.protocols import Voice

SERVICE = "the speech server"

OPENAI = "https://api.openai.com/v1"

VOICES: Mapping[str, str] = {
    "nova": "any language, female, bright",
    "shimmer": "any language, female, soft",
    "coral": "any language, female, friendly",
    "sage": "any language, female, calm",
    "alloy": "any language, neutral",
    "ash": "any language, male, clear",
    "echo": "any language, male, even",
    "onyx": "any language, male, deep",
    "fable": "any language, male, British",
    "ballad": "any language, male, gentle",
    "verse": "any language, male, lively",
    "marin": "any language, female, natural",
    "cedar": "any language, male, natural",
}
"""OpenAI's own, as its guide to text-to-speech lists them; `tts-1` has all but the last four."""

LIMIT = 1500
"""Characters of one call. OpenAI takes 4096; a shorter passage sounds as well, is cheaper to lose, and its words are
found sooner, since that takes time with the square of its length."""

_FORMATS = ("flac", "mp3", "wav")
"""What is asked for, the best first: FLAC loses nothing and is checked frame by frame, while streamed WAV carries
sizes that are not true. A server that does not know the first is asked for the next."""

_KOKORO = {
    "a": "American English",
    "b": "British English",
    "e": "Spanish",
    "f": "French",
    "h": "Hindi",
    "i": "Italian",
    "j": "Japanese",
    "p": "Portuguese",
    "z": "Chinese",
}
"""What the first letter of Kokoro's voices means, which is also the code of the language for its server."""

_KOKORO_CODES = {"es": "e", "fr": "f", "hi": "h", "it": "i", "ja": "j", "pt": "p", "zh": "z"}


class OpenAISpeech:
    """Speaks through `POST {base}/audio/speech`.

    Where the server has Kokoro-FastAPI's `/dev/captioned_speech`, its word times are taken; else the words are found in
    the recording.
    """

    name = "openai_speech"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._key = setup.speech_key.strip()
        self._base = (setup.speech_url.strip() or OPENAI).rstrip("/")
        self._own = remote.is_address(self._base) and urlsplit(self._base).hostname == urlsplit(OPENAI).hostname
        self._captions = not self._own
        self._formats = list(_FORMATS)
        self._kept = remote.Kept(setup.cache)
        self.sent = 0

    def voices(self) -> Mapping[str, str]:
        """Those that are known without asking the server."""
        own = {self._setup.speech_voice: describe(self._setup.speech_voice)} if self._setup.speech_voice else {}
        return {**own, **VOICES}

    def offered(self) -> Mapping[str, str]:
        """The voices of the server, as it lists them; OpenAI's are known, and empty is one that does not list its own.

        Raises:
            Failure: it does not answer, or refuses the key.
        """
        self._check_settings()
        if self._own:
            return VOICES
        answer = self._ask("GET", f"{self._base}/audio/voices", most=1_000_000)
        if answer.status == 401:
            raise self._refusal(answer)
        try:
            listed = json.loads(answer.body)["voices"] if answer.response.is_success else []
            names = [one.get("id") or one.get("name") if isinstance(one, dict) else one for one in listed[:1000]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {}
        return {name: describe(name) for name in names if isinstance(name, str) and 0 < len(name) <= 200}

    def reach(self) -> str:
        """Where the server is, found out by asking for its models, which costs nothing.

        Raises:
            Failure: it does not answer, or refuses the key.
        """
        self._check_settings()
        answer = self._ask("GET", f"{self._base}/models", most=1_000_000)
        if answer.status in {401, 403}:
            raise self._refusal(answer)
        if answer.status >= 500:
            raise TransientFailure(f"answers {answer.status}")
        parts = urlsplit(self._base)
        return (
            f"{self._setup.speech_model} at {parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        )

    def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
        """The text spoken; see `models.protocols.Voice`.

        Raises:
            Failure: one of its three classes.
        """
        self._check_settings()
        readings = read(text)
        if not any(reading.spoken for reading in readings):
            return silence(readings)
        said = [(passage, self._passage(passage.text, voice, speed, language)) for passage in passages(text, LIMIT)]
        return joined(text, said, speed)

    def _passage(self, text: str, voice: str, speed: float, language: str) -> Speech:
        plain: dict[str, Any] = {"model": self._setup.speech_model, "input": text, "voice": voice, "speed": speed}
        code = _KOKORO_CODES.get(language.split("-", maxsplit=1)[0].lower())
        captioned = plain | {"stream": False, "return_timestamps": True} | ({"lang_code": code} if code else {})
        captions_url = f"{self._base.removesuffix('/v1')}/dev/captioned_speech"
        speech_url = f"{self._base}/audio/speech"
        # Counted once, though finding out what a server knows may take several calls, and not at all for what is kept:
        # else a tight limit would have each attempt use its calls up for the same questions.
        count = _once(lambda: self._setup.before_call(self.name))
        for url, question, parse in (
            (captions_url, captioned, self._read),
            (speech_url, plain, self._timed),
        ):
            for name in _FORMATS:
                key = remote.key_of(url, {**question, "response_format": name})
                if (speech := self._kept.recall(key, partial(parse, asked=plain, language=language))) is not None:
                    return speech
        if self._captions:
            try:
                content, key = self._call(captions_url, captioned, count)
            except PermanentFailure:
                content, key = b"", ""
            if (speech := self._read(content, plain, language)) is not None:
                self._kept.put(key, content)
                return speech
            # It has no such thing. If anything else is wrong, the plain endpoint says it.
            self._captions = False
        content, key = self._call(speech_url, plain, count)
        speech = self._timed(content, plain, language)
        self._kept.put(key, content)
        return speech

    def _read(self, content: bytes, asked: Mapping[str, Any], language: str) -> Speech | None:
        """A captioned answer as speech; None if it is none."""
        try:
            document = json.loads(content)
            recording = base64.b64decode(document["audio"], validate=True)
            told = _told(document.get("timestamps"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return self._timed(recording, asked, language, told)

    def _timed(self, recording: bytes, asked: Mapping[str, Any], language: str, told: Sequence[Told] = ()) -> Speech:
        """A recording as speech: by the server's own times, if they are of the text's words."""
        text = asked["input"]
        samples = remote.judged(recording, text, asked["speed"], SERVICE)
        words = reconciled(text, told, len(samples) / SAMPLE_RATE)
        if words is not None:
            return Speech(samples, SAMPLE_RATE, words, "model")
        return Speech(samples, SAMPLE_RATE, *timed(text, samples, SAMPLE_RATE, language))

    def _call(self, url: str, question: Mapping[str, Any], count: Callable[[], None]) -> tuple[bytes, str]:
        """An answer and what it is kept under, in the best format that the server knows."""
        text = question["input"]
        most = remote.most_bytes(text, question["speed"])
        while True:
            asked = {**question, "response_format": self._formats[0]}
            count()
            answer = self._ask("POST", url, most=most, json=asked)
            if answer.response.is_success:
                self.sent += len(text)
                return answer.body, remote.key_of(url, asked)
            if answer.status in {400, 415, 422} and "format" in answer.said and len(self._formats) > 1:
                del self._formats[0]
                continue
            raise self._refusal(answer)

    def _ask(self, method: str, url: str, *, most: int, **request: Any) -> remote.Answer:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        patience = min(self._setup.patience, remote.LISTING) if method == "GET" else self._setup.patience
        return remote.call(method, url, SERVICE, most=most, patience=patience, headers=headers, **request)

    def _refusal(self, answer: remote.Answer) -> Failure:
        from cm_assets.engines.http import failure_of

        # What a server says may repeat the key that it was sent.
        said = answer.said.replace(self._key, "***") if self._key else answer.said
        if answer.status == 402 or answer.code == "insufficient_quota":
            return PermanentFailure("the speech server's account has no credit left: add some, or set another key")
        advice = {
            401: "refuses the key: set CM_SPEECH_API_KEY (or OPENAI_API_KEY) to a valid one",
            403: "does not let this key speak: check CM_SPEECH_API_KEY and CM_SPEECH_MODEL",
            404: f"has no model {self._setup.speech_model!r}, or lies elsewhere: check CM_SPEECH_MODEL and "
            "CM_SPEECH_BASE_URL, which often ends in /v1",
        }.get(answer.status)
        if advice:
            return PermanentFailure(f"{SERVICE} {advice}")
        return failure_of(answer.response, SERVICE, said)

    def _check_settings(self) -> None:
        if not self._setup.speech_url and not self._key:
            raise PermanentFailure(
                "no speech server is configured: set CM_SPEECH_BASE_URL, or CM_SPEECH_API_KEY or "
                "OPENAI_API_KEY for OpenAI's"
            )
        if not remote.is_address(self._base):
            raise PermanentFailure("CM_SPEECH_BASE_URL is no address: set it to one such as http://localhost:8880/v1")
        if not re.fullmatch(r"[!-~]*", self._key):
            raise PermanentFailure("CM_SPEECH_API_KEY has characters that no key has: set it again")


def engine(setup: Setup) -> Voice:
    """The engine for an installation."""
    return OpenAISpeech(setup)


def describe(voice: str) -> str:
    """A voice for people, as far as its name tells: those of Kokoro begin with language and gender."""
    if voice in VOICES:
        return VOICES[voice]
    match = re.match(r"([abefhijpz])([fm])_", voice)
    if match is None:
        return "any language"
    return f"{_KOKORO[match[1]]}, {'female' if match[2] == 'f' else 'male'}"


def _once(act: Callable[[], None]) -> Callable[[], None]:
    """Does it at the first call only."""
    done = False

    def once() -> None:
        nonlocal done
        if not done:
            act()
            done = True

    return once


def _told(timestamps: object) -> list[Told]:
    """Kokoro-FastAPI's words.

    Raises:
        ValueError, TypeError, KeyError: they are not of the documented shape.
    """
    if not isinstance(timestamps, list):
        return []
    return [Told(str(one["word"]), float(one["start_time"]), float(one["end_time"])) for one in timestamps]
