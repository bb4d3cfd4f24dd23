"""Starts `dagster-daemon` as soon as the code server answers; before that it would wait a minute to look again."""

import socket
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import dagster as dg

from cm_assets.orchestration.launcher import WarmRunLauncher
from cm_assets.orchestration.program import run


def main() -> None:
    """Wait for the socket, then become the daemon. Arguments: the socket, then the daemon's own."""
    path, arguments = Path(sys.argv[1]), sys.argv[2:]
    entry_points(group="console_scripts")["dagster-daemon"].load()  # imports it meanwhile
    while not answers(path):
        time.sleep(0.05)
    # Dagster opens the launcher at the first launch, which would then wait for the imports of the warm parent.
    with dg.DagsterInstance.get() as instance:
        if isinstance(instance.run_launcher, WarmRunLauncher):
            instance.run_launcher.prepare()
    run("dagster-daemon", arguments)


def answers(path: Path) -> bool:
    """Whether something listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    main()
