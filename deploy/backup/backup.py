"""Copies a home of cm_assets while `cm up` runs in it: `python3 backup.py HOME FOLDER`. Needs Python alone.

The order makes what is restored consistent. Dagster's index comes before its runs, and those before their events, so no
run is restored without the checks that it made. The requests and the ledger of posts come after all of that, since it
is they that know what must not be done again. Files come last: what the records name is there by then, for good.
"""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

FIRST = ("dagster/history/runs/index.db", "dagster/history/runs.db", "dagster/schedules/schedules.db")

LAST = ("cm.sqlite", "rates.sqlite")

FILES = ("secret.key", "calendar.yaml", "artifacts", "outbox", "inbox")


def main() -> int:
    """Copy; the exit code."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    home, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    if not home.is_dir():
        print(f"backup: {home} is no folder", file=sys.stderr)
        return 2
    if folder.is_dir() and any((folder / name).exists() for name in (*LAST, "dagster", *FILES)):
        print(f"backup: {folder} holds a backup already; give each one a folder of its own", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    events = sorted((home / "dagster/history/runs").glob("*.db"))
    for path in [*(home / name for name in FIRST), *events, *(home / name for name in LAST)]:
        _copy_database(path, folder / path.relative_to(home))
    for name in FILES:
        _copy_files(home / name, folder / name)
    return 0


def _copy_database(source: Path, target: Path) -> None:
    """By SQLite's own online backup, which sees whole transactions. One that is gone by now has retired."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=60)) as here:
            here.execute("select 1 from sqlite_master").fetchall()
            with closing(sqlite3.connect(target)) as there:
                here.backup(there)
    except sqlite3.OperationalError:
        if source.exists():
            raise
        target.unlink(missing_ok=True)


def _copy_files(source: Path, target: Path) -> None:
    """A file or a folder, without what is in the making. What vanishes meanwhile has retired, or was taken in."""
    if source.is_file():
        shutil.copy2(source, target)
        return
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.name.startswith("."):
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, place)
        except FileNotFoundError:
            place.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
