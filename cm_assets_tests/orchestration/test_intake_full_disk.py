"""What the intake does while the disk is full."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from cm_assets.client import Client
from cm_assets.definitions import build_defs
from cm_assets.lifecycle.projection import Projection
from cm_assets.lifecycle.worklog import ATTEMPT_TAG, PARTITION_TAG, VIDEO_TAG, WorkLog
from cm_assets.orchestration.intake import Intake
from cm_assets.orchestration.launching import Launcher
from cm_assets.partitions import PARTITIONS
from cm_assets.policies import PRODUCE
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets_tests.conftest import SHORT

MADE = {"made": {stage: number for number, stage in enumerate(PRODUCE, 1)}}
FULL = "9 of 8 GB are taken"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    for name in ("DAGSTER_HOME", "CM_HOME", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    found = Client(Settings(home=tmp_path))
    for number in range(6):
        found.submit(SHORT | {"id": f"v{number}"}, source="test", key=f"v{number}")
    return found


@pytest.fixture
def intake(client: Client) -> Iterator[Intake]:
    instance = dg.DagsterInstance.from_config(str(client.settings.home))
    with instance, ExitStack() as stack:
        with pytest.warns(UserWarning, match="Error loading"):
            launcher = stack.enter_context(Launcher(instance, client.settings.home / "nobody.sock"))
        worklog = WorkLog(instance)
        store = ArtifactStore(client.settings.artifacts, client.settings.cache)
        projection = Projection(client.database, worklog, store)
        yield Intake(
            client.database,
            worklog,
            projection,
            launcher,
            home=client.settings.home,
            capacity=2,
            most_lost_runs=5,
            full=lambda: FULL,
        )


def test_only_what_is_made_goes_on_where_the_disk_is_full(client: Client, intake: Intake) -> None:
    now = datetime.now(UTC)
    assert intake._first(now, 2) == []
    client.database.note("v2", {"runs": 1})
    client.database.note("v5", MADE)  # behind all that wait
    assert [(stored.id, held) for stored, held in intake._first(now, 2)] == [("v5", False), ("v2", True)]
    intake._full = str
    assert [(stored.id, held) for stored, held in intake._first(now, 2)] == [("v0", False), ("v1", False)]


def test_nothing_is_launched_where_the_disk_is_full(client: Client, intake: Intake) -> None:
    instance = intake._worklog.instance
    intake.tick()
    assert instance.get_dynamic_partitions(PARTITIONS) == []
    assert len(client.database.newest(limit=9, wanted=True)) == 6
    intake._full = str
    intake.tick()
    # The code server is not there either, which is noticed once and not for every video.
    assert list(instance.get_dynamic_partitions(PARTITIONS)) == ["v0"]
    assert len(client.database.newest(limit=9, wanted=True)) == 6


def test_runs_that_end_while_the_disk_is_full_are_judged_once(client: Client, intake: Intake) -> None:
    instance, job = intake._worklog.instance, build_defs(client.settings).resolve_job_def("produce_video")
    runs = {}
    for video in ("v0", "v1"):
        runs[video] = instance.create_run_for_job(job, tags={PARTITION_TAG: video, VIDEO_TAG: video, ATTEMPT_TAG: "0"})
        client.database.note(video, {"runs": 1})
    instance.report_run_failed(runs["v0"], "Its worker was lost.")
    instance.report_run_canceled(runs["v1"])
    for _ in range(6):
        intake.tick()
    lost, cancelled = client.database.get("v0"), client.database.get("v1")
    assert lost is not None
    assert cancelled is not None
    assert (lost.wanted, lost.lost_runs) == (True, 0)
    assert cancelled.outcome == "cancelled"
    intake._full = str
    intake.tick()
    lost = client.database.get("v0")
    assert lost is not None
    assert lost.lost_runs == 1
