"""A TCP relay on loopback whose line can be cut: nothing passes, and neither end is told, as behind a dead switch."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Relay:
    """A running relay; stopped at the end of the `with` block.

    Attributes:
        port: on which it listens.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._stopped = False

    def cut(self) -> None:
        """Let nothing pass. New connections are taken by the kernel, and nobody says anything on them."""
        self._whole.clear()

    def mend(self) -> None:
        """Let all pass that was held up."""
        self._whole.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._whole.set()
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                self._whole.wait()
                try:
                    there = socket.create_connection(("127.0.0.1", self._target), timeout=10)
                except OSError:
                    here.close()
                    continue
                there.settimeout(None)
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self._whole.wait()
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
