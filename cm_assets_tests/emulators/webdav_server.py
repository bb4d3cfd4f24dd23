"""A WebDAV folder on loopback, as far as a file that is put there and deleted goes (RFC 4918, 9.6 and 9.7)."""

import base64
from typing import ClassVar

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

PASSWORD = "for-webdav-only"


class WebDavServer(LoopbackServer):
    """A running server; stopped at the end of the `with` block.

    Attributes:
        url: of the folder.
        files: content by name.
        refusals: statuses that the next requests are answered with.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.url = f"{self.address}/videos"
        self.files: dict[str, bytes] = {}
        self.refusals: list[int] = []


class _Handler(Handler):
    owner: ClassVar[WebDavServer]

    def do_PUT(self) -> None:
        content = self.body()
        there = self.path in self.owner.files
        if self._allowed():
            self.owner.files[self.path] = content
            self.send(204 if there else 201, b"", {})

    def do_DELETE(self) -> None:
        if self._allowed():
            self.send(204 if self.owner.files.pop(self.path, None) is not None else 404, b"", {})

    def _allowed(self) -> bool:
        known = base64.b64encode(f"cm:{PASSWORD}".encode()).decode()
        status = self.owner.refusals.pop(0) if self.owner.refusals else 0
        if not status and self.headers.get("authorization") != f"Basic {known}":
            status = 401
        if status:
            self.send(status, b"", {})
        return not status
