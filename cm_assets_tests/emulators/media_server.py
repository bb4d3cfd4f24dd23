"""A server on loopback that hands out media files as the delivery networks of stock sites do, and as bad ones do.

With ranges and validators as RFC 9110 has them (14.2 Range, 13.1.5 If-Range), or without; at full speed, or at a capped
rate per connection; over TLS as `media.example`. Faults are answered in the order given, one a request for the file;
after the last, it works.
"""

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

CHUNK = 16_384

CERTIFICATE = Path(__file__).parent / "tls" / "media.example.pem"
"""Of `media.example` and `other.example`, with its key; it is its own authority."""


@dataclass(frozen=True)
class MediaFault:
    """One answer that is not the usual one.

    Attributes:
        status: an error, or a redirect with `location`.
        cut: bytes after which the connection breaks off, by a reset or by an end.
        silent: seconds without a byte after those of `cut`.
        changed: the file is another one from now on.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None
    cut: int | None = None
    reset: bool = False
    silent: float = 0
    changed: bytes | None = None


@dataclass
class MediaFile:
    """A file, and how it is handed out.

    Attributes:
        ranges: whether parts of it can be had.
        validator: `strong` and `weak` ETags, a `date`, or `none`.
        chunked: whether its length is not told.
    """

    content: bytes
    kind: str = "video/mp4"
    ranges: bool = True
    validator: str = "strong"
    chunked: bool = False
    faults: list[MediaFault] = field(default_factory=list)
    version: int = 1

    def tags(self) -> dict[str, str]:
        if self.validator == "date":
            return {"Last-Modified": f"Mon, 0{self.version} Jun 2026 10:00:00 GMT"}
        tag = f'"v{self.version}"'
        return {"strong": {"ETag": tag}, "weak": {"ETag": f"W/{tag}"}}.get(self.validator, {})


@dataclass(frozen=True)
class Asked:
    """A request as it came; names of headers in lower case."""

    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What a search answers."""

    status: int
    kind: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class MediaServer(LoopbackServer):
    """A running server; stopped at the end of the `with` block.

    Attributes:
        url: of the server, without a slash at its end.
        files: by name; served under `/media/<name>`.
        rate: bytes a second of one connection; None for as fast as it goes.
        asked: the requests for files.
        searched: the searches, faults included.
        most_at_once: how many files were on their way at the same time.
    """

    search_path = ""

    def __init__(self, *, rate: int | None = None, tls: bool = False) -> None:
        super().__init__(_Handler)
        self.url = self.address
        self.files: dict[str, MediaFile] = {}
        self.rate = rate
        self.asked: list[Asked] = []
        self.searched: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self._listener.socket = context.wrap_socket(self._listener.socket, server_side=True)

    def add(self, name: str, content: bytes, **how: Any) -> str:
        """Put a file there; its address."""
        self.files[name] = MediaFile(content, **how)
        return f"{self.url}/media/{name}"

    def search(self, asked: Asked) -> Answer:
        """The answer to a search; for servers that have one."""
        return Answer(404, "text/plain", b"Not Found")

    def begin(self) -> None:
        """A file goes out."""
        with self.lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)

    def end(self) -> None:
        """It is out."""
        with self.lock:
            self._at_once -= 1


class _Handler(Handler):
    owner: ClassVar[MediaServer]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = Asked(
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            self.named(),
        )
        if self.owner.search_path and parts.path == self.owner.search_path:
            with self.owner.lock:
                self.owner.searched.append(asked)
                answer = self.owner.search(asked)
            self.send(answer.status, answer.body, {"Content-Type": answer.kind, **answer.headers})
            return
        with self.owner.lock:
            self.owner.asked.append(asked)
            file = self.owner.files.get(parts.path.removeprefix("/media/"))
            fault = file.faults.pop(0) if file and file.faults else MediaFault()
            if file and fault.changed is not None:
                file.content, file.version = fault.changed, file.version + 1
        if file is None:
            self.send(404, b"Not Found", {"Content-Type": "text/html"})
        elif fault.location is not None:
            self.send(fault.status if fault.status >= 300 else 302, b"", {"Location": fault.location})
        elif fault.status != 200:
            self.send(fault.status, b"An error page.", {"Content-Type": "text/html", **fault.headers})
        else:
            self.owner.begin()
            try:
                self._hand_out(file, fault)
            finally:
                self.owner.end()

    def _hand_out(self, file: MediaFile, fault: MediaFault) -> None:
        content, begin, status = file.content, 0, 200
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        # 13.1.5: a condition that is not met, or not strong, makes the whole file the answer.
        met = condition is None or (condition in file.tags().values() and not condition.startswith("W/"))
        headers = {"Content-Type": file.kind, **file.tags()}
        if file.ranges:
            headers["Accept-Ranges"] = "bytes"
        if wanted and file.ranges and met:
            begin, status = int(wanted[1]), 206
            if begin >= len(content):
                self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        length = {"Transfer-Encoding": "chunked"} if file.chunked else {"Content-Length": str(len(body))}
        self.head(status, headers | length)
        self._pour(body, fault, chunked=file.chunked)

    def _pour(self, body: bytes, fault: MediaFault, *, chunked: bool) -> None:
        started, sent = time.monotonic(), 0
        end = len(body) if fault.cut is None else min(len(body), fault.cut)
        while sent < end:
            block = body[sent : min(end, sent + CHUNK)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
            sent += len(block)
            if self.owner.rate:
                self.owner.wait(max(0.0, started + sent / self.owner.rate - time.monotonic()))
        if fault.cut is None:
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
            return
        self.wfile.flush()
        if fault.silent:
            self.owner.wait(fault.silent)
        if fault.reset:
            self.reset()
        self.connection.close()
        self.close_connection = True
