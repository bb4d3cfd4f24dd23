"""Which host this is, where pids mean something."""

import socket
from pathlib import Path


def here() -> str:
    """This host's name, with the pid name space: containers may share a name, and pids mean nothing between them."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{socket.gethostname()}/{''.join(filter(str.isdigit, space))}"
