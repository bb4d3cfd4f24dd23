"""A WebDAV folder on loopback, as far as a file that is put there and deleted goes (RFC 4918, 9.6 and 9.7)."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self

PASSWORD = "for-webdav-only"


class WebDavServer:
    """A running server; stopped at the end of the `with` block.

    Attributes:
        url: of the folder.
        files: content by name.
        refusals: statuses that the next requests are answered with.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refusals: list[int] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/videos"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[WebDavServer]

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        there = self.path in self.owner.files
        if self._allowed():
            self.owner.files[self.path] = content
            self._answer(204 if there else 201)

    def do_DELETE(self) -> None:
        if self._allowed():
            self._answer(204 if self.owner.files.pop(self.path, None) is not None else 404)

    def _allowed(self) -> bool:
        known = base64.b64encode(f"cm:{PASSWORD}".encode()).decode()
        status = self.owner.refusals.pop(0) if self.owner.refusals else 0
        if not status and self.headers.get("authorization") != f"Basic {known}":
            status = 401
        if status:
            self._answer(status)
        return not status

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
