"""The warm parent and its workers, as real processes: started, guarded, killed, asked to end, renewed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from cm_assets.orchestration import launcher as launching
from cm_assets.orchestration.launcher import Nursery, WarmParent
from cm_assets.orchestration.workers import Worker, started
from cm_assets_tests.conftest import called, until

WORK = """
import os, signal, subprocess, sys, time

def execute(args):
    how = args.run_id
    if how == "print":
        print("printed by", os.getpid(), flush=True)
    if how == "leave":
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        sys.exit(0)
    if how == "wait":
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        time.sleep(600)
    if how == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(600)
"""


@dg.job
def nothing() -> None:
    """A job that is never executed."""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module whose workers do as the id of their run says."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "fake.py").write_text(WORK)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def parent(program: Path) -> Iterator[WarmParent]:
    one = WarmParent((), "a generation", "fake")
    yield one
    one.retire()
    assert until(lambda: not one.alive, 10)


def run(how: str) -> str:
    origin = dg.reconstructable(nothing).get_python_origin()
    return serialize_value(ExecuteRunArgs(origin, run_id=how, instance_ref=None, set_exit_code_on_failure=None))


def worker(parent: WarmParent, how: str) -> Worker:
    said = Worker.parse(parent.launch(run(how)))
    assert said is not None
    return said


def test_a_worker_lives_under_its_guard_and_both_end(parent: WarmParent) -> None:
    one = worker(parent, "print")
    assert one.local
    assert until(lambda: not one.alive and started(one.guard) is None, 10)


def test_what_a_worker_leaves_behind_is_ended(parent: WarmParent) -> None:
    one = worker(parent, "leave")
    assert until(lambda: started(one.guard) is None, 10)
    assert not sleepers()


def test_a_killed_worker_takes_all_that_it_started_with_it(parent: WarmParent) -> None:
    one = worker(parent, "wait")
    assert until(sleepers, 10)
    os.kill(one.pid, signal.SIGKILL)
    assert until(lambda: started(one.guard) is None, 10)
    assert not sleepers()


@pytest.mark.parametrize("how", ["wait", "deaf"])
def test_a_guard_that_is_asked_ends_its_worker(parent: WarmParent, how: str) -> None:
    one = worker(parent, how)
    time.sleep(0.5)
    start = time.monotonic()
    os.kill(one.guard, signal.SIGTERM)
    assert until(lambda: not one.alive and started(one.guard) is None, 10)
    assert time.monotonic() - start < 5
    assert not sleepers()


def test_workers_outlive_their_parent(parent: WarmParent) -> None:
    one = worker(parent, "wait")
    parent._process.kill()
    assert until(lambda: not parent.alive, 5)
    time.sleep(0.5)
    assert one.alive
    os.kill(one.guard, signal.SIGTERM)
    assert until(lambda: not one.alive, 10)


def test_a_parent_that_died_is_replaced_and_its_death_is_said(program: Path) -> None:
    nursery = Nursery("fake")
    first = nursery.launch(run("print"), (), str(program / "home"))
    assert nursery._parent is not None
    nursery._parent._process.kill()
    assert until(lambda: nursery._parent is not None and not nursery._parent.alive, 5)
    second = nursery.launch(run("print"), (), str(program / "home"))
    assert first != second
    nursery._parent.retire()


def test_a_module_that_cannot_be_imported_is_said(program: Path) -> None:
    one = WarmParent(("no_such_module",), "a generation", "fake")
    with pytest.raises(RuntimeError, match="has died"):
        one.launch(run("print"))
    one.retire()


def test_a_module_that_starts_a_thread_is_refused(program: Path) -> None:
    (program / "site" / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    one = WarmParent(("threaded",), "a generation", "fake")
    with pytest.raises(RuntimeError, match="has died"):
        one.launch(run("print"))
    one.retire()


def test_changed_code_and_configuration_make_another_parent(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = program / "package"
    package.mkdir()
    (package / "assets.py").write_text("one = 1\n")
    monkeypatch.setattr(launching, "PACKAGE", package)
    nursery, home = Nursery("fake"), program / "home"
    nursery.launch(run("print"), (), str(home))
    parents = [nursery._parent]
    nursery.launch(run("print"), (), str(home))
    assert nursery._parent is parents[0]
    (package / "assets.py").write_text("one = 22\n")
    nursery.launch(run("print"), (), str(home))
    parents.append(nursery._parent)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    nursery.launch(run("print"), (), str(home))
    parents.append(nursery._parent)
    assert len(set(map(id, parents))) == 3
    assert until(lambda: [one.alive for one in parents if one is not None] == [False, False, True], 10)
    assert nursery._parent is not None
    nursery._parent.retire()


def sleepers() -> list[psutil.Process]:
    """The children that the workers of this test process started."""
    return [one for one in called("sleep", psutil.process_iter()) if "600" in _command(one)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
