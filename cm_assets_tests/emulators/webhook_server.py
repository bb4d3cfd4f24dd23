"""A receiver of webhooks on loopback, which verifies signatures as the Standard Webhooks library does.

Faults are answered in the order given, one a request; after the last, it takes what it gets. Under `/plain` it takes
any JSON unsigned, as the receivers of apprise's `json://` do.

    with WebhookServer(faults=[Fault(500), GONE]) as server:
        post(server.url, server.secret, event, now)
"""

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer


@dataclass(frozen=True)
class Fault:
    """One answer that is not 204."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    cut: bool = False
    drip: bool = False
    endless: bool = False


GONE = Fault(410)
CUT = Fault(cut=True)
DRIP = Fault(drip=True)
"""An answer whose head never ends."""
ENDLESS = Fault(200, endless=True)
"""An answer whose body never ends."""
NEVER = Fault(delay=3600)


def busy(retry_after: str, status: int = 429) -> Fault:
    """A refusal that says when to come back."""
    return Fault(status, {"Retry-After": retry_after})


def redirect(location: str) -> Fault:
    """The event is wanted elsewhere."""
    return Fault(307, {"Location": location})


@dataclass(frozen=True)
class Received:
    """A request as it came, verified; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class WebhookServer(LoopbackServer):
    """A running server; stopped at the end of the `with` block.

    Attributes:
        token: in the path of `url`, as services put theirs there.
        secret: that events must be signed with.
        requests: all that came, faults included.
        forged: how many of them were not signed rightly.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        super().__init__(_Handler)
        self.faults = list(faults)
        self.secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
        self.token = os.urandom(12).hex()
        self.requests: list[Received] = []
        self.forged = 0
        self.url = f"{self.address}/hook/{self.token}?key={self.token}"

    def variables(self, name: str, **more: str) -> dict[str, str]:
        """What names this server as an endpoint."""
        given = {"URL": self.url, "SECRET": self.secret, "PRIVATE": "true"} | more
        return {f"CM_NOTIFY_{name.replace('-', '_').upper()}_{what}": value for what, value in given.items()}

    def taken(self) -> list[Received]:
        """What was answered with success."""
        with self.lock:
            return [one for one in self.requests if one.status < 300]

    def types(self, video: str | None = None) -> list[str]:
        """What was taken, in order."""
        return [one.body["type"] for one in self.taken() if video is None or one.body["data"]["id"] == video]

    def next_fault(self) -> Fault:
        """What to do with a request."""
        with self.lock:
            return self.faults.pop(0) if self.faults else Fault()

    def note(self, received: Received) -> None:
        """Remember a request."""
        with self.lock:
            self.requests.append(received)

    def note_forged(self) -> None:
        """Remember a request that nobody we know has signed."""
        with self.lock:
            self.forged += 1


class _Handler(Handler):
    owner: ClassVar[WebhookServer]

    def do_POST(self) -> None:
        raw = self.body()
        headers = self.named()
        if not self.path.startswith("/plain"):
            try:
                Webhook(self.owner.secret).verify(raw, headers)
            except WebhookVerificationError:
                self.owner.note_forged()
                self._answer(Fault(401))
                return
        fault = self.owner.next_fault()
        status = 599 if fault.cut or fault.drip or fault.delay > 60 else fault.status
        self.owner.note(Received(self.path, headers, json.loads(raw), status))
        self._answer(fault)

    def _answer(self, fault: Fault) -> None:
        self.owner.wait(fault.delay)
        if fault.cut:
            self.reset()
            return
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        if fault.drip:
            self.flush_headers()
            while not self.owner.wait(0.05):
                self.wfile.write(b"x-more: and more\r\n")
        if fault.endless:
            self.end_headers()
            while not self.owner.wait(0.01):
                self.wfile.write(b"more " * 1000)
        if fault.status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()
