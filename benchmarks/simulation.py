"""A model of the pipeline: what it would do with other settings, other stages, more hosts.

    python benchmarks/simulation.py              what it predicts of what was measured; exit code 1 beyond 15 %
    python benchmarks/simulation.py --measure    measures first, on the real system (`measuring.py`): 25 minutes
    python benchmarks/simulation.py --curve      hosts for up to 100,000 videos a day, and the picture of docs/scale.md

The model has the parts of the real system that videos wait for: the backlog and its order; the intake, which looks four
times a second and launches one run after the other, never more than can run and two; the daemon, which looks twice a
second and starts one run after the other; runs with their stages, and the places in pools, which a run asks for again
every half second; the second run, which posts. What takes CPU shares the cores of its host with all that does at that
moment, Dagster's own work included. Costs of that work are read off one measured configuration, `measuring.FITTED`, and
scaled by the one factor that makes the model agree with it. All others are predicted.
"""

import argparse
import heapq
import json
import math
import random
import statistics
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import simpy
from goals import Goals

from cm_assets.policies import PRODUCE, STAGES

MEASURED = Path(__file__).with_name("measured") / "configurations.json"
STAGES_MEASURED = MEASURED.with_name("stages.json")
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "scale.svg"

GOAL = 0.15
"""Of the makespan, between what is predicted and what is measured."""

FITTED = "fitted"

TICK, QUEUE_TICK, CLAIM_AGAIN = 0.25, 0.5, 0.5
"""Seconds between two looks: of the intake, of the daemon, of a run at a full pool."""

SPARE = 2
"""Runs in the queue beyond those that can run."""

POST = "published_post/outbox"

Event = Generator[simpy.Event, Any, None]
Jobs = Sequence[float]
"""CPU seconds, of each process that works at the same time."""


@dataclass(frozen=True)
class Costs:
    """Seconds of work that orchestration costs, beside the stages' own.

    Attributes:
        look: of the intake, at one video that has no run.
        launch: of the intake, to put a run into the queue.
        start: of the daemon, to start a run's worker.
        begin: of a worker, by job, until its first step begins.
        step: of a step beside its stage's work: its fork, what it reads and writes.
        between: between two steps of a run.
        end: of a worker, from its last step's end to its run's.
        polling: cores that the processes of a home keep busy all the time.
    """

    look: float
    launch: float
    start: float
    begin: Mapping[str, float]
    step: float
    between: float
    end: float
    polling: float

    def scaled(self, factor: float) -> "Costs":
        """All that runs take, times a factor."""
        return Costs(
            self.look * factor,
            self.launch * factor,
            self.start * factor,
            {job: seconds * factor for job, seconds in self.begin.items()},
            self.step * factor,
            self.between * factor,
            self.end * factor,
            self.polling,
        )


@dataclass(frozen=True)
class Stage:
    """What a stage does: it waits, then its processes work."""

    sleep: float = 0.0
    jobs: Jobs = ()


@dataclass(frozen=True)
class Pipeline:
    """One way to run it.

    Attributes:
        stages: what each does.
        concurrent: runs at once.
        hosts: machines that make videos, each with the pools' limits.
        cores: of each.
        others: processes of others that want a core of each host all the time.
        costs: of orchestration.
        apart: whether intake and daemon have a machine of their own; else they share the first host.
    """

    stages: Mapping[str, Stage]
    concurrent: int
    costs: Costs
    hosts: int = 1
    cores: int = 2
    others: float = 0.0
    apart: bool = False


@dataclass
class Outcome:
    """What came out of it.

    Attributes:
        latencies: seconds from each video's request to its end.
        makespan: seconds from the first request to the last end.
        busy: share of the hosts' cores that was used.
        waiting: mean seconds that a video was in the backlog and in the queue before its first run.
    """

    latencies: list[float] = field(default_factory=list)
    makespan: float = 0.0
    busy: float = 0.0
    waiting: float = 0.0

    @property
    def mean(self) -> float:
        """Mean latency."""
        return statistics.fmean(self.latencies)

    @property
    def p95(self) -> float:
        """95th percentile of the latencies."""
        return statistics.quantiles(self.latencies, n=20, method="inclusive")[-1]


class Cores:
    """Cores that all who work at one moment share alike, none with more than one."""

    def __init__(self, env: simpy.Environment, cores: float, others: float) -> None:
        self._env = env
        self._cores = cores
        self._others = others
        self._done = 0.0  # work that each job has been given, had it been here from the beginning
        self._since = 0.0
        self._jobs: list[tuple[float, int, simpy.Event]] = []
        self._number = 0
        self._timer = 0
        self.used = 0.0

    def work(self, seconds: float) -> simpy.Event:
        """Done once a process has had so many CPU seconds."""
        done = self._env.event()
        if seconds <= 0:
            return done.succeed()
        self._advance()
        self._number += 1
        heapq.heappush(self._jobs, (self._done + seconds, self._number, done))
        self._plan()
        return done

    @property
    def _rate(self) -> float:
        count = len(self._jobs)
        return min(1.0, self._cores / (count + self._others)) if count else 0.0

    def _advance(self) -> None:
        passed, self._since = self._env.now - self._since, self._env.now
        self._done += passed * self._rate
        self.used += passed * self._rate * len(self._jobs)

    def _plan(self) -> None:
        self._timer += 1
        if self._jobs:
            left = max(0.0, self._jobs[0][0] - self._done)
            self._env.process(self._wait(self._timer, left / self._rate))

    def _wait(self, timer: int, seconds: float) -> Event:
        yield self._env.timeout(seconds)
        if timer != self._timer:
            return
        self._advance()
        while self._jobs and self._jobs[0][0] <= self._done + 1e-9:
            heapq.heappop(self._jobs)[2].succeed()
        self._plan()


class Pool:
    """Places for steps; one that comes free is promised to who waited longest, and taken at that run's next look."""

    def __init__(self, env: simpy.Environment, limit: int) -> None:
        self._env = env
        self._free = limit
        self._waiting: deque[simpy.Event] = deque()

    def claim(self) -> Event:
        """Take a place, or wait in line."""
        if self._free:
            self._free -= 1
            return
        promised, since = self._env.event(), self._env.now
        self._waiting.append(promised)
        yield promised
        yield self._env.timeout(CLAIM_AGAIN - (self._env.now - since) % CLAIM_AGAIN)

    def free(self) -> None:
        """Give a place back."""
        if self._waiting:
            self._waiting.popleft().succeed()
        else:
            self._free += 1


@dataclass(eq=False)
class Video:
    """A request on its way."""

    asked: float
    next: str = "produce"
    active: bool = False
    begun: float | None = None


class Model:
    """The pipeline at work."""

    def __init__(self, pipeline: Pipeline, arrivals: Sequence[float]) -> None:
        self._pipeline = pipeline
        self._costs = pipeline.costs
        self._env = simpy.Environment()
        self._hosts = [
            Cores(self._env, max(0.1, pipeline.cores - (pipeline.costs.polling if number == 0 else 0)), pipeline.others)
            for number in range(pipeline.hosts)
        ]
        self._head = Cores(self._env, pipeline.cores, 0.0) if pipeline.apart else self._hosts[0]
        # A step is made where its run is, so each host has the pools' places for itself; posts are made one by one.
        self._pools = [
            {policy.pool: Pool(self._env, policy.pool_limit) for policy in STAGES.values() if policy.pool}
            for _ in range(pipeline.hosts)
        ]
        post = STAGES[POST].pool
        for pools in self._pools:
            pools[post] = self._pools[0][post]
        self._backlog: list[Video] = []
        self._queue: list[tuple[Video, str]] = []
        self._in_flight = self._running = 0
        self._open = len(arrivals)
        self._runs_of = [0] * pipeline.hosts
        self._arrivals = arrivals
        self._waits: list[float] = []
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Make all videos."""
        self._env.process(self._ask())
        self._env.process(self._intake())
        self._env.process(self._daemon())
        while self._open:
            self._env.step()
        now = self._env.now
        self.outcome.makespan = now - self._arrivals[0]
        self.outcome.busy = sum(host.used for host in self._hosts) / (now * self._pipeline.hosts * self._pipeline.cores)
        self.outcome.waiting = statistics.fmean(self._waits)
        return self.outcome

    def _ask(self) -> Event:
        for at in self._arrivals:
            yield self._env.timeout(max(0.0, at - self._env.now))
            self._backlog.append(Video(self._env.now))

    def _intake(self) -> Event:
        capacity = self._pipeline.concurrent + SPARE
        while True:
            seen = [(video, video.active) for video in self._backlog[: 2 * capacity]]
            room = capacity - self._in_flight
            for video, was_active in seen:
                if room <= 0:
                    break
                if was_active:
                    continue
                yield self._head.work(self._costs.look)
                if video.next == "done":
                    self._backlog.remove(video)
                    self.outcome.latencies.append(self._env.now - video.asked)
                    self._open -= 1
                    continue
                yield self._head.work(self._costs.launch)
                video.active = True
                room -= 1
                self._in_flight += 1
                self._queue.append((video, video.next))
            yield self._env.timeout(TICK)

    def _daemon(self) -> Event:
        while True:
            while self._queue and self._running < self._pipeline.concurrent:
                self._running += 1
                video, job = self._queue.pop(0)
                yield self._head.work(self._costs.start)
                self._env.process(self._run(video, job))
            yield self._env.timeout(QUEUE_TICK)

    def _run(self, video: Video, job: str) -> Event:
        number = min(range(self._pipeline.hosts), key=self._runs_of.__getitem__)
        self._runs_of[number] += 1
        host = self._hosts[number]
        yield host.work(self._costs.begin[job])
        if video.begun is None:
            video.begun = self._env.now
            self._waits.append(video.begun - video.asked)
        if job == "produce":
            first, second, *rest = PRODUCE
            yield from self._step(first, number)
            yield from self._step(second, number)
            both = [self._env.process(self._step(stage, number)) for stage in rest[:2]]
            yield self._env.all_of(both)
            yield from self._step(rest[2], number)
        else:
            yield from self._step(POST, number)
        yield host.work(self._costs.end)
        self._runs_of[number] -= 1
        self._running -= 1
        self._in_flight -= 1
        video.next = "publish" if job == "produce" else "done"
        video.active = False

    def _step(self, name: str, number: int) -> Event:
        host, pool = self._hosts[number], self._pools[number].get(STAGES[name].pool)
        yield host.work(self._costs.between)
        if pool is not None:
            yield from pool.claim()
        stage = self._pipeline.stages.get(name, Stage())
        yield host.work(self._costs.step)
        if stage.sleep:
            yield self._env.timeout(stage.sleep)
        if stage.jobs:
            yield self._env.all_of([host.work(seconds) for seconds in stage.jobs])
        if pool is not None:
            pool.free()


def costs_of(measured: Mapping[str, Any]) -> Costs:
    """What orchestration costs, as the gaps of a measured configuration show it, before it is scaled."""
    gaps, steps, work = measured["gaps"], measured["steps"], measured["work"]
    beside = [steps[name] - work.get(name, {}).get("sleep", 0.0) for name in (*PRODUCE, POST)]
    start = gaps["daemon_launch"]
    look = gaps["intake_launch"] / 4
    return Costs(
        look=look,
        launch=gaps["intake_launch"] - look,
        start=start,
        begin={
            "produce": max(gaps["produce_start"] - start, 0.02),
            "publish": max(gaps["publish_start"] - start, 0.02),
        },
        step=statistics.fmean(beside),
        between=gaps["between_brief_and_script"],
        end=gaps["produce_finish"],
        polling=0.0,
    )


def stages_of(work: Mapping[str, Mapping[str, float]]) -> dict[str, Stage]:
    """The stages of a configuration of stand-ins."""
    return {
        name: Stage(one.get("sleep", 0.0), (one["cpu"],) * int(one.get("processes", 1)) if "cpu" in one else ())
        for name, one in work.items()
    }


def real_stages(name: str) -> dict[str, Stage]:
    """The stages of a real video, as `stages.py` has measured them one by one."""
    found = json.loads(STAGES_MEASURED.read_text())["requests"][name]
    stages = {}
    for stage in (*PRODUCE, POST):
        cpu, seconds = found[stage]["cpu"], found[stage]["seconds"]
        stages[stage] = Stage(max(0.0, seconds - cpu), (seconds, cpu - seconds) if cpu > seconds else (cpu,))
    return stages


def pipeline_of(one: Mapping[str, Any], costs: Costs) -> Pipeline:
    """A measured configuration, to be predicted."""
    stages = real_stages("short") if one["work"] is None else stages_of(one["work"])
    return Pipeline(stages, one["concurrent"], costs, others=one["measured"]["others"])


def predict(one: Mapping[str, Any], costs: Costs) -> Outcome:
    """What the model says of a configuration: all its videos asked for at once."""
    return Model(pipeline_of(one, costs), [0.0] * one["videos"]).run()


def fit(one: Mapping[str, Any]) -> Costs:
    """The costs with which the model agrees with a measured configuration in its makespan and its CPU seconds."""
    measured, raw = one["measured"], costs_of(one)
    polling = 0.1
    costs = raw
    for _ in range(4):
        low, high = 0.05, 4.0
        for _ in range(16):
            factor = (low + high) / 2
            costs = replace(raw, polling=polling).scaled(factor)
            if predict(one, costs).makespan < measured["makespan"]:
                low = factor
            else:
                high = factor
        outcome = predict(one, costs)
        used = outcome.busy * outcome.makespan * 2
        polling = min(1.0, max(0.0, (measured["cpu"] * one["videos"] - used) / outcome.makespan))
    return costs


def check(stored: Mapping[str, Any]) -> None:
    """Predict what was measured; exit code 1 if a makespan is off by more than the goal."""
    goals, configurations = Goals(), stored["configurations"]
    costs = fit(configurations[FITTED])
    print(f"{'seconds':<26}{'makespan':>20}{'off':>7}{'mean latency':>20}{'p95':>20}")
    for name, one in configurations.items():
        outcome, measured = predict(one, costs), one["measured"]
        off = outcome.makespan / measured["makespan"] - 1
        pairs = [
            f"{a:.1f} / {b:.1f}"
            for a, b in (
                (outcome.makespan, measured["makespan"]),
                (outcome.mean, measured["mean"]),
                (outcome.p95, measured["p95"]),
            )
        ]
        verdict = "fitted" if name == FITTED else goals.judge(f"makespan of {name}", met=abs(off) <= GOAL)
        print(f"{name:<26}{pairs[0]:>20}{off:>7.0%}{pairs[1]:>20}{pairs[2]:>20}  {verdict}")
    print("each predicted / measured; goal: the makespan within 15 %")
    goals.end()


DAY = 86400.0

MIXES = {"short": "short", "half a minute": "half-a-minute", "a minute and a half": "minute-and-a-half"}
"""Kinds of videos, and their requests in `stages.py`."""

VOLUMES = (1_000, 3_000, 10_000, 30_000, 100_000, 200_000)
"""Videos a day: those of one fleet, and more than it can take."""

WINDOW = 300.0
"""Seconds of a day that are simulated, after as many seconds in which the pipeline fills."""

CONCURRENT = 4
"""Runs at once for each host, as is the default for one."""

PATIENCE = 3.0
"""95 of 100 videos are to be done in so many times as long as one takes that has everything for itself."""


@dataclass(frozen=True)
class Point:
    """What so many videos a day take.

    Attributes:
        videos: a day.
        hosts: that make them.
        concurrent: runs at once.
        busy: share of their cores that is used.
        latency: median seconds of a video, and its 95th percentile.
        launches: runs a second.
        keeps_up: whether that many hosts are enough; else nothing is gained by more.
    """

    videos: int
    hosts: int
    concurrent: int
    busy: float
    latency: tuple[float, float]
    launches: float
    keeps_up: bool


def cpu_of(stages: Mapping[str, Stage], costs: Costs) -> float:
    """CPU seconds of a video on its host, and those of orchestration that its workers take."""
    own = sum(sum(stage.jobs) for stage in stages.values())
    steps = len(PRODUCE) + 1
    return own + costs.begin["produce"] + costs.begin["publish"] + steps * (costs.step + costs.between) + 2 * costs.end


def ceiling_of(costs: Costs) -> float:
    """Videos a day of which one intake can launch both runs; it looks at each once more, to close it."""
    return DAY / (2 * costs.launch + 3 * costs.look)


def point(videos: int, stages: Mapping[str, Stage], costs: Costs) -> Point:
    """The fewest hosts that make so many videos of a kind a day, by one intake and one daemon of their own machine."""
    rate = videos / DAY
    least = max(1, math.ceil(rate * cpu_of(stages, costs) / 2))
    if videos > ceiling_of(costs):
        return Point(videos, least, CONCURRENT * least, 0.0, (math.inf, math.inf), 2 * rate, keeps_up=False)
    generator = random.Random(7)
    arrivals, at = [], 0.0
    for _ in range(max(100, round(rate * WINDOW * 2))):
        at += generator.expovariate(rate)
        arrivals.append(at)
    alone = Model(Pipeline(stages, 4, costs, apart=True), [0.0]).run().makespan
    hosts = max(1, round(least / 0.85))
    while True:
        concurrent = CONCURRENT * hosts
        outcome = Model(Pipeline(stages, concurrent, costs, hosts=hosts, apart=True), arrivals).run()
        later = sorted(outcome.latencies[len(outcome.latencies) // 2 :])
        latency = later[len(later) // 2], later[int(len(later) * 0.95)]
        keeps_up = latency[1] <= PATIENCE * alone
        if keeps_up or hosts > 1.5 * least + 2:
            found = hosts if keeps_up else least
            return Point(videos, found, CONCURRENT * found, outcome.busy, latency, 2 * rate, keeps_up=keeps_up)
        hosts += max(1, hosts // 8)


def curve(stored: Mapping[str, Any], picture: Path) -> None:
    """Print and draw what 1,000 to 100,000 videos a day take."""
    costs = fit(stored["configurations"][FITTED])
    points: dict[str, list[Point]] = {}
    print(
        f"{'videos a day':>14}{'kind':>22}{'hosts':>7}{'runs':>6}{'busy':>7}{'p50 s':>8}{'p95 s':>8}{'launches/s':>12}"
    )
    for kind, request in MIXES.items():
        points[kind] = []
        for videos in VOLUMES:
            one = point(videos, real_stages(request), costs)
            points[kind].append(one)
            head = f"{one.videos:>14,}{kind:>22}{one.hosts:>7}{one.concurrent:>6}"
            if one.keeps_up:
                figures = f"{one.busy:>7.0%}{one.latency[0]:>8.0f}{one.latency[1]:>8.0f}{one.launches:>12.2f}"
                print(f"{head}{figures}", flush=True)
            else:
                print(f"{head}  more than one intake, or that many hosts, can take", flush=True)
    ceiling = ceiling_of(costs)
    print(
        f"one intake, on a 2-core machine with its daemon and as busy as measured: {ceiling:,.0f} videos a day at most"
    )
    picture.write_text(drawn(points, ceiling))
    print(f"drawn: {picture}")


WIDTH, HEIGHT, LEFT, BOTTOM = 760, 420, 70, 50


def drawn(points: Mapping[str, Sequence[Point]], ceiling: float) -> str:
    """The curves as SVG: hosts by videos a day, both logarithmic."""
    import jinja2

    top = max(one.hosts for line in points.values() for one in line)
    decades = range(math.ceil(math.log10(top)) + 1)

    def x(videos: float) -> float:
        return LEFT + (math.log10(videos) - 3) / (math.log10(VOLUMES[-1]) - 3) * (WIDTH - LEFT - 150)

    def y(hosts: float) -> float:
        return HEIGHT - BOTTOM - math.log10(hosts) / decades[-1] * (HEIGHT - BOTTOM - 30)

    lines = [
        {
            "name": kind,
            "colour": colour,
            "path": " ".join(f"{x(one.videos):.1f},{y(one.hosts):.1f}" for one in line),
            "dots": [(round(x(one.videos), 1), round(y(one.hosts), 1), one.keeps_up) for one in line],
            "end": (round(x(line[-1].videos) + 10, 1), round(y(line[-1].hosts) + 4, 1)),
        }
        for (kind, line), colour in zip(points.items(), ("#0b7285", "#e8590c", "#5f3dc4"), strict=True)
    ]
    source = Path(__file__).with_name("curve.svg.jinja").read_text()
    return (
        jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(source)
        .render(
            width=WIDTH,
            height=HEIGHT,
            left=LEFT,
            base=HEIGHT - BOTTOM,
            right=WIDTH - 150,
            lines=lines,
            volumes=[(round(x(one), 1), f"{one:,}") for one in VOLUMES],
            hosts=[(round(y(10**one), 1), f"{10**one:,}") for one in decades],
            ceiling=round(x(ceiling), 1) if ceiling < VOLUMES[-1] * 1.2 else None,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, default=MEASURED, help="what was measured, or is to be")
    parser.add_argument("--measure", action="store_true", help="measure first")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="configurations to be measured; all by default")
    parser.add_argument(
        "--weight", type=float, default=1, help="times the usual share of the CPU that this process has been given"
    )
    parser.add_argument("--curve", action="store_true", help="the curve instead of the check")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    if options.measure:
        import measuring

        names = options.only or list(measuring.CONFIGURATIONS)
        measuring.everything(names, options.repeats, options.weight, options.measured)
    stored = json.loads(options.measured.read_text())
    if options.curve:
        curve(stored, options.picture)
    else:
        check(stored)


if __name__ == "__main__":
    main()
