"""Runs whose steps go through a real broker to real workers, which are killed; and the broker, too."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest

from cm_assets.cli_doctor import examine
from cm_assets.client import Client
from cm_assets.lifecycle.worklog import PARTITION_TAG, WorkLog
from cm_assets.orchestration import broker
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.queues import CHECK
from cm_assets.policies import STAGES
from cm_assets.settings import Settings
from cm_assets.storage.database import Database
from cm_assets.storage.tables import step_workers
from cm_assets_tests import rabbitmq as servers
from cm_assets_tests.conftest import until
from cm_assets_tests.orchestration import queued_jobs
from cm_assets_tests.orchestration.queued_jobs import said
from cm_assets_tests.orchestration.test_step_guard import alive, child
from cm_assets_tests.postgres import new_database
from cm_assets_tests.redis import redis_server

pytestmark = pytest.mark.celery


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[servers.RabbitMQ]:
    """A broker whose deliveries must be acknowledged within four seconds: less than a slow step takes."""
    with servers.server(consumer_timeout=4000) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    with redis_server() as url:
        yield url


@dataclass
class Host:
    """A home on Postgres with a broker and a worker; runs are executed in the tests' own process.

    Attributes:
        instance: Dagster's.
        folder: of the worker's log.
        lease: seconds that the broker leaves a step to a worker.
        began: when the test did.
        standing: the worker, which the next test has too, if it lives.
    """

    instance: dg.DagsterInstance
    folder: Path
    lease: int = broker.LEASE
    began: float = 0
    standing: "subprocess.Popen[bytes] | None" = None

    def worker(self) -> psutil.Process:
        """A worker of the queues `script` and `render`, with two children."""
        if self.standing is not None and self.standing.poll() is None:
            return psutil.Process(self.standing.pid)
        command = ["-m", "cm_assets.cli", "worker", "--queues", "script,render", "--concurrency", "2"]
        if self.lease != broker.LEASE:
            # No setting says this: a broker is never to be told such a time.
            program = (
                "from cm_assets.orchestration.step_worker import serve; from cm_assets.settings import Settings; "
                f"raise SystemExit(serve(Settings(), ['script', 'render'], 2, lease={self.lease}))"
            )
            command = ["-c", program]
        log = self.folder / f"worker-{time.time_ns()}.log"
        with log.open("wb") as out:
            self.standing = subprocess.Popen(
                [sys.executable, *command], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        alive = self.standing
        assert until(lambda: " ready." in log.read_text() or alive.poll() is not None, 300), log.read_text()
        assert alive.poll() is None, log.read_text()
        return psutil.Process(alive.pid)

    def ends(self) -> int:
        """How the worker ends."""
        assert self.standing is not None
        return self.standing.wait(120)

    def stop(self) -> None:
        """Kill the worker."""
        if self.standing is not None:
            family = psutil.Process(self.standing.pid).children(recursive=True) if self.standing.poll() is None else []
            self.standing.kill()
            self.standing.wait()
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()

    @contextmanager
    def run(self, job: str, **tags: str) -> Iterator[Callable[[], bool]]:
        """A run of a job in a thread; asked, it waits for the end and says whether that was good."""
        results: list[bool] = []

        def execute() -> None:
            origin = dg.reconstructable(getattr(queued_jobs, job))
            results.append(dg.execute_job(origin, instance=self.instance, tags=tags, raise_on_error=False).success)

        thread = threading.Thread(target=execute)
        thread.start()

        def ended() -> bool:
            thread.join(240)
            assert results, "the run goes on"
            return results[0]

        try:
            yield ended
        finally:
            if not results:
                for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                    self.instance.report_run_failed(run, "The test is over.")

    def successes(self) -> int:
        """Steps that succeeded in this test's runs."""
        kind = dg.DagsterEventType.STEP_SUCCESS
        return sum(len(self.instance.all_logs(run.run_id, of_type=kind)) for run in self.runs())

    def runs(self) -> list[dg.DagsterRun]:
        """Of this test."""
        records = self.instance.get_run_records()
        return [one.dagster_run for one in records if one.create_timestamp.timestamp() >= self.began]


@contextmanager
def host_of(address: str, postgres: str, folder: Path, lease: int) -> Iterator[Host]:
    """A host whose home this process belongs to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CM_HOME", "DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY", homes.POSTGRES):
            patch.setenv(name, "")
        patch.setenv("CM_DATABASE_URL", new_database(postgres))
        patch.setenv(broker.BROKER, address)
        settings = Settings(home=folder / "home")
        homes.prepare(settings)
        with homes.open_instance(settings) as instance:
            host = Host(instance, folder, lease)
            try:
                yield host
            finally:
                host.stop()


def emptied(host: Host) -> Host:
    """As if no test had been before."""
    app = broker.celery_app(broker.address())
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            bound = queue(connection.default_channel)
            bound.declare()
            bound.purge()
    queued_jobs.notes().unlink(missing_ok=True)
    with Database(Settings(home=host.folder / "home").database).writing() as connection:
        connection.execute(step_workers.delete())  # one that still lives comes back
    host.began = time.time()
    return host


@pytest.fixture(scope="module")
def host_on_rabbitmq(
    postgres: str, rabbitmq: servers.RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    with host_of(rabbitmq.url, postgres, tmp_path_factory.mktemp("rabbitmq"), broker.LEASE) as host:
        yield host


@pytest.fixture
def host(host_on_rabbitmq: Host) -> Host:
    return emptied(host_on_rabbitmq)


@pytest.fixture
def host_on_redis(postgres: str, redis: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    with host_of(redis, postgres, tmp_path, getattr(request, "param", broker.LEASE)) as host:
        yield emptied(host)


def pool_child(worker: psutil.Process) -> psutil.Process:
    """The guard of a step that is at work: supervisor, Celery, guard, step."""
    (celery,) = worker.children()
    busy = [one for one in celery.children() if one.children()]
    assert len(busy) == 1
    return busy[0]


def test_steps_go_through_their_queues_and_come_back_when_they_asked_to(host: Host) -> None:
    host.worker()
    with host.run("two_stages") as ended:
        assert ended()
    assert said() == ["written", "rendered-0", "rendered-1"]
    (run,) = host.runs()
    (retry,) = host.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    starts = host.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_RESTARTED)
    assert starts[0].timestamp - retry.timestamp >= 1.9


def test_a_killed_child_s_step_is_done_by_another(host: Host) -> None:
    worker = host.worker()
    with host.run("one_long") as ended:
        started = child()
        pool_child(worker).kill()
        assert ended()
        assert until(lambda: not alive(started), 5)
    assert said().count("began") == 2
    assert host.successes() == 1


def test_a_killed_step_is_done_again(host: Host) -> None:
    worker = host.worker()
    with host.run("one_long") as ended:
        started = child()
        pool_child(worker).children()[0].kill()
        assert ended()
        assert until(lambda: not alive(started), 5)
    assert host.successes() == 1


def test_a_step_that_the_broker_has_lost_is_sent_again(host: Host) -> None:
    app = broker.celery_app(broker.address())
    host.stop()
    with host.run("one_slow") as ended:
        assert until(lambda: broker.waiting(app, "render") == 1, 60)
        with app.connection_for_write() as connection:
            app.amqp.queues["render"](connection.default_channel).purge()
        host.worker()
        assert ended()
    assert said() == ["began", "ended"]


def test_a_broker_that_dies_and_comes_back_costs_nothing(host: Host, rabbitmq: servers.RabbitMQ) -> None:
    host.worker()
    with host.run("one_slow") as ended:
        assert until(said, 60)
        rabbitmq.kill()
        rabbitmq.start()
        assert ended()
    assert said() == ["began", "ended"]


@pytest.mark.parametrize("whom", ["supervisor", "celery"])
def test_a_killed_worker_s_step_is_done_by_another_worker(host: Host, whom: str) -> None:
    worker = host.worker()
    with host.run("one_long") as ended:
        started = child()
        step = pool_child(worker).children()[0]
        (worker if whom == "supervisor" else worker.children()[0]).kill()
        assert until(lambda: not alive(step.pid), 5)
        assert whom == "supervisor" or until(lambda: not alive(started), 5)
        assert host.ends() != 0
        host.worker()
        assert ended()
        with suppress(ProcessLookupError):
            os.kill(started, signal.SIGKILL)
    assert said().count("began") == 2
    assert host.successes() == 1


def test_a_worker_that_must_end_now_hands_its_step_back(host: Host) -> None:
    worker = host.worker()
    with host.run("one_long") as ended:
        started = child()
        worker.send_signal(signal.SIGQUIT)
        assert until(lambda: not alive(started), 10)
        host.ends()
        host.worker()
        assert ended()
    assert host.successes() == 1


def test_a_worker_that_is_asked_to_end_finishes_its_step(host: Host) -> None:
    worker = host.worker()
    with host.run("one_slow", **{PARTITION_TAG: "sea"}) as ended:
        assert until(said, 60)
        worker.terminate()
        assert host.ends() == 0
        assert ended()
    assert said() == ["began", "ended"]
    (run,) = host.runs()
    log = max(host.folder.glob("worker-*.log")).read_text()
    lines = [line for line in log.splitlines() if run.run_id in line and "[steps]" in line]
    assert [line.partition(run.run_id)[2].split()[0] for line in lines] == ["begins", "is"]
    assert all(line.endswith("video=sea") for line in lines)
    assert "kwargs" not in log


def test_who_serves_which_queue_is_known_from_every_host(host: Host) -> None:
    settings = Settings(home=host.folder / "home")
    host.worker()
    client = Client(settings)
    assert until(lambda: client.step_places()["render"] == 2, 30)
    assert client.step_places() == {"script": 2, "audio": 0, "clips": 0, "render": 2, "publish": 0}
    found = {one.name: one for one in examine(settings)}
    assert found["broker"].fine
    assert found["broker"].said.endswith("script 0, audio 0, clips 0, render 0, publish 0")
    assert not found["workers"].fine
    there, missing = found["workers"].said.splitlines()
    assert there == f"{socket.gethostname()}: script, render; 2 at once"
    assert missing == "nobody serves audio, clips, publish: cm worker --queues audio,clips,publish"
    assert host.standing is not None
    host.standing.terminate()
    assert host.ends() == 0
    assert set(client.step_places().values()) == {0}


def test_a_broker_that_is_not_there_is_said_without_its_password(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CM_DATABASE_URL", new_database(postgres))
    monkeypatch.setenv(broker.BROKER, "amqp://cm:open-sesame-4711@127.0.0.1:9//")
    (found,) = [one for one in examine(Settings(home=tmp_path)) if one.name == "broker"]
    assert not found.fine
    assert found.said.startswith("the broker at amqp://127.0.0.1:9// does not answer")
    assert "open-sesame" not in found.said


def test_a_broker_that_is_away_is_waited_for_by_another_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(broker.BROKER, "amqp://cm:open-sesame-4711@127.0.0.1:9//")
    with host.run("one_slow") as ended:
        assert not ended()
    (run,) = host.runs()
    (end,) = WorkLog(host.instance).failures(run)
    assert end.resume_at is not None
    assert "does not answer" in end.reason
    everything = " ".join(str(entry) for entry in host.instance.all_logs(run.run_id))
    assert "open-sesame" not in everything


def order_of(url: str) -> list[str]:
    """In which order requests of several priorities are served that wait together."""
    app = broker.celery_app(url)
    for priority in (10, 5, 1, 7):
        broker.send(app, "audio", priority, {"run_id": str(priority), "step": "", "known_state": ""})
    found = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues["audio"](connection.default_channel)
        for _ in range(4):
            message = until(queue.get, 10)
            found.append(message.payload[1]["run_id"])
            message.ack()
    return found


def test_the_most_urgent_request_is_served_first_by_rabbitmq(rabbitmq: servers.RabbitMQ) -> None:
    assert order_of(rabbitmq.url) == ["1", "5", "7", "10"]


def test_the_most_urgent_request_is_served_first_by_redis(redis: str) -> None:
    assert order_of(redis) == ["1", "5", "7", "10"]


@pytest.mark.parametrize("host_on_redis", [2], indirect=True)
def test_a_step_longer_than_redis_waits_is_executed_once(host_on_redis: Host) -> None:
    """Redis gives it to the second child while the first is at work."""
    host_on_redis.worker()
    with host_on_redis.run("one_slower") as ended:
        assert ended()
    assert said() == ["began", "ended"]
    (log,) = host_on_redis.folder.glob("worker-*.log")
    assert " is left alone: it has its end" in log.read_text(), "Redis did not give it away"


def test_a_worker_that_is_killed_under_redis_is_not_waited_for_until_its_lease_ends(host_on_redis: Host) -> None:
    worker = host_on_redis.worker()
    with host_on_redis.run("one_long") as ended:
        child()
        worker.children()[0].kill()
        host_on_redis.ends()
        # Something else waits in the same queue.
        app = broker.celery_app(broker.address())
        broker.send(app, "render", 5, {"run_id": "gone", "step": "long", "known_state": ""})
        assert until(lambda: broker.waiting(app, "render") == 2, 60), "it is not sent again"
        time.sleep(2.5 * CHECK)
        assert broker.waiting(app, "render") == 2, "it is sent again and again"
        host_on_redis.worker()
        assert ended()
    assert said().count("began") == 2


def test_redis_leaves_a_step_to_its_worker_for_longer_than_any_may_take() -> None:
    longest = max(policy.time_limit for policy in STAGES.values())
    assert broker.configuration("redis://host")["broker_transport_options"]["visibility_timeout"] > longest
    (first, *_) = broker.configuration("amqp://host")["task_queues"]
    assert first.queue_arguments["x-consumer-timeout"] > longest * 1000
