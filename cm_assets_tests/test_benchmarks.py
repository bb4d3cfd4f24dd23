"""Benchmarks fail where they miss a goal, each for itself and all together."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


def judged(*met: bool) -> subprocess.CompletedProcess[str]:
    code = f"from goals import Goals; g = Goals(); [print(g.judge(f'goal {{n}}', met=m)) for n, m in enumerate({met})]"
    command = [sys.executable, "-c", f"{code}; g.end(); print('the end')"]
    return subprocess.run(command, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)


def test_a_benchmark_that_meets_its_goals_ends_well() -> None:
    done = judged(True, True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "met\nmet\nthe end\n", "")


def test_a_benchmark_that_misses_a_goal_ends_with_1_and_names_it() -> None:
    done = judged(False, True, False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "missed\nmet\nmissed\n", "missed: goal 0; goal 2\n")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_has_a_goal_is_judged_by_it(script: Path) -> None:
    text = script.read_text()
    if script.name != "goals.py":
        assert '"missed' not in text
        assert ("goals.judge(" in text) == ("goals.end()" in text) == ("GOAL" in text)


@pytest.mark.parametrize("missing", [None, "startup.py", "render.py"])
def test_all_are_run_and_a_miss_of_one_fails_the_whole(tmp_path: Path, missing: str | None) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "benchmarks", tmp_path / ".ci")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$1" >> ran\ntest "$1" != benchmarks/{missing}\n')
    python.chmod(0o755)
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = subprocess.run(
        [tmp_path / ".ci" / "benchmarks"], env=environment, capture_output=True, text=True, check=False
    )
    ran = (tmp_path / "ran").read_text().split()
    assert len(ran) >= 12
    assert {path.removeprefix("benchmarks/") for path in ran} <= {path.name for path in SCRIPTS}
    assert done.returncode == (1 if missing else 0), done.stderr
    assert missing is None or missing in done.stderr
