"""CPU seconds and time of each stage of a real video, each in a process of its own, as a run makes them.

    python benchmarks/stages.py [--repeats N] [--output FILE]

`simulation.py` takes its stages from here. The three requests are a short one, one of half a minute, and one of a
minute and a half; footage is illustrated, the voice the built-in one. To be run when nothing else is at work.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from measuring import LONGER

from cm_assets.assets.stage import Stage, Stages
from cm_assets.definitions import build_defs
from cm_assets.partitions import PARTITIONS
from cm_assets.policies import PRODUCE
from cm_assets.settings import Settings
from cm_assets.storage.database import Database

OUTPUT = Path(__file__).with_name("measured") / "stages.json"
POST = "published_post/outbox"


def requests() -> Mapping[str, Mapping[str, Any]]:
    """What is made."""
    demo = yaml.safe_load((Path(__file__).parents[1] / "examples" / "ai-trends.yaml").read_text())
    demo.pop("id", None)
    three = [scene | {"text": scene["text"]} for _ in range(3) for scene in demo["scenes"]]
    return {"short": LONGER, "half-a-minute": demo, "minute-and-a-half": {**demo, "scenes": three}}


class Timed(Stages):
    """Runs stages, and notes what each has used."""

    def __init__(self, database: Database, work: Path, notes: Path) -> None:
        super().__init__(database, work)
        self._notes = notes

    @contextmanager
    def run(self, context: Any, name: str | None = None) -> Iterator[Stage]:
        """Run the body as a stage."""
        before, began = _cpu(), time.monotonic()
        with super().run(context, name) as stage:
            yield stage
        taken = {"cpu": _cpu() - before, "seconds": time.monotonic() - began}
        self._notes.write_text(json.dumps(taken))


def _cpu() -> float:
    """CPU seconds of this process and of those that it waited for."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def measure(request: Mapping[str, Any], seed: int) -> dict[str, dict[str, float]]:
    """Make a video, stage after stage; CPU seconds and time of each."""
    taken: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="cm-bench-") as name:
        folder = Path(name)
        settings = Settings(home=folder / "home")
        (folder / "dagster").mkdir()
        os.environ["DAGSTER_HOME"] = str(folder / "dagster")
        (folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        notes = folder / "notes.json"
        timed = Timed(Database(settings.database), settings.home / "work", notes)
        repository = build_defs(settings, overrides={"stages": timed}).get_repository_def()
        video = f"video-{seed}"
        document = {**request, "id": video, "seed": seed}
        for stage in (*PRODUCE, POST):
            # A process for each, as in a run: what it imports is part of its work.
            child = os.fork()
            if child == 0:
                code = 1
                with (folder / "log").open("ab") as log:
                    os.dup2(log.fileno(), 2)
                try:
                    with dg.DagsterInstance.get() as instance:
                        instance.add_dynamic_partitions(PARTITIONS, [video])
                        job = repository.get_job("publish_video" if stage == POST else "produce_video")
                        config = {"ops": {"brief": {"config": {"request": document}}}} if stage == "brief" else {}
                        done = job.execute_in_process(
                            config, instance, partition_key=video, asset_selection=[dg.AssetKey(stage.split("/"))]
                        )
                        code = 0 if done.success else 1
                finally:
                    os._exit(code)
            if os.waitpid(child, 0)[1]:
                raise SystemExit(f"{stage} failed:\n{(folder / 'log').read_text()[-3000:]}")
            taken[stage] = json.loads(notes.read_text())
        artifacts = [path for path in (folder / "home" / "artifacts").rglob("*") if path.is_file()]
        films = [path for path in artifacts if path.parent.name == "render" and path.suffix == ".mp4"]
        taken["video"] = {
            "bytes": sum(path.stat().st_size for path in artifacts),
            "files": len(artifacts),
            "render_bytes": sum(path.stat().st_size for path in films),
        }
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    found: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "requests": {},
    }
    for name, request in requests().items():
        taken = [measure(request, seed) for seed in range(options.repeats)]
        found["requests"][name] = {
            stage: {key: round(statistics.median(one[stage][key] for one in taken), 3) for key in taken[0][stage]}
            for stage in taken[0]
        }
        print(f"{name}:")
        for stage, figures in found["requests"][name].items():
            print(f"  {stage:<24}" + "".join(f"{value:>12.2f} {key}" for key, value in figures.items()), flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
