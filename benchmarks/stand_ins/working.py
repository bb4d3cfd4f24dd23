"""What a stand-in does in the time that its stage is to take. It loads no Dagster, as `cm submit` imports platforms."""

import json
import os
import subprocess
import time

WORK = "CM_STAND_IN_WORK"
"""Environment variable that says what stages do instead of nothing, as in
`{"audio": {"sleep": 2}, "render": {"cpu": 1.5, "processes": 2}}`: seconds, and CPU seconds of each process."""


def work(stage: str) -> None:
    """Take the time, or the cores, that a stage is to take."""
    load = json.loads(os.environ.get(WORK) or "{}").get(stage, {})
    if "sleep" in load:
        # A process, as a real stage has one that must end with it.
        subprocess.run(["sleep", str(load["sleep"])], check=True)
    if "cpu" in load:
        children = [_busy(load["cpu"]) for _ in range(load.get("processes", 1))]
        for child in children:
            os.waitpid(child, 0)


def _busy(seconds: float) -> int:
    child = os.fork()  # a step has one thread
    if child == 0:
        began = time.process_time()
        while time.process_time() - began < seconds:
            pass
        os._exit(0)
    return child
