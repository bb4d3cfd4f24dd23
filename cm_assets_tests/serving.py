"""`cm up` as programs that speak HTTP find it."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from cm_assets_tests.conftest import Home, until


@dataclass
class Served:
    """A home with `cm up` in it.

    Attributes:
        url: of the HTTP API.
        token: good for everything, once there is one.
    """

    home: Home
    url: str
    up: subprocess.Popen[bytes]
    token: str = ""

    def lock(self) -> None:
        """Make the first token: from now on everybody needs one."""
        self.token = json.loads(self.home.run("token", "create", "--scope", "admin", "--json").stdout)["token"]

    def get(self, path: str) -> Any:
        """What the API says."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.get(self.url + path, headers=headers, timeout=30).raise_for_status().json()

    def reaches(self, video: str, *states: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until a video is in one of these states."""
        found = until(lambda: (now := self.get(f"/videos/{video}"))["state"] in states and now, seconds, 0.5)
        assert found, self.get(f"/videos/{video}")
        told: dict[str, Any] = found
        return told

    def web_server(self) -> psutil.Process:
        """The process that answers; `cm up` starts another when it dies."""
        (found,) = [one for one in psutil.Process(self.up.pid).children() if "cm_assets.web.serve" in one.cmdline()]
        return found


@contextmanager
def serving(home: Home) -> Iterator[Served]:
    """`cm up` until the end of the `with` block."""
    up = home.start("up", "--port", "0", "--web-port", "0")
    try:
        assert until(lambda: "the board" in home.log(), 300), home.log()
        (url,) = re.findall(r"^(http://\S+)  the board$", home.log(), re.MULTILINE)
        yield Served(home, url, up)
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(20)
