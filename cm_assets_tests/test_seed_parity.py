"""What people did with BullMQ, RQ, Temporal, n8n and Airflow, done here; `docs/coming-from.md` has both lines.

One `cm up` serves them all, as one worker did: with a language model behind the wire, and somebody who is told.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg
import psutil
import pytest

from cm_assets.client import Client
from cm_assets.definitions import build_defs
from cm_assets.models.event import EVENT_TYPES
from cm_assets.policies import MINUTE, PRODUCE, STAGES
from cm_assets.settings import Settings
from cm_assets_tests.conftest import Home, Up, until
from cm_assets_tests.emulators.openai_server import BAD_KEY, OpenAIServer
from cm_assets_tests.emulators.webhook_server import WebhookServer

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("line")]

BODY = {
    "scenes": [{"text": "Hello world", "searchTerms": ["technology"]}],
    "config": {"music": "chill", "voice": "af_heart"},
}
"""What the others' `add` and `enqueue` took."""


@dataclass
class Line:
    """A running `cm up` and what is around it."""

    up: Up
    model: OpenAIServer
    told: WebhookServer

    @property
    def home(self) -> Home:
        return self.up.home

    def add(self, document: dict[str, Any], *options: str) -> str:
        done = self.home.run("submit", "-", *options, stdin=json.dumps(document))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ends(self, video: str, state: str, seconds: float = 150) -> dict[str, Any]:
        assert until(lambda: self.home.told(video)["state"] == state, seconds, 0.5), self.home.told(video)
        return self.home.told(video)

    def events(self, video: str, kind: str) -> list[dict[str, Any]]:
        """What receivers were told, at least once, without what came twice."""
        came = {one.id: one.body for one in self.told.taken()}.values()
        return [body["data"] for body in came if body["type"] == kind and body["data"]["id"] == video]

    def made(self, video: str) -> list[str]:
        """The stages of a video in the order in which they were done."""
        moments = []
        for stage in (*PRODUCE, "published_post/outbox"):
            (record,) = self.up.graphql(
                "query($k: AssetKeyInput!, $p: [String!]) { assetNodeOrError(assetKey: $k) { ... on AssetNode "
                "{ latestMaterializationByPartition(partitions: $p) { timestamp } } } }",
                k={"path": stage.split("/")},
                p=[video],
            )["assetNodeOrError"]["latestMaterializationByPartition"]
            moments.append((float(record["timestamp"]), stage))
        return [stage for _, stage in sorted(moments)]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    home = Home(tmp_path_factory.mktemp("line"))
    with OpenAIServer() as model, WebhookServer() as told:
        everything = ",".join(kind.removeprefix("video.") for kind in EVENT_TYPES)
        home.variables |= {"OPENAI_BASE_URL": model.base_url, "CM_OPENAI_MODEL": "m", "CM_RATES": "openai=10/minute"}
        home.variables["CM_MAX_CONCURRENT_RUNS"] = "2"
        home.variables |= {"CM_NOTIFY": "team"} | told.variables("team", EVENTS=everything)
        process = home.start("up", "--port", "0")
        try:
            assert until(lambda: "http://" in home.log(), 90), home.log()
            url = next(word for word in home.log().split() if word.startswith("http://"))
            yield Line(Up(home, url), model, told)
            process.send_signal(signal.SIGINT)
            process.wait(15)
        finally:
            home.kill_everything(process)


@pytest.fixture(scope="module")
def trends(line: Line) -> str:
    """The video of the samples."""
    video = line.add({"topic": "AI trends", "target_seconds": 14, "config": {"music": "none"}})
    line.ends(video, "published")
    return video


def test_bullmq_basic_queue(line: Line) -> None:
    """`queue.add` with a priority; `worker.on('completed')`; progress on the way."""
    video = line.add(BODY | {"priority": 1})
    seen: list[float] = []

    def done() -> bool:
        status = line.home.told(video)
        seen.extend(stage["share"] for stage in status["stages"] if stage["stage"] == "render")
        return bool(status["state"] == "published")

    assert until(done, 150, 0.1)
    assert line.home.told(video)["priority"] == 1
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert until(lambda: line.events(video, "video.published"), 30)
    (result,) = line.events(video, "video.rendered")
    assert result["links"]["video"].endswith(".mp4")


def test_bullmq_attempts_and_backoff() -> None:
    """`attempts: 3, backoff: {type: 'exponential'}` are on the assets, where the UI shows them."""
    script = build_defs(Settings()).get_assets_def("script")
    policy = script.op.retry_policy
    assert policy is not None
    assert policy.max_retries == 2
    assert policy.backoff == dg.Backoff.EXPONENTIAL
    assert policy.jitter == dg.Jitter.PLUS_MINUS


def test_bullmq_job_flow(line: Line, trends: str) -> None:
    """A flow of queues: script, audio, render, publish, in the order in which they depend on each other."""
    made = line.made(trends)
    assert [one for one in made if one != "background_clips"] == [
        *("brief", "script", "audio", "render", "published_post/outbox")
    ]
    assert made.index("script") < made.index("background_clips") < made.index("render")


def test_bull_board(line: Line, trends: str) -> None:
    """Every queue on one page, and what is in it: Dagster's UI shows the pools, `cm list` the videos."""
    pools = line.up.graphql("query { instance { concurrencyLimits { concurrencyKey slotCount } } }")
    limits = {one["concurrencyKey"]: one["slotCount"] for one in pools["instance"]["concurrencyLimits"]}
    assert limits == {policy.pool: policy.pool_limit for policy in STAGES.values() if policy.pool}
    listed = json.loads(line.home.run("list", "--state", "published", "--json").stdout)["videos"]
    assert trends in {one["id"] for one in listed}


def test_rq_basic_queue(line: Line, trends: str) -> None:
    """`enqueue`, `job.get_status()`, `job.result`, `job_timeout`, `result_ttl`; and the job that fails."""
    assert line.home.told(trends)["links"]["video"].endswith(".mp4")
    line.model.faults.append(BAD_KEY)
    lost = line.add({"topic": "A topic whose key is wrong", "target_seconds": 14})
    status = line.ends(lost, "failed")
    assert "refuses the key" in status["reason"]
    assert lost in {one["id"] for one in json.loads(line.home.run("list", "--failed", "--json").stdout)["videos"]}
    assert until(lambda: line.events(lost, "video.failed"), 30)
    assert line.events(lost, "video.failed")[0]["stage"] == "script"
    # A dead letter goes on from the stage that failed.
    assert line.home.run("retry", lost).returncode == 0
    line.ends(lost, "published")


def test_rq_worker(line: Line) -> None:
    """`rq worker --with-scheduler` is `cm up`: daemon, code server and calendar in one."""

    def runs(part: str) -> bool:
        names = []
        for process in line.home.processes():
            with suppress(psutil.Error):  # it may have just ended
                names += process.cmdline()
        return part in " ".join(names)

    for part in ("orchestration.engine", "orchestration.daemon", "grpc", "dagster-webserver", "orchestration.warm"):
        assert until(partial(runs, part), 60), part
    assert line.home.run("calendar").returncode == 0


def test_rq_job_dependencies(line: Line, trends: str) -> None:
    """`depends_on`: a stage that failed holds up what depends on it, and nothing else."""
    graph = build_defs(Settings()).resolve_asset_graph()
    parents = {key.to_user_string(): graph.get(key).parent_keys for key in graph.get_all_asset_keys()}
    assert dg.AssetKey("script") in parents["audio"]
    assert dg.AssetKey("audio") in parents["render"]
    assert line.made(trends).index("audio") < line.made(trends).index("render")


def test_temporal_workflow() -> None:
    """`start_to_close_timeout` of each activity: 5, 10 and 30 minutes."""
    limits = {stage: STAGES[stage].time_limit / MINUTE for stage in ("script", "audio", "background_clips", "render")}
    assert limits == {"script": 5, "audio": 10, "background_clips": 10, "render": 30}


def test_temporal_human_in_the_loop(line: Line) -> None:
    """The signals `approve` and `reject(feedback)`, and a workflow that waits for one of them."""
    first, second = (line.add(BODY | {"review": "required", "seed": number}) for number in (1, 2))
    line.ends(first, "awaiting_review")
    line.ends(second, "awaiting_review")
    assert line.home.run("reject", second, "--feedback", "Too short.").returncode == 0
    assert line.home.run("approve", first).returncode == 0
    line.ends(first, "published")
    assert line.ends(second, "rejected")["feedback"] == "Too short."
    assert until(lambda: line.events(first, "video.approved") and line.events(second, "video.rejected"), 30)


def test_n8n_low_code(line: Line) -> None:
    """A trigger and three nodes: a file that is dropped goes the whole way, without code."""
    (line.home.path / "inbox" / "new-video.json").write_text(json.dumps(BODY | {"id": "dropped", "seed": 3}))
    assert until(lambda: line.home.run("status", "dropped").returncode == 0, 30, 0.5)
    line.ends("dropped", "published")


def test_pattern_1_simple_queue(line: Line, trends: str) -> None:
    """`add('full-pipeline', {topic})`: one line from a topic to a post."""
    status = line.home.told(trends)
    assert [stage["state"] for stage in status["stages"]] == ["done"] * 6
    assert status["links"]["outbox"].endswith(f"#{trends}")


def test_pattern_2_parallel_stages() -> None:
    """`Promise.all([audio, backgrounds])`: neither waits for the other."""
    graph = build_defs(Settings()).resolve_asset_graph()
    audio, clips = dg.AssetKey("audio"), dg.AssetKey("background_clips")
    assert audio not in graph.get(clips).parent_keys
    assert clips not in graph.get(audio).parent_keys
    assert {audio, clips} <= graph.get(dg.AssetKey("render")).parent_keys


def test_pattern_3_event_driven(line: Line, trends: str) -> None:
    """`worker.on('completed', ...)` and `notify({event: 'video-ready', videoPath})`."""
    assert until(lambda: len(line.events(trends, "video.stage_completed")) == 6, 30)
    (ready,) = line.events(trends, "video.rendered")
    assert ready["links"]["video"] == line.home.told(trends)["links"]["video"]


def test_horizontal_scaling_and_concurrency(line: Line) -> None:
    """`new Worker(..., {concurrency: 2})`: `CM_MAX_CONCURRENT_RUNS=2`, and a pool for each stage."""
    instance = line.up.graphql("query { instance { runQueueConfig { maxConcurrentRuns } } }")["instance"]
    assert instance["runQueueConfig"]["maxConcurrentRuns"] == 2


def test_queue_prioritisation(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`priority: isPremium ? 1 : 10`: the urgent ones first, then the older ones."""
    from datetime import UTC, datetime

    for name in ("DAGSTER_HOME", "CM_HOME", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    client = Client(Settings(home=tmp_path_factory.mktemp("backlog")))
    for number, premium in enumerate((False, True, False, True)):
        client.submit(BODY | {"id": f"v{number}", "priority": 1 if premium else 10}, source="api", key=str(number))
    assert [one.id for one in client.database.backlog(datetime.now(UTC), 9)] == ["v1", "v3", "v0", "v2"]


def test_rate_limiting(line: Line) -> None:
    """`limiter: {max: 10, duration: 60000}` is `CM_RATES=openai=10/minute`, for all processes together."""
    assert Settings.model_validate({"rates": line.home.variables["CM_RATES"]}).rates["openai"] == ((10, 60.0),)
    assert "rates" in {path.stem for path in line.home.path.glob("*.sqlite")}


def test_queue_service(line: Line) -> None:
    """`createVideo(topic, config)` and `getStatus(jobId)`: `Client.submit` and `Client.status`."""
    code = (
        "from cm_assets.client import Client\nfrom cm_assets.settings import Settings\n"
        "client = Client(Settings())\n"
        "document = {'topic': 'AI trends', 'target_seconds': 14, 'config': {'music': 'none'}, 'not_before': "
        "'2999-01-01T00:00:00Z'}\n"
        "first, again = (client.submit(document, source='api', key='job-1') for _ in range(2))\n"
        "status = client.status(first.stored.id)\n"
        "print(first.stored.id == again.stored.id, first.repeated, again.repeated, status.state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=line.home.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False", "True", "queued"]
