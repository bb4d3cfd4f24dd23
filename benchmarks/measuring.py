"""Real runs for `simulation.py`: configurations of the pipeline, made by a whole `cm up`, and what they took.

Stages are stand-ins that sleep, or keep cores busy, for as long as the configuration says; or they are the real ones.
What others do on the machine meanwhile is noted as the number of their processes that could run, for the model.
"""

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from bench_home import REQUEST, BenchHome, bench_home, bury, cpu, figures
from stand_ins.working import WORK

Work = Mapping[str, Mapping[str, float]]

SAMPLE = 0.4
"""Seconds between two looks at who could run."""


@dataclass(frozen=True)
class Configuration:
    """One way to run the pipeline.

    Attributes:
        videos: asked for at once.
        concurrent: `CM_MAX_CONCURRENT_RUNS`.
        work: what each stage does: seconds of sleep, or CPU seconds in so many processes; None for the real stages.
        request: of each video.
    """

    videos: int
    concurrent: int
    work: Work | None
    request: Mapping[str, Any] = field(default_factory=lambda: REQUEST)


def sleeping(audio: float, clips: float, render: float, post: float) -> Work:
    """Stages that only wait."""
    seconds = {"audio": audio, "background_clips": clips, "render": render, "published_post/outbox": post}
    return {stage: {"sleep": length} for stage, length in seconds.items()}


LONGER = {
    "scenes": [
        {"text": "Coffee began with goats that would not sleep, or so the story goes.", "search_terms": ["goat"]},
        {"text": "Two billion cups are drunk a day, from Lima to Helsinki.", "search_terms": ["coffee"]},
        {"text": "And every one of them began as the seed of a cherry.", "search_terms": ["cherry"]},
    ],
    "music": "calm",
}

FITTED = "fitted"
CONFIGURATIONS: Mapping[str, Configuration] = {
    FITTED: Configuration(24, 4, sleeping(2.0, 1.0, 1.0, 0.2)),
    "twelve-at-once": Configuration(36, 12, sleeping(2.0, 1.0, 1.0, 0.2)),
    "two-at-once": Configuration(16, 2, sleeping(2.0, 1.0, 1.0, 0.2)),
    "long-narrations": Configuration(20, 6, sleeping(5.0, 0.5, 0.4, 0.2)),
    "renders-keep-both-cores": Configuration(
        16,
        4,
        {"audio": {"cpu": 0.8}, "background_clips": {"sleep": 0.5}, "render": {"cpu": 1.5, "processes": 2}},
    ),
    "real-stages": Configuration(8, 4, None, LONGER),
}
"""The first is what the model is fitted on; it has to predict the others."""


def measure(one: Configuration, database_url: str = "") -> dict[str, Any]:
    """Make the videos of a configuration; what they took."""
    variables = {"CM_MAX_CONCURRENT_RUNS": str(one.concurrent)}
    if database_url:
        variables["CM_DATABASE_URL"] = database_url
    if one.work is not None:
        variables[WORK] = json.dumps(one.work)
    with (
        tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True) as name,
        bench_home(Path(name), stand_ins=one.work is not None, **variables) as home,
    ):
        bury()
        before = cpu()
        with others() as seen:
            begun = time.time()
            ids = [f"video-{number}" for number in range(one.videos)]
            for number, video in enumerate(ids):
                # Another seed each time, so that nothing is in a cache.
                home.client.submit({**one.request, "id": video, "seed": number}, source="benchmark")
            asked = time.time()
            limit = begun + 120 + 60 * one.videos
            while open_ones := home.client.database.newest(limit=1, wanted=True):
                if time.time() > limit:
                    raise SystemExit(f"{open_ones[0].id} and others are not done; the logs are in {home.folder}")
                time.sleep(0.2)
            stored = [home.client.database.get(video) for video in ids]
        bury()
        used = cpu() - before
        bad = [video.id for video in stored if video is not None and video.outcome != "done"]
        if bad:
            raise SystemExit(f"{bad} are not done; the logs are in {home.folder}")
        closed = [video.closed_at.timestamp() for video in stored if video is not None and video.closed_at is not None]
        latencies = [end - begun for end in closed]
        high = figures(latencies)[1]
        return {
            "makespan": max(closed) - begun,
            "mean": statistics.fmean(latencies),
            "p95": high,
            "submitting": asked - begun,
            "cpu": used / one.videos,
            "others": round(statistics.fmean(seen), 2) if seen else 0.0,
            **gaps(home, one),
        }


def gaps(home: BenchHome, one: Configuration) -> dict[str, Any]:
    """Medians of the seconds between what happens in a run, and of how long each of its steps took."""
    kinds = dg.DagsterEventType
    found: dict[str, list[float]] = {}
    created, launched = [], []
    steps: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)

    ends: dict[str, float] = {}
    for record in reversed(home.instance.get_run_records()):
        run = record.dagster_run
        if record.end_time is None:
            continue
        first: dict[Any, float] = {}
        for entry in home.instance.all_logs(run.run_id):
            if entry.dagster_event is not None:
                first.setdefault(entry.dagster_event.event_type, entry.timestamp)
        spans = {
            step.step_key: (step.start_time, step.end_time)
            for step in home.instance.get_run_step_stats(run.run_id)
            if step.start_time is not None and step.end_time is not None
        }
        began, over = min(start for start, _ in spans.values()), max(end for _, end in spans.values())
        which = "produce" if run.job_name == "produce_video" else "publish"
        created.append(record.create_timestamp.timestamp())
        launched.append(first[kinds.RUN_STARTING])
        note(f"{which}_start", began - first[kinds.RUN_STARTING])
        note(f"{which}_finish", record.end_time - over)
        note(f"{which}_run", record.end_time - first[kinds.RUN_STARTING])
        video = run.tags["dagster/partition"]
        if which == "produce":
            ends[video] = record.end_time
            note("between_brief_and_script", spans["script"][0] - spans["brief"][1])
            for step, (start, end) in spans.items():
                steps.setdefault(step, []).append(end - start)
        else:
            note("until_publish", record.create_timestamp.timestamp() - ends[video])
            for start, end in spans.values():
                steps.setdefault("published_post/outbox", []).append(end - start)
    # The first of all come one after the other without a wait in between.
    for name, times, first_look in (
        ("intake_launch", created, one.concurrent + 2),
        ("daemon_launch", launched, one.concurrent),
    ):
        found[name] = [later - earlier for earlier, later in pairwise(sorted(times)[:first_look])]
    return {
        "gaps": {name: round(statistics.median(values), 3) for name, values in sorted(found.items())},
        "steps": {name: round(statistics.median(values), 3) for name, values in sorted(steps.items())},
    }


@contextmanager
def others() -> Iterator[list[float]]:
    """Count, now and then, the processes of others that run or could run."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        me = psutil.Process()
        while not over.wait(SAMPLE):
            ours = {me.pid}
            with suppress(psutil.Error):
                ours |= {child.pid for child in me.children(recursive=True)}
            count = 0
            for path in Path("/proc").iterdir():
                if path.name.isdigit() and int(path.name) not in ours:
                    with suppress(OSError):
                        fields = (path / "stat").read_text().rpartition(")")[2].split()
                        # Kernel threads have no parent but 2.
                        count += fields[0] == "R" and fields[1] != "2"
            seen.append(count)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def everything(names: Sequence[str], repeats: int, weight: float, output: Path) -> None:
    """Measure configurations, in turn, and add what they took to a file.

    Args:
        names: of the configurations.
        repeats: how often each is measured; the median counts.
        weight: how many times the usual share of the CPU this process and what it starts have; 1 if nobody saw to it.
        output: a JSON file.
    """
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names:
            found = measure(CONFIGURATIONS[name])
            found["others"] = round(found["others"] / weight, 3)
            found["load"] = round(os.getloadavg()[0], 1)
            taken[name].append(found)
            print(f"{turn + 1}/{repeats} {name}: {found['makespan']:.1f} s, load {found['load']}", flush=True)
    stored = json.loads(output.read_text()) if output.is_file() else {"configurations": {}}
    machine = {"cores": os.cpu_count(), "dagster": dg.__version__, "weight": weight}
    for name, runs in taken.items():
        one = asdict(CONFIGURATIONS[name])
        stored["configurations"][name] = one | {
            "measured": median_of(runs),
            "gaps": _medians(runs, "gaps"),
            "steps": _medians(runs, "steps"),
            "repeats": [{key: value for key, value in run.items() if key not in {"gaps", "steps"}} for run in runs],
            "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "machine": machine,
        }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(stored, indent=1) + "\n")


def _medians(runs: Sequence[Mapping[str, Any]], group: str) -> dict[str, float]:
    return median_of([run[group] for run in runs])


def median_of(repeats: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The median of each figure that every repeat has."""
    names = [name for name, value in repeats[0].items() if isinstance(value, int | float)]
    return {name: round(statistics.median(one[name] for one in repeats), 3) for name in names}
