"""Two hosts share a broker, a database and a store, and no disk: whatever is killed, each video is posted once."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import cm_assets
from cm_assets.storage.holds import hold_of
from cm_assets_tests import postgres as database_servers
from cm_assets_tests import rabbitmq, s3
from cm_assets_tests.conftest import called, until
from cm_assets_tests.hosts import Host, hosts
from cm_assets_tests.postgres import new_database
from cm_assets_tests.test_make import SLOTS, STAGES

pytestmark = [pytest.mark.celery, pytest.mark.timeout(3000)]

VIDEOS = 12
STAND_INS = Path(cm_assets.__file__).parents[1] / "benchmarks" / "stand_ins"

RECORDS = """
import json, dagster as dg
from cm_assets.orchestration.step_ends import BEGUN
with dg.DagsterInstance.get() as instance:
    begun = []
    for run in instance.get_runs():
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            if event.step_key and BEGUN in event.engine_event_data.metadata:
                begun.append([event.step_key, event.engine_event_data.metadata[BEGUN].value])
    made = [[stage, r.partition_key] for stage in STAGES for r in instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(stage.split("/"))), limit=500).records]
    unfinished = len([r for r in instance.get_runs() if not r.is_finished])
    print("=> " + json.dumps({"begun": begun, "made": made, "unfinished": unfinished, "slots": SLOTS}))
"""


@dataclass
class Fleet:
    """Host 1 has the engine and works on all but renders, which host 2 has."""

    one: Host
    two: Host

    def start_one(self) -> None:
        self.one.start("-m", "cm_assets.cli", "up", "--port", "0", "--web-port", "0", log="up.log")
        self.work(self.one, "script,audio,clips,publish", 3)

    def work(self, host: Host, queues: str, concurrency: int) -> None:
        host.start(
            *("-m", "cm_assets.cli", "worker", "--queues", queues, "--concurrency", str(concurrency)), log="worker.log"
        )

    def listed(self) -> dict[str, str]:
        """The videos' states. Asked on host 1."""
        done = self.one.run("-m", "cm_assets.cli", "list", "--json")
        assert done.returncode == 0, done.stderr
        return {one["id"]: one["state"] for one in json.loads(done.stdout)["videos"]}

    def records(self) -> dict[str, Any]:
        """What Dagster has."""
        program = RECORDS.replace("STAGES", repr(STAGES)).replace("SLOTS", SLOTS)
        postgres = self.one.variables["CM_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")
        self.one.variables |= {"DAGSTER_HOME": str(self.one.disk / "home"), "CM_DAGSTER_POSTGRES_URL": postgres}
        done = self.one.run("-W", "ignore", "-c", program)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.partition("=> ")[2])
        return found

    def renders(self) -> list[psutil.Process]:
        """What stands in for an encoder, on host 2."""
        return called("sleep", self.two.processes())


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with (
        hosts(2, tmp_path) as (address, (one, two)),
        rabbitmq.server(address) as broker,
        database_servers.server(address) as postgres,
        s3.server(tmp_path / "s3", address) as store,
    ):
        variables = store.variables | {
            "CM_BROKER_URL": broker.url,
            "CM_DATABASE_URL": new_database(postgres),
            "CM_ARTIFACTS_URL": f"s3://{store.new_bucket()}/videos",
            "CM_MAX_CONCURRENT_RUNS": "6",
            "CM_MAX_LOST_RUNS": "100",
            "CM_POOLS": "render=2",
            "CM_MIN_FREE": "0",
            "PYTHONPATH": f"{STAND_INS}:{STAND_INS.parents[1]}",
            "CM_STAND_IN_WORK": '{"render": {"sleep": 4}}',
        }
        for host in (one, two):
            host.variables |= variables
        yield Fleet(one, two)


def submit(fleet: Fleet) -> None:
    program = f"""
from cm_assets.client import Client
from cm_assets.settings import Settings
client = Client(Settings())
for number in range({VIDEOS}):
    scenes = [{{"text": f"Video {{number}}.", "search_terms": ["robot"]}}]
    client.submit({{"id": f"v{{number:02}}", "scenes": scenes, "music": "none"}}, source="test")
"""
    done = fleet.one.run("-c", program)
    assert done.returncode == 0, done.stderr


def test_every_video_is_posted_once_whatever_is_killed(fleet: Fleet) -> None:
    fleet.start_one()
    fleet.work(fleet.two, "render", 2)
    submit(fleet)
    assert until(fleet.renders, 240), fleet.one.said("up.log")

    # A child of the step worker, with a render below it.
    step = until(lambda: next((one.parent() for one in fleet.renders()), None), 60)
    step.parent().kill()
    assert until(lambda: not step.is_running() or step.status() == psutil.STATUS_ZOMBIE, 5)

    # The whole render host, which tells nobody.
    assert until(fleet.renders, 240), fleet.two.said("worker.log")
    fleet.two.kill()
    time.sleep(3)
    fleet.two.plug()
    fleet.work(fleet.two, "render", 2)

    # The host of the engine and of all runs' workers.
    assert until(fleet.renders, 240), fleet.two.said("worker.log")
    fleet.one.kill()
    time.sleep(3)
    fleet.one.plug()
    fleet.start_one()

    last = time.monotonic()
    done = until(lambda: set(fleet.listed().values()) == {"published"}, 1200, 2)
    assert done, f"{fleet.listed()}\n{fleet.one.said('worker.log')[-3000:]}\n{fleet.two.said('worker.log')[-3000:]}"
    print(f"\nthe last of {VIDEOS} was published {time.monotonic() - last:.0f} s after the last blow")
    assert until(lambda: (r := fleet.records())["slots"] == 0 and r["unfinished"] == 0, 60, 2)
    records = fleet.records()
    made = Counter(map(tuple, records["made"]))
    assert {pair: count for pair, count in made.items() if count > 1} == {}
    assert len(made) == VIDEOS * len(STAGES)
    where: dict[str, set[str]] = {}
    for stage, host in records["begun"]:
        where.setdefault(stage, set()).add(host)
    assert where.pop("render") == {"host2"}
    assert all(found == {"host1"} for found in where.values()), where
    assert set(where) == {"brief", "script", "audio", "background_clips", "published_post__outbox"}


def test_a_cancelled_video_s_render_ends_on_the_other_host(fleet: Fleet) -> None:
    for host in (fleet.one, fleet.two):
        host.variables |= {"CM_STAND_IN_WORK": '{"render": {"sleep": 600}}'}
    fleet.start_one()
    fleet.work(fleet.two, "render", 2)
    submit(fleet)
    assert until(fleet.renders, 240), fleet.one.said("up.log")
    producing = [video for video, state in fleet.listed().items() if state == "producing"]
    assert until(lambda: len(fleet.renders()) == 2, 120)
    seen = fleet.renders()  # those of other videos come when these are gone
    for video in producing:
        assert fleet.one.run("-m", "cm_assets.cli", "cancel", video).returncode == 0
    assert until(lambda: not any(one.is_running() for one in seen), 30)
    ended = re.findall(r"render of run \S+ is ended: its run is cancel(?:ing|ed)", fleet.two.said("worker.log"))
    assert len(ended) >= 2


HOLDS = """
from cm_assets.storage.holds import hold_of
hold = hold_of({url!r}, "run", "render")
print(hold.take(), flush=True)
hold._connection.exec_driver_sql("select pg_sleep(3)")
"""


def test_what_a_vanished_host_held_is_free_though_an_answer_is_on_its_way_to_it(tmp_path: Path) -> None:
    with hosts(1, tmp_path) as (address, (gone,)), database_servers.server(address) as postgres:
        url = new_database(postgres).replace("postgresql:", "postgresql+psycopg:")
        gone.start("-c", HOLDS.format(url=url), log="hold.log")
        assert until(lambda: "True" in gone.said("hold.log"), 60)
        with hold_of(url, "run", "render") as mine:
            assert not mine.take()
            gone.kill()
            assert until(mine.take, 60)
