"""Serving the app: on loopback, or elsewhere if there is a token."""

import os
import signal
import sys
import threading
from contextlib import suppress

from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.tokens import Tokens
from cm_assets.web.security import is_loopback


def refusal(settings: Settings, host: str) -> str:
    """Why the server must not be reached at an address; empty if it may."""
    database = Database(settings.database)
    try:
        if is_loopback(host) or Tokens(database).all():
            return ""
    finally:
        database.dispose()
    return (
        f"--host: whoever reaches {host} could do everything: make a token first with "
        f"cm token create --scope admin, or serve on 127.0.0.1"
    )


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until a signal says to stop."""
    import uvicorn

    from cm_assets.web.app import create_app

    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
        limit_concurrency=1000,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()


def main() -> None:
    """`python -m cm_assets.web.serve HOST PORT`, as `cm up` starts it: until standard input ends."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
    serve(Settings(), sys.argv[1], int(sys.argv[2]))


if __name__ == "__main__":
    main()
