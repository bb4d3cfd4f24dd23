"""A reverse proxy on loopback, as stands in front of most servers, with the faults that such a way has.

It passes HTTP on and streams what comes back (RFC 9110, 3.7). Faults are dealt to the first requests that they are
meant for, in the order given, one a request: an answer of the proxy's own (429, 502, 503), a connection that is reset
before anything was passed on, one that is reset after the server has done its work, or one that breaks off in the
middle of the answer.

    with Proxy(url, [Fault("POST /videos", lost=True)]) as proxy:
        httpx.post(f"{proxy.address}/videos", ...)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import httpx

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "date", "server"}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request.

    Attributes:
        on: which: method and path end so, such as `GET /events`; a star stands for nothing.
        status: the proxy answers so itself, with these headers.
        reset: the connection is reset, and nothing was passed on.
        lost: it was passed on, and the connection is reset instead of an answer.
        cut: the connection is reset after so many bytes of the answer.
    """

    on: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    lost: bool = False
    cut: int | None = None


@dataclass(frozen=True)
class Passed:
    """A request as it came; names of headers in lower case."""

    what: str
    headers: Mapping[str, str]
    body: bytes


class Proxy(LoopbackServer):
    """A running proxy; stopped at the end of the `with` block.

    Attributes:
        requests: that came, those that went wrong included.
        faults: that are yet to be dealt.
    """

    def __init__(self, url: str, faults: Iterable[Fault] = ()) -> None:
        super().__init__(_Handler)
        self.url = url
        self.faults = list(faults)
        self.requests: list[Passed] = []

    def take(self, request: Passed) -> Fault:
        """Note a request; what to do with it."""
        with self.lock:
            self.requests.append(request)
            method, _, path = request.what.partition(" ")
            for fault in self.faults:
                wanted, _, end = fault.on.partition(" ")
                if method == wanted and path.endswith(end):
                    self.faults.remove(fault)
                    return fault
            return Fault("")


class _Handler(Handler):
    owner: ClassVar[Proxy]

    def do_GET(self) -> None:
        self._pass(b"")

    def do_POST(self) -> None:
        self._pass(self.body())

    def _pass(self, body: bytes) -> None:
        what = f"{self.command} {self.path}"
        headers = {name: value for name, value in self.named().items() if name not in HOP_BY_HOP}
        fault = self.owner.take(Passed(what, headers, body))
        if fault.reset:
            self.reset()
        elif fault.status:
            page = f"<html><h1>{fault.status}</h1></html>".encode()
            self.send(fault.status, page, {"Content-Type": "text/html", **fault.headers})
        else:
            try:
                self._forward(headers, body, fault)
            except httpx.TransportError:
                # The server is gone: before the answer that is told, in its middle the connection breaks.
                self.reset()

    def _forward(self, headers: Mapping[str, str], body: bytes, fault: Fault) -> None:
        url = self.owner.url + self.path
        with httpx.stream(self.command, url, headers=headers, content=body, timeout=60) as answer:
            if fault.lost:
                answer.read()
                self.reset()
                return
            # The answer ends with the connection: its length is not known beforehand where it is a stream.
            self.close_connection = True
            self.head(answer.status_code, {k: v for k, v in answer.headers.items() if k not in HOP_BY_HOP})
            left = fault.cut
            for part in answer.iter_raw():
                self.wfile.write(part if left is None else part[:left])
                self.wfile.flush()
                if left is not None and (left := left - len(part)) <= 0:
                    self.reset()
                    return
