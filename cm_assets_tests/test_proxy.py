"""The proxy of `deploy/proxy`: nobody sees Dagster's UI without the login, and the board keeps its own."""

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from cm_assets_tests.conftest import until

pytestmark = pytest.mark.browser

CADDYFILE = Path(__file__).parents[1] / "deploy" / "proxy" / "Caddyfile"

seen: list[dict[str, str]] = []


class _Behind(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Addresses of the board and of Dagster's UI through the proxy."""
    caddy = shutil.which("caddy")
    assert caddy, "this test needs caddy: apt-get install caddy"
    behind = ThreadingHTTPServer(("127.0.0.1", 0), _Behind)
    thread = threading.Thread(target=behind.serve_forever, args=(0.05,))
    thread.start()
    hashed = subprocess.run(
        [caddy, "hash-password", "--plaintext", "secret"], capture_output=True, text=True, check=True
    )
    board, ui = free_port(), free_port()
    environment = os.environ | {
        "HOME": str(tmp_path),
        "CM_HOST": f"http://localhost:{board}",
        "CM_DAGSTER_HOST": f"http://localhost:{ui}",
        "CM_WEB_PORT": str(behind.server_port),
        "CM_DAGSTER_PORT": str(behind.server_port),
        "CM_LOGIN": "me",
        "CM_LOGIN_HASH": hashed.stdout.strip(),
    }
    config = tmp_path / "Caddyfile"
    # As it is, but for Caddy's own port for its administration, which another one may have.
    config.write_text("{\n\tadmin off\n}\n" + CADDYFILE.read_text())
    with (tmp_path / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [caddy, "run", "--config", str(config), "--adapter", "caddyfile"], env=environment, stdout=log, stderr=log
        )

    def answers() -> bool:
        try:
            return httpx.get(f"http://localhost:{board}/").status_code == 200
        except httpx.TransportError:
            return False

    try:
        assert until(answers, 20), (tmp_path / "caddy.log").read_text()
        yield f"http://localhost:{board}", f"http://localhost:{ui}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        behind.shutdown()
        behind.server_close()
        thread.join()


def test_dagsters_ui_asks_for_the_login_and_the_board_for_its_token(proxy: tuple[str, str]) -> None:
    board, ui = proxy
    seen.clear()
    for path in ("/", "/graphql", "/server_info", "/%2e%2e/graphql"):
        assert httpx.get(ui + path).status_code == 401
        assert httpx.get(ui + path, auth=("me", "wrong")).status_code == 401
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    assert httpx.get(ui + "/graphql", headers=upgrade).status_code == 401
    assert seen == []
    assert httpx.get(ui + "/", auth=("me", "secret")).status_code == 200
    assert "authorization" not in seen[-1]
    assert httpx.get(board + "/videos", headers={"Authorization": "Bearer cm_x"}).status_code == 200
    assert seen[-1]["authorization"] == "Bearer cm_x"
