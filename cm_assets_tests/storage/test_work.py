"""Work folders: those of dead steps go, those of living ones stay, wherever these live."""

import os
import subprocess
import sys
import time
from pathlib import Path

from cm_assets.policies import RUN_MAXIMUM, STAGES
from cm_assets.storage.work import new_folder, sweep_work

WORKS = """
import sys, time, pathlib; from cm_assets.storage.work import new_folder
folder = new_folder(pathlib.Path(sys.argv[1]), "a-video")
(folder / "segment.mp4").write_bytes(b"x" * 1000)
print(folder, flush=True)
time.sleep(600)
"""


def test_the_folder_of_a_killed_step_goes_and_those_of_the_living_stay(tmp_path: Path) -> None:
    sweep_work(tmp_path / "work")  # nobody has worked yet
    own = new_folder(tmp_path / "work", "a-video")
    with subprocess.Popen([sys.executable, "-c", WORKS, tmp_path / "work"], stdout=subprocess.PIPE, text=True) as step:
        assert step.stdout is not None
        theirs = Path(step.stdout.readline().strip())
        age(own)
        age(theirs)
        sweep_work(tmp_path / "work")
        assert (theirs / "segment.mp4").exists()
        step.kill()
    sweep_work(tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == [own]


def test_where_pids_mean_nothing_a_folder_goes_when_no_run_can_be_as_old(tmp_path: Path) -> None:
    pid, place = new_folder(tmp_path, "a-video").name.split(".")[1:3]
    dead = 2**22 + 1  # the kernel's pids end before
    # Of another container with the same home, and as they were called when their place was not in their names.
    for name in (f"a.{pid}.elsewhere.x", f"a.{dead}.elsewhere.x", f"a.{pid}.x", f"a.{dead}.x"):
        (tmp_path / name).mkdir()
    sweep_work(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
    for folder in tmp_path.iterdir():
        age(folder)
    sweep_work(tmp_path)
    assert [folder.name.split(".")[2] for folder in tmp_path.iterdir()] == [place]
    assert max(policy.time_limit for policy in STAGES.values()) < RUN_MAXIMUM


def age(folder: Path) -> None:
    """Have been made before any run that may still be at work."""
    then = time.time() - RUN_MAXIMUM - 1
    os.utime(folder, (then, then))
