"""Asking a stock site: its answers are kept for a day, its limits are obeyed, and its key is told to nobody."""

import gzip
import hashlib
import json
import logging
import os
import ssl
import time
import uuid
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from cm_assets.engines.http import connected, failure_of
from cm_assets.engines.retry_after import retry_after
from cm_assets.models.base import AskedToWait, PermanentFailure, Seconds, TransientFailure
from cm_assets.models.protocols import Rests

if TYPE_CHECKING:
    from cm_assets.engines.footage.catalogue import Access

KEPT: Seconds = 86_400.0
"""Pixabay's terms ask for it (https://pixabay.com/api/docs/#api_rate_limit), and Pexels is asked less often by it."""

MOST_KEPT = 2000
"""Answers of one service; packed they have some 30 kB each."""

LARGEST = 10_000_000
"""Bytes of an answer."""

TIMEOUT: Seconds = 20.0

LONGEST_REST: Seconds = 86_400.0
"""Once a day a site is asked all the same: somebody may have been given more calls than it said."""

OLDEST_TIME = 1_000_000_000
"""`X-RateLimit-Reset` is a time at Pexels and a number of seconds at Pixabay: what is greater is a time."""

log = logging.getLogger(__name__)


class Refused(Exception):
    """The service does not take this search; it may take another."""


class Service:
    """A stock site's search.

    Args:
        name: as in the settings.
        access: its search, and where people set the key.
        answers: folder of answers.
        rests: until when it is not to be called.
        headers: that carry its key, if headers do.
        secrets: parameters that carry its key, if parameters do.
        field: of its answers, with the list of what was found.
        pause: seconds for which it is left alone when it refuses calls and does not say for how long.
    """

    def __init__(
        self,
        name: str,
        access: "Access",
        answers: Path,
        rests: Rests,
        *,
        headers: Mapping[str, str],
        secrets: Mapping[str, str],
        field: str,
        pause: Seconds,
    ) -> None:
        self.name = name
        self._access = access
        self._headers = headers
        self._secrets = secrets
        self._field = field
        self._pause = pause
        self._answers = answers / name
        self._rests = rests
        # It is the key whose calls are used up: with another one there is no reason to rest.
        secret = "".join((*headers.values(), *secrets.values()))
        self._resting = f"{name}:{hashlib.sha256(secret.encode(errors='surrogatepass')).hexdigest()[:8]}"

    def ask(self, parameters: Mapping[str, str]) -> list[Any]:
        """What a search found, at most a day ago.

        Raises:
            Refused: the service does not take this search.
            TransientFailure: it is down, or answers nonsense.
            AskedToWait: no call is left for now.
            PermanentFailure: it refuses the key.
        """
        file = self._answers / f"{self._name_of(parameters)}.json.gz"
        known = self._list_in(_fresh(file))
        if known is not None:
            return known
        self._wait_if_told()
        self._access.before_call()
        answer = self._call(parameters)
        self._heed(answer)
        if not answer.is_success:
            raise self._failure(answer)
        found = self._list_in(answer.content)
        if found is None:
            raise TransientFailure(f"{self.name} answers something else than JSON with a list of {self._field}")
        self._keep(file, answer.content)
        return found

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        # To read the authorities' certificates takes 20 ms each time.
        return httpx.create_ssl_context()

    def _list_in(self, content: bytes) -> list[Any] | None:
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            return None
        found = answer.get(self._field) if isinstance(answer, dict) else None
        return found if isinstance(found, list) else None

    def _call(self, parameters: Mapping[str, str]) -> httpx.Response:
        _check_key(self._access.key_variable, (*self._headers.values(), *self._secrets.values()))
        with (
            connected(self.name),
            httpx.Client(timeout=TIMEOUT, headers={"user-agent": "cm_assets"}, verify=self._trust) as client,
        ):
            with client.stream(
                "GET", self._access.url, params={**parameters, **self._secrets}, headers=dict(self._headers)
            ) as answer:
                body = b""
                for block in answer.iter_bytes():
                    body += block
                    if len(body) > LARGEST:
                        raise TransientFailure(f"{self.name} answers more than {LARGEST / 1e6:.0f} MB")
            # What was read goes on without the request, whose address has the key.
            return httpx.Response(answer.status_code, headers=_plain(answer.headers), content=body)

    def _wait_if_told(self) -> None:
        seconds = self._rests.until(self._resting) - time.time()
        if seconds > 0:
            raise AskedToWait(f"{self.name} takes no more calls for {seconds:.0f} s", seconds)

    def _heed(self, answer: httpx.Response) -> None:
        """Take down that no call is left, for all processes."""
        left, reset = _number(answer.headers, "x-ratelimit-remaining"), _number(answer.headers, "x-ratelimit-reset")
        now = time.time()
        if answer.status_code == 429:
            seconds = retry_after(answer.headers)
            if seconds is None:
                seconds = self._pause if not reset or left else _seconds(reset, now)
            self._rest(seconds)
        elif left is not None and left <= 0 and reset is not None:
            self._rest(_seconds(reset, now))

    def _rest(self, seconds: Seconds) -> None:
        self._rests.rest(self._resting, time.time() + min(seconds, LONGEST_REST))

    def _failure(self, answer: httpx.Response) -> Exception:
        said = _without(answer.text, (*self._headers.values(), *self._secrets.values()))
        said = " ".join(said.split())[:200]
        if answer.status_code == 429:
            self._wait_if_told()
        if answer.status_code in {401, 403} or (answer.status_code == 400 and "api key" in said.lower()):
            return PermanentFailure(f"{self.name} refuses the key: set {self._access.key_variable} to a valid one")
        if answer.status_code in {400, 422}:
            return Refused(f"{self.name} does not take the search: {said}")
        return failure_of(answer, self.name, said)

    def _name_of(self, parameters: Mapping[str, str]) -> str:
        """Of the file of an answer: without the key, and without anybody's text."""
        asked = json.dumps([self._access.url, sorted(parameters.items())])
        return hashlib.sha256(asked.encode(errors="surrogatepass")).hexdigest()[:32]

    def _keep(self, file: Path, content: bytes) -> None:
        self._answers.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{uuid.uuid4().hex}.part")
        try:
            part.write_bytes(gzip.compress(content, compresslevel=3))
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
        _trim(self._answers)


def _fresh(file: Path) -> bytes:
    """A kept answer; empty if there is none, or if it is too old."""
    try:
        return gzip.decompress(file.read_bytes()) if abs(time.time() - file.stat().st_mtime) < KEPT else b""
    except (OSError, EOFError, zlib.error):
        return b""


def _trim(folder: Path) -> None:
    """Drop answers that are too old, and the oldest of too many."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                found.append((entry.stat().st_mtime, entry.path))
    found.sort(reverse=True)
    for number, (changed, path) in enumerate(found):
        if number >= MOST_KEPT or time.time() - changed > KEPT:
            Path(path).unlink(missing_ok=True)


def _check_key(variable: str, values: tuple[str, ...]) -> None:
    if not all(value.isascii() and value.isprintable() and " " not in value for value in values):
        raise PermanentFailure(f"{variable} has characters that no key has: set it again")


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Headers that are of interest; the body is decoded already."""
    kept = ("x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "content-type")
    return {name: headers[name] for name in kept if name in headers}


def _number(headers: httpx.Headers, name: str) -> float | None:
    try:
        value = float(headers.get(name, ""))
    except ValueError:
        return None
    return value if 0 <= value < 1e11 else None


def _seconds(reset: float, now: float) -> Seconds:
    return max(1.0, reset - now if reset > OLDEST_TIME else reset)


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text
