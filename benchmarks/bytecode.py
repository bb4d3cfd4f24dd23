"""An environment for interpreters that find byte code, as on a machine where they may write it.

Without it (PYTHONDONTWRITEBYTECODE, a read-only installation) every import compiles its source anew, and what is
measured is the compiler.
"""

import os
import tempfile
from pathlib import Path


def environment() -> dict[str, str]:
    """This process's variables, with byte code in a folder of the benchmarks' own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "cm-benchmark" / "bytecode")}
