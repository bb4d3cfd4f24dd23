"""What it costs to import the definitions, as every run worker does, against importing Dagster alone.

    python benchmarks/startup.py [--pairs NUMBER]

Fresh interpreters in turn, so that a busy machine slows both sides alike. CPU seconds of each process, user and system;
the ratio is that of the medians. Then the packages that only the definitions import, by their own import time.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict

import bytecode
from goals import Goals

BASE, OURS = "import dagster", "import cm_assets.definitions"
GOAL = 1.3
ENVIRONMENT = bytecode.environment()
SHOWN = 8

_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)")


def cpu(code: str) -> float:
    """CPU seconds of a fresh interpreter that runs `code`."""
    process = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{code!r} failed")
    return used.ru_utime + used.ru_stime


def imported(code: str) -> dict[str, float]:
    """Milliseconds that each module took for itself."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT).stderr
    return {match[2]: int(match[1]) / 1000 for match in _LINE.finditer(said)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    for code in (BASE, OURS):
        cpu(code)  # writes the byte code, and brings the files into the page cache
    pairs = [(cpu(BASE), cpu(OURS)) for _ in range(options.pairs)]
    base, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(ours / base for base, ours in pairs)
    print(f"{BASE:<28} {base:6.2f} CPU s")
    print(f"{OURS:<28} {ours:6.2f} CPU s")
    goals = Goals()
    said = goals.judge("ratio", met=ours / base <= GOAL)
    print(f"ratio {ours / base:.2f} (single pairs {ratios[0]:.2f} to {ratios[-1]:.2f}; target {GOAL})  {said}")
    there = imported(BASE)
    packages: defaultdict[str, float] = defaultdict(float)
    for module, milliseconds in imported(OURS).items():
        if module not in there:
            packages[module.partition(".")[0]] += milliseconds
    print(f"\nimported beside Dagster, {sum(packages.values()):.0f} ms by the interpreter's own clock:")
    for package, milliseconds in sorted(packages.items(), key=lambda entry: -entry[1])[:SHOWN]:
        print(f"  {package:<26} {milliseconds:6.0f} ms")
    goals.end()


if __name__ == "__main__":
    main()
