"""Speech servers on loopback whose words are known: OpenAI's endpoint, Kokoro-FastAPI's additions to it, and OpenTTS.

As documented: OpenAI at https://platform.openai.com/docs/api-reference/audio/createSpeech (the key, 4096 characters,
speeds 0.25 to 4, the formats, errors as JSON); Kokoro-FastAPI in its README and routers (`/dev/captioned_speech`
beside `/v1`, `/v1/audio/voices`, models and voices refused with `detail`); OpenTTS in its README (`GET /api/tts`,
`GET /api/voices`, errors as text with status 500). They speak with hibari, so that recordings are real and the time of
each word is known. Faults are answered in the order given, one a call that speaks; after the last, it works.

    with SpeechServer(faults=[RATE_LIMITED, SILENT]) as server:
        OpenAISpeech(Setup(speech_url=server.base_url, speech_key=server.key))
"""

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import numpy as np

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.models.audio import Speech
from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

FORMATS = {
    "mp3": ("audio/mpeg", "mp3", "libmp3lame"),
    "flac": ("audio/flac", "flac", "flac"),
    "wav": ("audio/wav", "wav", "pcm_s16le"),
    "opus": ("audio/opus", "ogg", "libopus"),
    "aac": ("audio/aac", "adts", "aac"),
    "pcm": ("audio/pcm", "s16le", "pcm_s16le"),  # without a head: 24 kHz, 16 bits, little end first
}
OPENAI_VOICES = ("alloy", "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer")
KOKORO_VOICES = ("af_bella", "af_heart", "am_adam", "bf_emma", "bm_george", "ef_dora", "em_alex", "ff_siwis")
OPENTTS_VOICES: Mapping[str, Mapping[str, Any]] = {
    "espeak:de": {"id": "de", "name": "de", "gender": "M", "language": "de", "locale": "de", "tts_name": "espeak"},
    "espeak:en": {"id": "en", "name": "en", "gender": "M", "language": "en", "locale": "en-gb", "tts_name": "espeak"},
    "larynx:harvard": {
        "id": "harvard",
        "name": "harvard",
        "gender": "F",
        "language": "en",
        "locale": "en-us",
        "tts_name": "larynx",
        "multispeaker": False,
        "speakers": None,
    },
    "larynx:thorsten": {
        "id": "thorsten",
        "name": "thorsten",
        "gender": "M",
        "language": "de",
        "locale": "de-de",
        "tts_name": "larynx",
    },
}


@dataclass(frozen=True)
class Fault:
    """One answer that is not the usual one.

    With a status, an error as the service words it. Without: a recording that is changed, or whose sending goes wrong.
    """

    status: int = 200
    message: str = "The server had an error while processing your request."
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    kind: str | None = None
    delay: float = 0
    reset: bool = False
    silent: bool = False
    keep: float = 1
    breaks: bool = False
    stretch: float = 1
    drip: bool = False
    endless: bool = False
    times: bool = True


RATE_LIMITED = Fault(429, "Rate limit reached", "rate_limit_exceeded", {"Retry-After": "0.2"})
COME_BACK_TOMORROW = Fault(429, "Daily limit reached", "rate_limit_exceeded", {"Retry-After": "80000"})
BUSY = Fault(429, "Rate limit reached", "rate_limit_exceeded")
NO_QUOTA = Fault(429, "You exceeded your current quota", "insufficient_quota", {"Retry-After": "5"})
SERVER_ERROR = Fault(500)
OVERLOADED = Fault(503)
RESET = Fault(reset=True)
"""The connection is reset half-way through the recording."""
WRONG_TYPE = Fault(kind="text/html")
"""A recording that calls itself a page."""
TRUNCATED = Fault(keep=0.45)
"""A recording that says less than half of the text, and is whole as a file."""
BROKEN_OFF = Fault(breaks=True)
"""A recording that lacks its last words and ends in the middle of a vowel."""
CUT_FILE = Fault(keep=-0.5)
"""A file without its second half."""
SILENT = Fault(silent=True)
JSON_ERROR = Fault(body=b'{"error": {"message": "no worker"}}', kind="audio/mpeg")
PAGE = Fault(body=b"<!doctype html><title>Welcome to nginx!</title>", kind="text/html")
EMPTY = Fault(body=b"")
TOO_LONG = Fault(stretch=40)
DRIP = Fault(drip=True)
ENDLESS = Fault(endless=True)
NO_TIMES = Fault(times=False)


def slow(seconds: float) -> Fault:
    """An answer that takes its time to begin."""
    return Fault(delay=seconds)


@dataclass(frozen=True)
class Asked:
    """A call that speaks, or that tried to; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class SpeechServer(LoopbackServer):
    """The server, running while in use as a context manager.

    Attributes:
        key: what callers must send; None takes anything.
        listed: what it says when it is asked for its voices, instead of the truth.
        kokoro: whether it has Kokoro-FastAPI's additions, and its voices and models.
        formats: what it can send.
        asked: calls that speak, in order.
        said: what was spoken for each text, before any fault.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        key: str | None = None,
        kokoro: bool = False,
        captions: bool = True,
        formats: Iterable[str] = FORMATS,
        models: Iterable[str] = ("tts-1", "tts-1-hd", "kokoro"),
        endless_header: bool = False,
        listed: str | None = None,
    ) -> None:
        super().__init__(_Handler)
        self.base_url = f"{self.address}/v1"
        self.faults = list(faults)
        self.key = key
        self.kokoro = kokoro
        self.captions = kokoro and captions
        self.formats = frozenset(formats)
        self.models = frozenset(models)
        self.endless_header = endless_header
        self.listed = listed
        self.asked: list[Asked] = []
        self.seen: list[str] = []
        self.said: dict[str, Speech] = {}

    @property
    def voices(self) -> tuple[str, ...]:
        """Those it speaks with; Kokoro-FastAPI knows OpenAI's names too."""
        return (*KOKORO_VOICES, *OPENAI_VOICES) if self.kokoro else OPENAI_VOICES

    def take(self, asked: Asked) -> Fault:
        """Note a call that speaks; what to do with it."""
        with self.lock:
            self.asked.append(asked)
            return self.faults.pop(0) if self.faults else Fault()

    def speech(self, text: str, speed: float) -> Speech:
        """What is said, with true times. Hibari has one pace between half and double."""
        speech = Hibari().speak(text, voice="af_heart", speed=min(max(speed, 0.5), 2.0), language="en")
        with self.lock:
            self.said[text] = speech
        return speech


class OpenTTSServer(SpeechServer):
    """An OpenTTS server; its faults are answered as it words its own."""


class _Handler(Handler):
    owner: ClassVar[SpeechServer]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.owner.seen.append(parts.path)
        if self.owner.listed is not None and parts.path.endswith("/voices"):
            self._send(200, self.owner.listed.encode(), "application/json")
            return
        if isinstance(self.owner, OpenTTSServer):
            self._opentts(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()})
        elif not self._allowed():
            return
        elif parts.path == "/v1/models":
            listed = [{"id": one, "object": "model"} for one in sorted(self.owner.models)]
            self._json(200, {"object": "list", "data": listed})
        elif parts.path == "/v1/audio/voices" and self.owner.kokoro:
            self._json(200, {"voices": sorted(KOKORO_VOICES)})
        else:
            self._error(404, f"Invalid URL (GET {parts.path})")

    def do_POST(self) -> None:
        self.owner.seen.append(self.path)
        raw = self.body()
        captioned = self.path == "/dev/captioned_speech" and self.owner.captions
        if not captioned and self.path != "/v1/audio/speech":
            self._error(404, f"Invalid URL (POST {self.path})")
            return
        body = json.loads(raw)
        fault = self.owner.take(Asked(self.path, self.named(), body))
        if not self._allowed() or self._went_wrong(fault):
            return
        if (wrong := self._wrong(body)) is not None:
            self._error(*wrong)
            return
        speech = self.owner.speech(body["input"], body.get("speed", 1.0))
        wanted = body.get("response_format", "mp3")
        content = encoded(changed(speech, fault), wanted, endless_header=self.owner.endless_header)
        if captioned:
            times = tokens(speech) if fault.times and body.get("return_timestamps", True) else None
            sound = base64.b64encode(cut(content, fault)).decode()
            self._json(200, {"audio": sound, "audio_format": FORMATS[wanted][0], "timestamps": times})
        else:
            self._send(200, cut(content, fault), fault.kind or FORMATS[wanted][0], half=fault.reset)

    def _opentts(self, path: str, query: Mapping[str, str]) -> None:
        if path == "/api/voices":
            self._json(200, OPENTTS_VOICES)
            return
        if path != "/api/tts":
            self._error(404, "Not Found")
            return
        fault = self.owner.take(Asked(path, self.named(), query))
        if len(self.requestline) > 8000:
            self._error(414, "URI Too Long")
        elif self._went_wrong(fault):
            return
        elif query.get("voice") not in OPENTTS_VOICES:
            self._error(500, f"AssertionError: No TTS named {query.get('voice')}")
        else:
            content = encoded(changed(self.owner.speech(query["text"].strip(), 1.0), fault), "wav")
            self._send(200, cut(content, fault), fault.kind or "audio/wav", half=fault.reset)

    def _went_wrong(self, fault: Fault) -> bool:
        if fault.delay:
            self.owner.wait(fault.delay)
        if fault.status != 200:
            self._error(fault.status, fault.message, fault.code, fault.headers)
        elif fault.body is not None:
            self._send(200, fault.body, fault.kind or "audio/mpeg")
        elif fault.drip or fault.endless:
            self._pour(b"RIFF" if fault.drip else b"fLaC" + bytes(60_000), 0.05 if fault.drip else 0)
        else:
            return False
        return True

    def _pour(self, part: bytes, pause: float) -> None:
        self.head(200, {"Content-Type": "audio/wav", "Transfer-Encoding": "chunked"})
        while not self.owner.wait(pause):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def _wrong(self, body: Mapping[str, Any]) -> tuple[int, str, str | None] | None:
        """What the service would say against a call, or None."""
        owner = self.owner
        if owner.models and body.get("model") not in owner.models:
            if owner.kokoro:
                return 400, f"Unsupported model: {body.get('model')}", "invalid_model"
            return 404, f"The model `{body.get('model')}` does not exist", "model_not_found"
        if not isinstance(body.get("input"), str) or not body["input"]:
            return 400, "[{'type': 'string_too_short', 'loc': ('body', 'input')}]", None
        if len(body["input"]) > 4096 and not owner.kokoro:
            return 400, "[{'type': 'string_too_long', 'loc': ('body', 'input'), 'ctx': {'max_length': 4096}}]", None
        if body.get("voice") not in owner.voices:
            return 400, f"Voice '{body.get('voice')}' not found.", None
        if not 0.25 <= body.get("speed", 1.0) <= 4.0:
            return 400, "speed must be between 0.25 and 4.0", None
        if body.get("response_format", "mp3") not in owner.formats:
            return 400, f"unsupported response_format: {body['response_format']}", None
        unknown = body.keys() - {"model", "input", "voice", "speed", "response_format", "instructions"}
        if unknown and not owner.kokoro:
            return 400, f"Unknown parameter: '{sorted(unknown)[0]}'.", "unknown_parameter"
        return None

    def _allowed(self) -> bool:
        if self.owner.key is None or self.headers.get("Authorization") == f"Bearer {self.owner.key}":
            return True
        self._error(401, f"Incorrect API key provided: {self.headers.get('Authorization')}.", "invalid_api_key")
        return False

    def _error(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        if isinstance(self.owner, OpenTTSServer):
            self._send(status, message.encode(), "text/html; charset=utf-8", headers)
        elif self.owner.kokoro:
            self._json(status, {"detail": {"error": code or "validation_error", "message": message}}, headers)
        else:
            error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
            self._json(status, {"error": error}, headers)

    def _json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(
        self, status: int, content: bytes, kind: str, headers: Mapping[str, str] | None = None, *, half: bool = False
    ) -> None:
        self.head(status, {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})})
        self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self.reset()


def tokens(speech: Speech) -> list[dict[str, Any]]:
    """The words as Kokoro's tokenizer cuts them: at hyphens, with marks as words of their own, amounts in letters."""
    found: list[dict[str, Any]] = []
    for word in speech.words:
        parts = re.findall(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]", word.text)
        if word.text.startswith("$"):
            parts = ["one", "thousand", "dollars"]
        step = (word.end - word.start) / max(1, len(parts))
        for place, part in enumerate(parts):
            if word.end > word.start or part.isalnum():
                start = round(word.start + place * step, 3)
                found.append({"word": part, "start_time": start, "end_time": round(start + step, 3)})
    return found


def changed(speech: Speech, fault: Fault) -> Speech:
    """The recording as a fault has it."""
    samples = speech.samples
    if fault.silent:
        samples = np.zeros_like(samples)
    if fault.breaks:
        late = len(samples) * 3 // 4
        step = speech.sample_rate // 100
        levels = [np.sum(samples[place : place + step] ** 2) for place in range(late, len(samples) - step, step)]
        samples = samples[: late + (int(np.argmax(levels)) + 1) * step]
    if 0 < fault.keep < 1:
        samples = samples[: round(len(samples) * fault.keep)]
    if fault.stretch > 1:
        samples = np.tile(samples, round(fault.stretch))
    return Speech(samples, speech.sample_rate, speech.words, speech.timing)


def cut(content: bytes, fault: Fault) -> bytes:
    """The file as a fault has it."""
    return content[: round(-fault.keep * len(content))] if fault.keep < 0 else content


def encoded(speech: Speech, name: str, *, endless_header: bool = False) -> bytes:
    """The recording as a file; a WAV with sizes of a stream if asked for."""
    import av

    _, container, codec = FORMATS[name]
    data = io.BytesIO()
    with av.open(data, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=speech.sample_rate, layout="mono")
        whole = (np.clip(speech.samples, -1, 1) * 32767).astype(np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = speech.sample_rate
        stream.codec_context.open()
        resampler = av.AudioResampler(
            stream.codec_context.format,
            "mono",
            stream.codec_context.sample_rate,
            stream.codec_context.frame_size or None,
        )
        for given in (frame, None):
            for ready in resampler.resample(given):
                file.mux(stream.encode(ready))
        file.mux(stream.encode(None))
    content = bytearray(data.getvalue())
    if endless_header and name == "wav":
        place = content.index(b"data")
        content[4:8] = content[place + 4 : place + 8] = b"\xff\xff\xff\xff"
    return bytes(content)
