"""A TCP relay on loopback whose line can be cut: nothing passes, and neither end is told, as behind a dead switch.

A process of its own, so that it is as quick as a line whatever the test does; to cut it is to stop the process.
"""

import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Relay:
    """A running relay; ended with the `with` block.

    Attributes:
        port: on which it listens.
    """

    def __init__(self, port: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process = subprocess.Popen([sys.executable, __file__, str(self.port), str(port)])

    def cut(self) -> None:
        """Let nothing pass. New connections are taken by the kernel, and nobody says anything on them."""
        self._process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        """Let all pass, what was held up included."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def serve(port: int, target: int) -> None:
    """Pass on what comes until killed."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        while True:
            here, _ = listening.accept()
            try:
                there = socket.create_connection(("127.0.0.1", target))
            except OSError:
                here.close()
                continue
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=_pass, args=(one, other), daemon=True).start()


def _pass(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
