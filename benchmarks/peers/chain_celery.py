"""Six empty tasks a chain in Celery, audio and clips as a chord, two processes. Prints [first start, last end]."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import celery

URL = os.environ["CHAIN_REDIS"]

app = celery.Celery("chain_celery", broker=URL, backend=URL)


@app.task
def step(before: Any = None) -> list[float]:
    """When the chain's first step started, and when this one ended."""
    now = time.time()
    while isinstance(before, list) and isinstance(before[0], list):
        before = before[0]
    return [before[0] if before else now, time.time()]


def main() -> None:
    chains = int(sys.argv[2])
    options = ["--concurrency", "2", "--loglevel", "ERROR", "--without-mingle", "--without-gossip"]
    program = str(Path(sys.executable).with_name("celery"))
    worker = subprocess.Popen(
        [program, "-A", "chain_celery", "worker", *options], cwd=Path(__file__).parent, stdout=sys.stderr
    )
    try:
        for number in range(chains + 1):
            begun = time.time()
            chord = celery.chord([step.s(), step.s()], step.s())
            done = celery.chain(step.s(), step.s(), chord, step.s()).apply_async()
            first, last = done.get(timeout=30, interval=0.005)
            if number:  # the first waits for the worker to start
                print(json.dumps([first - begun, last - begun]), flush=True)
            time.sleep(0.05)
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
