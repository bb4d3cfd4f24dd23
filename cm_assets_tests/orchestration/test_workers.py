"""A worker is known for what it is, and no other process is taken for it."""

import dataclasses
import os
import subprocess

from cm_assets.orchestration.workers import Worker, started
from cm_assets.storage.hosts import here
from cm_assets_tests.conftest import until


def test_a_worker_is_found_again_by_its_tag() -> None:
    one = Worker.current()
    again = Worker.parse(str(one))
    assert again == one
    assert again.local
    assert again.alive


def test_another_process_with_the_same_pid_is_another() -> None:
    assert not dataclasses.replace(Worker.current(), started="1").alive


def test_the_dead_and_zombies_do_not_live() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        begun = started(process.pid)
        assert begun is not None
        worker = Worker(here(), os.getpid(), process.pid, begun)
        lived = [worker.alive]
        process.kill()
        lived.append(not until(lambda: not worker.alive, 10))  # a zombie: nobody has waited for it
        process.wait()
        lived.append(worker.alive)
    assert lived == [True, False, False]


def test_a_worker_elsewhere_cannot_be_judged_here() -> None:
    assert not dataclasses.replace(Worker.current(), host="elsewhere/1").local


def test_what_is_no_worker_is_none() -> None:
    assert Worker.parse("") is None
    assert Worker.parse("a|b|c|d") is None
    assert Worker.parse("a|1|2") is None
