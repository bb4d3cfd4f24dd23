"""The same chain of six empty steps in plain job queues: RQ, Celery and BullMQ, on a Redis of their own.

They live in `benchmarks/.peers`, which is made on first use; nothing of the project needs them. What they leave out is
what an orchestrator is for: a record of every step, retries and limits by stage, checks, a graph, a UI, a queue that
survives its server (this Redis keeps nothing).
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "peers"
FOLDER = HERE / ".peers"
PYTHON = FOLDER / "venv" / "bin" / "python"

Chains = list[tuple[float, float]]
"""Seconds from the submission to the first step's start, and to the last one's end."""


def measure(chains: int) -> Mapping[str, Chains | str]:
    """The chains of each peer, or why there are none."""
    if shutil.which("redis-server") is None:
        return dict.fromkeys(("RQ", "Celery", "BullMQ"), "left out: redis-server is missing (apt install redis-server)")
    found: dict[str, Chains | str] = {}
    with _redis() as url:
        for name, prepare, command in (
            ("RQ", _python, [str(PYTHON), str(SOURCES / "chain_rq.py"), url, str(chains)]),
            ("Celery", _python, [str(PYTHON), str(SOURCES / "chain_celery.py"), url, str(chains)]),
            ("BullMQ", _node, ["node", str(FOLDER / "node" / "chain.mjs"), url, str(chains)]),
        ):
            missing = prepare()
            found[name] = missing or _run(command, url)
    return found


def _run(command: list[str], url: str) -> Chains | str:
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONWARNINGS"}}
    with tempfile.TemporaryFile("w+") as log:
        done = subprocess.run(
            command,
            env=kept | {"CHAIN_REDIS": url},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=300,
            check=False,
        )
        log.seek(0)
        said = log.read().strip().splitlines()
    if done.returncode:
        return f"left out: it failed: {said[-1] if said else done.returncode}"
    return [(first, last) for first, last in map(json.loads, done.stdout.splitlines())]


def _python() -> str:
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER / "venv")], check=True)
    have = subprocess.run([str(PYTHON), "-c", "import rq, celery, redis, packaging"], capture_output=True, check=False)
    if have.returncode:
        install = [
            str(PYTHON),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "rq",
            "celery[redis]",
            "packaging",
        ]
        if subprocess.run(install, stdout=sys.stderr, check=False).returncode:
            return "left out: rq and celery could not be installed"
    return ""


def _node() -> str:
    if shutil.which("npm") is None:
        return "left out: npm is missing"
    folder = FOLDER / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "chain.mjs"):
        shutil.copy(SOURCES / name, folder / name)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    if (
        not (folder / "node_modules" / "ioredis").is_dir()
        and subprocess.run(install, cwd=folder, check=False).returncode
    ):
        return "left out: bullmq could not be installed"
    return ""


@contextmanager
def _redis() -> Iterator[str]:
    """A Redis on a free port that keeps nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(["redis-server", *options], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while True:
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if time.monotonic() > deadline:
                    raise SystemExit("redis-server did not start")
                time.sleep(0.02)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()
