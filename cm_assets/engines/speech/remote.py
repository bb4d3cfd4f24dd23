"""What voices behind HTTP share: calls within bounds, answers that are judged, and what was spoken is kept."""

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from cm_assets.engines.speech.timing import letters_of
from cm_assets.media.recordings import Samples, decode
from cm_assets.models.base import SAMPLE_RATE, Failure, PermanentFailure, Seconds, TransientFailure
from cm_assets.storage.file_cache import FileCache

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

KEPT = 200_000_000
"""Bytes of spoken texts that are kept; the least recently used go first."""

CONNECT: Seconds = 5.0

LISTING: Seconds = 15.0
"""Seconds that a server may be silent that is asked for what it has: one that is dead is found out by this."""

LONGEST_CALL: Seconds = 150.0
"""Seconds for one answer, however steadily it drips in."""

MOST_BYTES_A_SECOND = 260_000
"""Of sound: 48 kHz in stereo and 16 bits, as base64."""

_SLOWEST, _FASTEST = 3.0, 22.0
"""Letters a second: a quarter of a calm voice, and half as fast again as a hasty one."""

_HASTE: Seconds = 0.3
"""By which the shortest texts may be quicker."""

_SLACK: Seconds = 4.0
"""Silence that a service may put around the shortest text."""

_SILENCE = 0.004
"""Root mean square of 20 ms below which nobody speaks: -48 dBFS, as the check of the narration has it."""

_MOST_SAID = 20_000
"""Bytes of an error that are read."""


class Answer:
    """What came back.

    Attributes:
        response: its head; the body was read.
        status: of HTTP.
        body: whole, unless it is an error's.
        said: what the service says of an error, for people.
        code: how it calls it.
    """

    def __init__(self, response: "httpx.Response", body: bytes) -> None:
        self.response = response
        self.status = response.status_code
        self.body = body
        self.said, self.code = ("", "") if response.is_success else _said(body)


def call(
    method: str,
    url: str,
    service: str,
    *,
    most: int,
    patience: Seconds,
    headers: Mapping[str, str] | None = None,
    **request: Any,
) -> Answer:
    """Ask a service something, and take no more of its answer than can be right.

    Args:
        method: of HTTP.
        url: whom.
        service: its name for people.
        most: bytes that the answer may have.
        patience: seconds that it may be silent.
        headers: such as the key.
        request: what is sent, as httpx has it: `json`, `params`.

    Raises:
        TransientFailure: no connection, too slow, broken off, too much.
        PermanentFailure: the address is none.
    """
    import httpx

    from cm_assets.engines.http import connected

    until = time.monotonic() + LONGEST_CALL
    timeout = httpx.Timeout(patience, connect=min(CONNECT, patience))
    plain = {"Accept-Encoding": "identity"} | dict(headers or {})
    with connected(service), httpx.stream(method, url, timeout=timeout, headers=plain, **request) as response:
        most = most if response.is_success else _MOST_SAID
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > most:
                if not response.is_success:
                    break
                raise TransientFailure(f"{service} sends more than the speech of this text can be")
            if time.monotonic() > until:
                raise TransientFailure(f"{service} did not finish its answer within {LONGEST_CALL:.0f} s")
        return Answer(response, bytes(body))


def longest(text: str, speed: float) -> Seconds:
    """Seconds that nobody takes to say a text at a speed."""
    return letters_of(text)[1] / (_SLOWEST * min(speed, 1.0)) + _SLACK


def most_bytes(text: str, speed: float) -> int:
    """Bytes that no answer with the speech of a text has."""
    return round(longest(text, speed) * MOST_BYTES_A_SECOND) + 100_000


def judged(content: bytes, text: str, speed: float, service: str) -> Samples:
    """The samples, 48 kHz mono, of an answer that can be the text.

    Args:
        content: the answer.
        text: what was to be said.
        speed: at which it was asked for.
        service: its name for people.

    Raises:
        TransientFailure: it is no sound, silent, cut off, or of a length that the text cannot have.
    """
    try:
        samples = decode(content, longest=longest(text, speed))
    except PermanentFailure as failure:
        raise TransientFailure(f"what {service} sent {failure}") from None
    step = SAMPLE_RATE // 50
    windows = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    levels = np.sqrt(np.mean(windows**2, axis=1)) if len(windows) else np.zeros(1)
    if np.max(levels) < _SILENCE:
        raise TransientFailure(f"{service} sent silence")
    seconds = len(samples) / SAMPLE_RATE
    # Some services do not obey a speed below one.
    if letters_of(text)[0] > _FASTEST * max(speed, 1.0) * (seconds + _HASTE):
        raise TransientFailure(f"{service} sent only {seconds:.1f} s for {len(text.split())} words: it is cut off")
    end = samples[-step // 2 :].astype(np.float64)
    if np.sqrt(np.mean(end**2)) > 0.5 * np.percentile(levels, 90):
        raise TransientFailure(f"{service} sent speech that ends in the middle of a sound: it is cut off")
    return samples


class Kept:
    """What services have spoken, by what was asked, so that another attempt does not pay for it again.

    Args:
        folder: where; None to keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._cache = FileCache(folder, KEPT, suffix=".speech") if folder is not None else None

    def recall(self, key: str, read: Callable[[bytes], T | None]) -> T | None:
        """An answer that was kept, as it is read; None if it is not there, or no longer whole."""
        if self._cache is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "answer")
            if not self._cache.take(key, path):
                return None
            try:
                return read(path.read_bytes())
            except Failure:
                return None

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer that was found to be good."""
        if self._cache is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "answer")
            path.write_bytes(answer)
            self._cache.put(key, path)
        self._cache.trim()


def key_of(url: str, question: Mapping[str, object]) -> str:
    """What an answer is kept under: who was asked what; no secret goes in."""
    parts = urlsplit(url)
    asked = json.dumps([parts.hostname, parts.port, parts.path, question], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()


def is_address(url: str) -> bool:
    """Whether something can be asked there."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # judged only when it is read
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", url)


def _said(body: bytes) -> tuple[str, str]:
    """Words and code of an error: OpenAI's `error`, FastAPI's `detail`, or plain text."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode(errors="replace").strip()
        return ("" if text.startswith("<") else text[:300]), ""
    if not isinstance(document, dict):
        return "", ""
    error = document.get("error") or document.get("detail") or document
    if isinstance(error, dict):
        return str(error.get("message") or "")[:300], str(error.get("code") or error.get("error") or "")[:60]
    return (error[:300] if isinstance(error, str) else ""), ""
