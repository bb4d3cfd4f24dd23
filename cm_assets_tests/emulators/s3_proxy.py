"""The way to an S3 server, with what goes wrong on it, and a count of what goes right.

with S3Proxy(server.endpoint, [Loss("PUT", "partNumber=2", reset=True)]) as proxy:
    ... a client whose AWS_ENDPOINT_URL is proxy.address
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer
from cm_assets_tests.emulators.proxy import HOP_BY_HOP

BLOCK = 1 << 16


@dataclass(frozen=True)
class Loss:
    """Something that goes wrong with requests.

    Attributes:
        method: of the requests.
        part: their address holds it.
        lacks: only with those that have no such header.
        times: with so many of them.
        status: this is the answer, and nothing was passed on.
        code: S3's word in it.
        reset: the connection is reset, and nothing was passed on.
        lost: it was passed on, and the connection is reset instead of an answer.
        torn: the connection is reset after so many bytes of what was sent.
        cut: the connection is reset after so many bytes of the answer.
        spoilt: a bit is turned over on the way, of what is sent or, with GET, of the answer.
    """

    method: str
    part: str = ""
    lacks: str = ""
    times: int = 1
    status: int = 0
    code: str = "ServiceUnavailable"
    reset: bool = False
    lost: bool = False
    torn: int | None = None
    cut: int | None = None
    spoilt: bool = False


NONE = Loss("")


class S3Proxy(LoopbackServer):
    """A running proxy; stopped at the end of the `with` block.

    Attributes:
        requests: method and address of each request, in the order they came.
    """

    def __init__(self, endpoint: str, losses: Iterable[Loss] = ()) -> None:
        super().__init__(_Handler)
        self.endpoint = endpoint
        self.requests: list[str] = []
        self._losses = [loss for loss in losses for _ in range(loss.times)]

    def take(self, method: str, path: str, headers: Message) -> Loss:
        """Note a request; what to do with it."""
        with self.lock:
            self.requests.append(f"{method} {path}")
            for loss in self._losses:
                if loss.method == method and loss.part in path and not (loss.lacks and loss.lacks in headers):
                    self._losses.remove(loss)
                    return loss
            return NONE

    @property
    def counts(self) -> Mapping[str, int]:
        """How many requests there were of each kind that S3 has a price for."""
        return Counter(_kind(*one.split(" ", 1)) for one in self.requests)


def _kind(method: str, path: str) -> str:
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if method == "GET" and ("list-type" in query or "uploads" in query):
        return "LIST"
    return "PUT" if method == "POST" and "delete" not in query else "DELETE" if method == "POST" else method


def _spoilt(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


class _Handler(Handler):
    owner: ClassVar[S3Proxy]

    def do_GET(self) -> None:
        self._pass()

    def do_HEAD(self) -> None:
        self._pass()

    def do_POST(self) -> None:
        self._pass()

    def do_PUT(self) -> None:
        self._pass()

    def do_DELETE(self) -> None:
        self._pass()

    def _pass(self) -> None:
        loss = self.owner.take(self.command, self.path, self.headers)
        length = int(self.headers.get("Content-Length", 0))
        if loss.torn is not None:
            self.rfile.read(loss.torn)
            self.reset()
            return
        body = self.rfile.read(length)
        if loss.reset:
            self.reset()
        elif loss.status:
            self._refuse(loss.status, loss.code)
        elif self.headers.get("Content-MD5", _md5(body)) != _md5(body):
            self._refuse(400, "BadDigest")
        else:
            self._forward(body, loss)

    def _refuse(self, status: int, code: str) -> None:
        page = f"<Error><Code>{code}</Code><Message>{self.headers.get('Authorization')}</Message></Error>"
        self.send(status, page.encode(), {"Content-Type": "application/xml"})

    def _forward(self, body: bytes, loss: Loss) -> None:
        # The host stays: it is part of what was signed.
        headers = {name: value for name, value in self.named().items() if name not in HOP_BY_HOP - {"host"}}
        headers.pop("expect", None)
        if loss.spoilt and self.command != "GET":
            body = _spoilt(body)
        url = self.owner.endpoint + self.path
        try:
            with httpx.stream(self.command, url, headers=headers, content=body, timeout=60) as answer:
                if loss.lost:
                    answer.read()
                    self.reset()
                    return
                self.close_connection = True
                self.head(answer.status_code, {k: v for k, v in answer.headers.items() if k not in HOP_BY_HOP})
                left = loss.cut
                spoil = loss.spoilt and self.command == "GET"
                for block in answer.iter_raw(BLOCK):
                    sent, spoil = _spoilt(block) if spoil else block, False
                    self.wfile.write(sent if left is None else sent[:left])
                    if left is not None and (left := left - len(block)) <= 0:
                        self.wfile.flush()
                        self.reset()
                        return
        except httpx.TransportError:
            self.reset()
