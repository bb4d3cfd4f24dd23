"""The rehearsal leaves nothing but what is compiled, and stops nobody."""

import logging
import tempfile
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from cm_assets.definitions import build_defs
from cm_assets.orchestration import rehearsal, sqlite
from cm_assets.orchestration.rehearsal import rehearse, rehearse_statements
from cm_assets.storage.database import Database, Step


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(threading.enumerate())
    with caplog.at_level(logging.WARNING, "cm_assets"):
        rehearse(build_defs)
    assert not [record for record in caplog.records if record.name.startswith("cm_assets")]
    assert not list(tmp_path.iterdir())
    assert not [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]
    assert set(threading.enumerate()) <= before


def test_what_it_compiled_is_there_for_others(tmp_path: Path) -> None:
    rehearse(build_defs)
    compiled = len(sqlite._engine._compiled_cache or ())
    with dg.DagsterInstance.local_temp(str(tmp_path), {"storage": sqlite.storage(tmp_path)}) as instance:
        instance.add_dynamic_partitions("videos", ["robot"])
        instance.report_runless_asset_event(dg.AssetMaterialization("script", partition="robot"))
    assert compiled > 10
    assert len(sqlite._engine._compiled_cache or ()) <= compiled + 2


def test_what_a_step_asks_a_database_is_compiled_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    rehearse_statements(database)
    assert not [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]
    assert not database.attempts()
    assert not database.progress([rehearsal.VIDEO])
    compiled = len(database._engine._compiled_cache or ())
    database.get("robot")
    database.report_progress("robot", "brief", Step(0.5))
    database.end_attempt("robot", "brief", Step(1.0), "done", 2.0)
    assert len(database._engine._compiled_cache or ()) == compiled
    assert database.attempts() == {("brief", "done"): (1, 2.0)}
    database.dispose()


def test_a_database_that_cannot_be_asked_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cm.sqlite").write_bytes(b"no database" * 1000)
    rehearse_statements(Database(f"sqlite:///{tmp_path / 'cm.sqlite'}"))
    assert "is not rehearsed (DatabaseError)" in caplog.text


def test_runs_go_on_without_it(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object, **__: object) -> dg.Definitions:
        raise RuntimeError("no space left")

    with caplog.at_level(logging.ERROR, rehearsal.log.name):
        rehearse(broken)
    assert "no space left" in caplog.text
