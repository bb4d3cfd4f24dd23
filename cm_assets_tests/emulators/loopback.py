"""What the servers here have in common: a port on loopback, a thread and an end; handlers that keep quiet.

What a service says and does is its own file's matter.
"""

import socket
import struct
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self


class Listener(ThreadingHTTPServer):
    """Takes connections, each in a thread of its own."""

    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Callers that break off, die or run out of patience are part of the play."""


class LoopbackServer:
    """A server that listens from the start, and answers until the end of the `with` block.

    Attributes:
        port: that it listens on.
        address: of its root, without a slash at its end.
        lock: for what handlers change together.
        closing: set when the test is over.
    """

    def __init__(self, handler: type["Handler"], listener: type[Listener] = Listener) -> None:
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._listener = listener(("127.0.0.1", 0), type("Bound", (handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True)
        self.port = self._listener.server_port
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def wait(self, seconds: float) -> bool:
        """Sleep, but not beyond the end of the test; whether it is over."""
        return self.closing.wait(seconds)


class Handler(BaseHTTPRequestHandler):
    """A connection to a server, its `owner`; subclasses have `do_GET` and the like."""

    owner: ClassVar[Any]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def named(self) -> dict[str, str]:
        """The request's headers; names in lower case."""
        return {name.lower(): value for name, value in self.headers.items()}

    def body(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def end_headers(self) -> None:
        """End the head of an answer; it says that the connection is closed after it, so that nobody sends more."""
        if self.close_connection:
            self.send_header("Connection", "close")
        super().end_headers()

    def send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        """Send an answer."""
        self.head(status, {"Content-Length": str(len(content)), **headers})
        self.wfile.write(content)

    def reset(self) -> None:
        """Break the connection off as a network does: the caller's next read or write fails."""
        # Lingering for no time makes the close a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
