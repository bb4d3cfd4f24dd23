"""What engines remember, in a real database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cm_assets.storage.database import Database
from cm_assets.storage.footage import FootageMemory


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Callable[[str], FootageMemory]]:
    """`memory("video-id")`: what that video remembers, all in one database."""
    database = Database(f"sqlite:///{tmp_path / 'memory' / 'cm.sqlite'}")
    yield lambda video: FootageMemory(database, video)
    database.dispose()
