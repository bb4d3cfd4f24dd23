"""`deploy/docker` in a real engine: every video's run in a container of its own, killed, resumed, cancelled.

One deployment for all tests: it takes longer to come up than anything here takes to show.
"""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import docker
import httpx
import pytest
from dagster._core.launcher.base import WorkerStatus

from cm_assets.orchestration import containers
from cm_assets.orchestration.containers import RUN_LABEL, ContainerLauncher
from cm_assets.policies import STAGES
from cm_assets_tests import dockerfile
from cm_assets_tests.conftest import SHORT, until
from cm_assets_tests.containers import IMAGE, Deployment, NoEngine, deployment, engine, userland
from cm_assets_tests.test_make import LONG

pytestmark = pytest.mark.docker

KEY = "sk-of-nobody-4711"

SLOTS = "select count(*) from concurrency_slots where run_id is not null and not deleted"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of an engine, where there can be one."""
    try:
        with engine() as found:
            yield found
    except NoEngine as why:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(str(why))
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def deployed(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    secrets = {"CM_NOTIFY_NOBODY_SECRET": "whsec_4711", "CM_WEBHOOK_SECRET": "whsec_4711"}
    settings = {"OPENAI_API_KEY": KEY, "CM_RATES": "openai=5/minute"} | secrets
    with deployment(address, tmp_path_factory.mktemp("docker"), settings) as made:
        ready = until(lambda: _answers(f"{made.board}/healthz") and _answers(f"{made.ui}/server_info"), 150, 0.5)
        assert ready, made.logs()
        yield made


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < 500
    except httpx.TransportError:
        return False


def _submit(deployed: Deployment, video: str, **changes: Any) -> None:
    deployed.call("POST", "/videos", json=SHORT | {"id": video} | changes)


def _rendering(deployed: Deployment) -> Any:
    """The container in which an ffmpeg is at work now."""
    for container in deployed.runs():
        try:
            # The name alone: a whole line is cut after 80 columns, which is before the program of a long path.
            if any(name.startswith("ffmpeg") for _, name in container.top(ps_args="-eo pid,comm")["Processes"]):
                return container
        except docker.errors.APIError:
            continue  # it has ended meanwhile
    return None


def _made(deployed: Deployment, video: str) -> dict[str, int]:
    """How often each stage of a video was made."""
    rows = deployed.sql(
        "select asset_key, count(*) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION' "
        f"and partition = '{video}' group by asset_key"
    )
    return {name.strip('["]').replace('", "', "/"): int(count) for name, count in (row.split("|") for row in rows)}


def test_a_run_is_a_container_with_limits_and_the_ui_has_a_login(deployed: Deployment) -> None:
    assert httpx.get(f"{deployed.ui}/server_info").status_code == 401
    assert httpx.get(f"{deployed.ui}/server_info", auth=deployed.login).status_code == 200
    assert httpx.get(f"{deployed.board}/videos").status_code == 401
    assert {"cm_home", "cm_database"} <= {volume.name for volume in deployed.client.volumes.list()}
    _submit(deployed, "first")
    container = until(deployed.runs, 90, 0.2)[0]
    inspected = container.attrs
    assert (inspected["HostConfig"]["Memory"], inspected["HostConfig"]["MemorySwap"]) == (2 * 1024**3, 2 * 1024**3)
    assert inspected["HostConfig"]["NanoCpus"] == 2_000_000_000
    assert (inspected["HostConfig"]["Init"], inspected["HostConfig"]["ReadonlyRootfs"]) == (True, True)
    assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
    assert inspected["Config"]["User"].startswith(str(dockerfile.user()))
    assert not any("docker.sock" in mount for mount in inspected["HostConfig"]["Binds"])
    assert until(lambda: deployed.state("first") == "published", 150, 0.5), deployed.logs()
    assert deployed.sql("select max(using_default_limit::int), count(*) from concurrency_limits")[0].startswith("0|")
    limits = deployed.sql('select concurrency_key, "limit" from concurrency_limits')
    assert dict(row.split("|") for row in limits) == {
        policy.pool: str(policy.pool_limit) for policy in STAGES.values() if policy.pool
    }
    with httpx.stream(
        "GET",
        f"{deployed.board}/videos/first/video",
        headers={"Authorization": f"Bearer {(deployed.folder / 'token').read_text().strip()}"},
    ) as film:
        assert film.status_code == 200
        assert b"ftyp" in next(film.iter_bytes(64))


def test_secrets_are_in_the_environment_and_nowhere_else(deployed: Deployment) -> None:
    password = (deployed.folder / ".env").read_text().partition("POSTGRES_PASSWORD=")[2].split()[0]
    (container, *_) = deployed.runs(all_of_them=True)
    environment = container.attrs["Config"].pop("Env")
    assert any(password in line for line in environment)
    assert f"OPENAI_API_KEY={KEY}" in environment
    assert not any("whsec_4711" in line or "LOGIN" in line for line in environment)
    dump = deployed.compose("exec", "-T", "postgres", "pg_dump", "--host=127.0.0.1", "--username=cm", "--inserts", "cm")
    assert "first" in dump
    for secret in (password, KEY, "whsec_4711"):
        assert secret not in str(container.attrs)
        assert secret not in dump
        assert secret not in deployed.compose("logs", "--no-color")
        assert secret not in container.logs().decode()


def test_a_killed_container_is_resumed_from_the_unfinished_stage(deployed: Deployment) -> None:
    _submit(deployed, "killed", scenes=LONG)
    container = until(lambda: _rendering(deployed), 120, 0.1)
    assert container, deployed.logs()
    container.kill("SIGKILL")
    assert until(lambda: deployed.state("killed") == "published", 200, 0.5), deployed.logs()
    assert deployed.call("GET", "/videos/killed")["attempts"] >= 2
    made = _made(deployed, "killed")
    assert {made[stage] for stage in ("brief", "script", "audio", "background_clips", "render")} == {1}, made
    assert made["published_post/outbox"] == 1
    assert until(lambda: deployed.sql(SLOTS) == ["0"], 30, 0.5), deployed.sql("select * from concurrency_slots")


def test_a_cancelled_run_ends_with_its_container(deployed: Deployment) -> None:
    _submit(deployed, "cancelled", scenes=LONG)
    assert until(lambda: _rendering(deployed), 120, 0.1), deployed.logs()
    deployed.call("POST", "/videos/cancelled/cancel")
    asked = time.monotonic()
    # Five seconds on a machine that has time; what is tested is that it is not the thirty of Dagster's own patience.
    assert until(lambda: not deployed.runs(), 20, 0.05), deployed.logs()
    print(f"the container was gone {time.monotonic() - asked:.1f} s after the API had answered")
    assert deployed.state("cancelled") == "cancelled"
    ended = "select status from runs where partition = 'cancelled'"
    assert until(lambda: deployed.sql(ended) == ["CANCELED"], 60, 0.5), deployed.sql(ended)
    assert until(lambda: deployed.sql(SLOTS) == ["0"], 30, 0.5)


def test_a_container_that_needs_too_much_memory_says_so(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    launcher = ContainerLauncher(image=IMAGE, cpus="1", memory="64m")
    client = docker.DockerClient(base_url=address)
    try:
        kwargs = {name: value for name, value in launcher.container_kwargs.items() if name != "stop_timeout"}
        kwargs["volumes"] = userland()
        container = client.containers.run(
            IMAGE, ["python", "-c", "x = bytearray(500_000_000)"], detach=True, network_mode="none", **kwargs
        )
        container.wait(timeout=60)
        run = dg.DagsterRun(job_name="produce_video", tags={"docker/container_id": container.id})
        health = launcher.check_run_worker_health(run)
        assert health.status == WorkerStatus.FAILED
        assert health.msg == "its container needed more memory than its 64m: raise CM_RUN_MEMORY"
        container.remove()
        assert launcher.check_run_worker_health(run).msg == "its container is gone"
    finally:
        client.close()


def test_a_container_that_never_began_is_removed_in_its_time(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    launcher = ContainerLauncher(image=IMAGE)
    client = docker.DockerClient(base_url=address)
    kwargs: dict[str, Any] = {"network_mode": "none", "volumes": userland(), "labels": {RUN_LABEL: "some-run"}}
    try:
        begun = client.containers.run(IMAGE, ["sleep", "60"], detach=True, **kwargs)
        ours = {begun, client.containers.create(IMAGE, ["true"], **kwargs)}
        launcher._sweep()
        assert ours <= set(client.containers.list(all=True))
        monkeypatch.setattr(containers, "KEPT", timedelta(seconds=-1))
        launcher._sweep()
        assert ours & set(client.containers.list(all=True, ignore_removed=True)) == {begun}
        begun.remove(force=True)
    finally:
        client.close()
