"""Has the stages of every process that finds this folder in PYTHONPATH do no work.

A file here takes the place of the module of its name; all else is the product's own: definitions, jobs, launcher,
executor, stage wrapper with its progress and time limit, IO manager, checks as events, pools, the gate of the posts.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

FOLDERS = {path.name: [str(path)] for path in Path(__file__).parent.iterdir() if path.name.startswith("cm_assets.")}


class StandIns(MetaPathFinder):
    """Finds the modules that lie here."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The stand-in of a module, if there is one."""
        folder = FOLDERS.get(fullname.rpartition(".")[0])
        return PathFinder.find_spec(fullname, folder) if folder else None


sys.meta_path.insert(0, StandIns())
