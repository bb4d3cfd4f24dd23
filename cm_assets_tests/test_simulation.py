"""The model behind docs/scale.md against what was measured on the real system, and against what can be reckoned."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MEASURED = BENCHMARKS / "measured" / "configurations.json"
ROW = re.compile(r"^(\S+) +([\d.]+) / ([\d.]+) ", re.MULTILINE)


def simulation(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "simulation.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def evaluated(code: str) -> object:
    """An expression over the names of the simulation and of simpy."""
    program = f"import json, simpy; from simulation import *; print(json.dumps({code}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    value: object = json.loads(done.stdout)
    return value


def test_it_predicts_what_was_measured_and_not_fitted_within_15_per_cent() -> None:
    done = simulation()
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {name: (float(said), float(took)) for name, said, took in ROW.findall(done.stdout)}
    stored = json.loads(MEASURED.read_text())["configurations"]
    assert set(rows) == set(stored)
    assert len(rows) >= 4
    for name, (said, took) in rows.items():
        assert took == pytest.approx(stored[name]["measured"]["makespan"], abs=0.1)
        assert said == pytest.approx(took, rel=0.15), name


def test_a_measurement_that_it_does_not_predict_is_a_miss(tmp_path: Path) -> None:
    stored = json.loads(MEASURED.read_text())
    stored["configurations"]["twelve-at-once"]["measured"]["makespan"] *= 1.5
    other = tmp_path / "measured.json"
    other.write_text(json.dumps(stored))
    done = simulation("--measured", other)
    assert done.returncode == 1
    assert "missed: makespan of twelve-at-once" in done.stderr


def test_those_who_work_at_once_share_the_cores_alike() -> None:
    # Three of one second on two cores: each has two thirds of a core. One alone has no more than one.
    three = "(lambda env, cores: (env.run(env.all_of([cores.work(1.0) for _ in range(3)])), env.now)[1])"
    made = "(lambda env: (env, Cores(env, 2, 0.0)))(simpy.Environment())"
    assert evaluated(f"{three}(*{made})") == pytest.approx(1.5)
    assert evaluated(f"(lambda env, cores: (env.run(cores.work(1.0)), env.now)[1])(*{made})") == pytest.approx(1.0)
    crowded = made.replace("0.0", "2.0")
    # Others want two cores as well: three of ours and two of theirs on two cores.
    assert evaluated(f"{three}(*{crowded})") == pytest.approx(2.5)


def test_a_pool_serves_who_waited_longest_at_its_next_look() -> None:
    # One place, kept for 0.7 s by each of three: the second looks again after 1.0 s, the third after 2.0 s.
    program = """
import json, simpy
from simulation import Pool
env, order = simpy.Environment(), []
pool = Pool(env, 1)
def one(name):
    yield from pool.claim()
    order.append((name, env.now))
    yield env.timeout(0.7)
    pool.free()
for name in "abc":
    env.process(one(name))
env.run()
print(json.dumps(order))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["a", 0], ["b", 1.0], ["c", 2.0]]


def test_without_orchestration_a_pipeline_is_as_slow_as_its_narrowest_pool() -> None:
    # Renders of two seconds, one at a time, and looks that take no time.
    nothing = "Costs(0, 0, 0, {'produce': 0, 'publish': 0}, 0, 0, 0, 0)"
    code = f"Model(Pipeline({{'render': Stage(2.0)}}, 50, {nothing}), [0.0] * 40).run().makespan"
    took = evaluated(code)
    assert isinstance(took, float)
    # And up to half a second each until the next one asks.
    assert 80 <= took <= 105
