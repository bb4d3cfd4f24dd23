"""Six empty jobs a chain in RQ, audio and clips side by side, two workers. Prints [first start, last end] of each."""

import json
import subprocess
import sys
import time
from pathlib import Path

import redis
import rq

STEPS = ("brief", "script", "audio", "background_clips", "render", "post")


def step() -> tuple[float, float]:
    now = time.time()
    return now, time.time()


def main() -> None:
    url, chains = sys.argv[1], int(sys.argv[2])
    queue = rq.Queue(connection=redis.Redis.from_url(url))
    command = [
        str(Path(sys.executable).with_name("rq")),
        "worker",
        "-u",
        url,
        "--quiet",
        "-P",
        str(Path(__file__).parent),
    ]
    workers = [subprocess.Popen(command, stdout=sys.stderr) for _ in range(2)]
    try:
        for number in range(chains + 1):
            begun = time.time()
            first = queue.enqueue("chain_rq.step")
            script = queue.enqueue("chain_rq.step", depends_on=first)
            sides = [queue.enqueue("chain_rq.step", depends_on=script) for _ in range(2)]
            render = queue.enqueue("chain_rq.step", depends_on=sides)
            last = queue.enqueue("chain_rq.step", depends_on=render)
            while not last.is_finished:
                if time.time() - begun > 30:
                    raise SystemExit("RQ did not end the chain in 30 s")
                time.sleep(0.005)
                last.refresh()
            first.refresh()
            if number:  # the first waits for the workers to start
                print(json.dumps([first.return_value()[0] - begun, last.return_value()[1] - begun]), flush=True)
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


if __name__ == "__main__":
    main()
