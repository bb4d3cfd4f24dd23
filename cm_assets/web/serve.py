"""Serving the app: on loopback, or elsewhere if there is a token."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.tokens import Tokens
from cm_assets.web.security import is_loopback


def refusal(settings: Settings, host: str) -> str:
    """Why the server must not be reached at an address; empty if it may."""
    from sqlalchemy.exc import SQLAlchemyError

    database = Database(settings.database)
    try:
        with suppress(SQLAlchemyError):  # one that is away comes back; one of a newer version is told
            database.count_open()
        if is_loopback(host) or Tokens(database).all():
            return ""
    finally:
        database.dispose()
    return (
        f"--host: whoever reaches {host} could do everything: make a token first with "
        f"cm token create --scope admin, or serve on 127.0.0.1"
    )


def serve(settings: Settings, host: str, port: int, ready: Callable[[str], None] = lambda _address: None) -> None:
    """Serve until a signal says to stop.

    Args:
        settings: of the home.
        host: where.
        port: where; 0 for any free one.
        ready: told the address once it is listened at.

    Raises:
        OSError: it cannot be.
    """
    import uvicorn

    from cm_assets import logs
    from cm_assets.web.app import create_app

    logs.configure(settings.log_format)
    # uvicorn sends itself the signal again when it has ended: to be told to end is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=256)
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
        limit_concurrency=1000,
    )
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{listening.getsockname()[1]}")
    with listening, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def main() -> None:
    """`python -m cm_assets.web.serve HOST PORT`, as `cm up` starts it: until standard input ends."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
    serve(Settings(), sys.argv[1], int(sys.argv[2]))


if __name__ == "__main__":
    main()
