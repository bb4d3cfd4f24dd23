"""The asset `script` in a real Dagster instance: what it says of its writer, its budgets, and deaths on the way."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cm_assets.assets.stage import Stages
from cm_assets.client import Client
from cm_assets.definitions import build_defs
from cm_assets.engines.writing import wording
from cm_assets.lifecycle.worklog import PARTITION_TAG, WorkLog
from cm_assets.models.base import Model
from cm_assets.orchestration.sqlite import storage
from cm_assets.partitions import PARTITIONS
from cm_assets.resources import ModelIOManager
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.spending import bills
from cm_assets_tests.emulators.openai_server import OpenAIServer, counted, slow

TOPIC = {"topic": "Night trains in Europe", "target_seconds": 40}
PRICED = "m=1/10"


class KilledBeforeItStores(ModelIOManager):
    """The process dies when the script is written and nothing of it is stored."""

    def handle_output(self, context: dg.OutputContext, obj: Model) -> None:
        if context.asset_key == dg.AssetKey("script"):
            os.kill(os.getpid(), signal.SIGKILL)
        super().handle_output(context, obj)


@dataclass
class Made:
    """How a run ended: its materializations' metadata and tags by asset, or what a person was told."""

    made: dict[str, dict[str, Any]]
    tags: dict[str, dict[str, str]]
    said: str
    resume_at: datetime | None


def make(
    folder: Path,
    video: str = "a-video",
    request: dict[str, Any] | None = None,
    *,
    only_script: bool = False,
    config: dict[str, Any] | None = None,
    dies: bool = False,
) -> Made:
    """Make brief and script of a video, as a run does."""
    settings = Settings(home=folder)
    database = Database(settings.database)
    store = ArtifactStore(settings.artifacts, settings.cache)
    overrides: dict[str, object] = {"database": database, "stages": Stages(database, settings.home / "work")}
    if dies:
        overrides["io_manager"] = KilledBeforeItStores(store)
    job = build_defs(settings, overrides=overrides).resolve_implicit_global_asset_job_def()
    ops = {"brief": {"config": {"request": request or TOPIC}}} if not only_script else {}
    with instance_of(folder) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [video])
        result = job.execute_in_process(
            instance=instance,
            partition_key=video,
            asset_selection=[dg.AssetKey(one) for one in (["script"] if only_script else ["brief", "script"])],
            run_config={
                "ops": ops | ({"script": {"config": config}} if config else {}),
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            tags={PARTITION_TAG: video},
            raise_on_error=False,
        )
        events = [one for name in ("brief", "script") for one in result.asset_materializations_for_node(name)]
        failures = WorkLog(instance).failures(result.dagster_run)
    database.dispose()
    return Made(
        made={one.asset_key.to_user_string(): {k: v.value for k, v in one.metadata.items()} for one in events},
        tags={one.asset_key.to_user_string(): dict(one.tags or {}) for one in events},
        said="; ".join(one.reason for one in failures),
        resume_at=failures[0].resume_at if failures else None,
    )


def instance_of(folder: Path) -> dg.DagsterInstance:
    overrides = {"storage": storage(folder / "dagster"), "telemetry": {"enabled": False}}
    (folder / "dagster").mkdir(exist_ok=True)
    return dg.DagsterInstance.local_temp(str(folder / "dagster"), overrides=overrides)


def _in_a_process(folder: Path, video: str, options: dict[str, Any]) -> None:
    made = make(folder, video, **options)
    (folder / f"{video}.json").write_text(json.dumps({"made": sorted(made.made), "said": made.said}))


def started(folder: Path, video: str = "a-video", **options: Any) -> multiprocessing.context.SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(target=_in_a_process, args=(folder, video, options))
    process.start()
    return process


@pytest.fixture(autouse=True)
def _endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("CM_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CM_OPENAI_MODEL", "m")
    monkeypatch.setenv("CM_PRICES", PRICED)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with OpenAIServer() as one:
        monkeypatch.setenv("OPENAI_BASE_URL", one.base_url)
        yield one


def cost(folder: Path) -> float | None:
    """What `cm status` says."""
    client = Client(Settings(home=folder))
    found = client.status("a-video").cost
    client.database.dispose()
    return found


def spent(folder: Path) -> Decimal:
    database = Database(Settings(home=folder).database)
    found = bills(database, ["a-video"]).get("a-video")
    database.dispose()
    assert found is None or found.cost is not None
    return Decimal(0) if found is None or found.cost is None else found.cost


def test_the_script_says_who_wrote_it_with_which_prompt_and_what_it_cost(tmp_path: Path, server: OpenAIServer) -> None:
    server.faults = [counted(1_000, 400, cached=600)]
    made = make(tmp_path)
    said = made.made["script"]
    assert said["language model"] == "m"
    assert said["prompt"] == wording.version()
    assert (said["prompt tokens"], said["completion tokens"], said["cached tokens"]) == (1_000, 400, 600)
    assert said["cost (USD)"] == 0.005
    assert said["latency (s)"] >= 0
    assert said["calls"] == 1
    assert wording.version() in made.tags["script"]["dagster/code_version"]
    assert cost(tmp_path) == 0.005


def test_another_model_is_another_version_of_code_and_data(
    tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(tmp_path).tags["script"]
    monkeypatch.setenv("CM_OPENAI_MODEL", "another")
    second = make(tmp_path, only_script=True)
    for name in ("dagster/code_version", "dagster/data_version"):
        assert first[name] != second.tags["script"][name]
    assert second.made["script"]["cost (USD)"] == "unknown: set CM_PRICES"
    assert cost(tmp_path) is None


def test_own_scenes_cost_nothing_and_name_no_model(tmp_path: Path, server: OpenAIServer) -> None:
    said = make(tmp_path, request={"scenes": [{"text": "Hello."}]}).made["script"]
    assert not {"language model", "cost (USD)"} & said.keys()
    assert cost(tmp_path) == 0
    assert server.requests == []


def test_a_death_between_answer_and_materialization_is_not_paid_again(tmp_path: Path, server: OpenAIServer) -> None:
    process = started(tmp_path, dies=True)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert len(server.requests) == 1
    paid = spent(tmp_path)
    made = make(tmp_path)
    assert len(server.requests) == 1
    assert made.made["script"]["calls"] == 1
    assert spent(tmp_path) == paid > 0
    # Who materializes it once more wants another text.
    make(tmp_path, only_script=True)
    assert len(server.requests) == 2


def test_a_revision_that_died_is_not_paid_again_either(tmp_path: Path, server: OpenAIServer) -> None:
    old = make(tmp_path).made["script"]["model"]
    answer = {"feedback": "Be brief.", "revises": old}
    process = started(tmp_path, only_script=True, config=answer, dies=True)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert len(server.requests) == 2
    made = make(tmp_path, only_script=True, config=answer)
    assert made.made["script"]["answers"] == "Be brief."
    assert len(server.requests) == 2


def test_a_death_while_the_model_writes_counts_as_the_most_that_it_can_cost(
    tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CM_BUDGET_PER_VIDEO", "0.08")
    server.faults = [slow(60)]
    process = started(tmp_path)
    deadline = time.monotonic() + 90
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.join()
    reserved = spent(tmp_path)
    assert Decimal("0.04") < reserved < Decimal("0.08")
    made = make(tmp_path)
    assert "budget of this video" in made.said
    assert "CM_BUDGET_PER_VIDEO" in made.said
    assert len(server.requests) == 1
    monkeypatch.setenv("CM_BUDGET_PER_VIDEO", "0.2")
    assert make(tmp_path).made["script"]["calls without an end"] == 1


def test_the_budget_of_a_request_is_kept_and_the_lower_one_counts(
    tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path, request=TOPIC | {"budget": 0.02})
    assert "another video with a higher budget" in made.said
    assert made.resume_at is None
    monkeypatch.setenv("CM_BUDGET_PER_VIDEO", "0.01")
    made = make(tmp_path, "b-video", request=TOPIC | {"budget": 5})
    assert "CM_BUDGET_PER_VIDEO" in made.said
    assert server.requests == []
    monkeypatch.setenv("CM_BUDGET_PER_VIDEO", "5")
    assert "script" in make(tmp_path, "c-video", request=TOPIC | {"budget": 0.2}).made


def midnight() -> datetime:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC)


def test_when_the_day_is_used_up_the_run_ends_and_says_until_when(
    tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CM_BUDGET_PER_DAY", "0.07")
    server.faults = [counted(3_000, 4_000)]
    assert "script" in make(tmp_path).made
    before = midnight()
    made = make(tmp_path, "b-video", request=TOPIC | {"tone": "dry"})
    assert "CM_BUDGET_PER_DAY), is used up: $0.043 are spent" in made.said
    assert made.resume_at is not None
    assert before - timedelta(minutes=1) < made.resume_at <= midnight() + timedelta(minutes=1)
    assert len(server.requests) == 1


def test_two_that_race_for_the_last_of_the_day_do_not_both_get_it(
    tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CM_BUDGET_PER_DAY", "0.07")
    server.faults = [counted(3_000, 4_000), counted(3_000, 4_000)]
    make(tmp_path, "warm-up", request={"scenes": [{"text": "Hello."}]})  # tables and files are there
    racers = [started(tmp_path, video) for video in ("a-video", "b-video")]
    for process in racers:
        process.join(150)
    told = [json.loads((tmp_path / f"{video}.json").read_text()) for video in ("a-video", "b-video")]
    assert sorted("script" in one["made"] for one in told) == [False, True]
    assert any("used up" in one["said"] for one in told)
    assert len(server.requests) == 1
