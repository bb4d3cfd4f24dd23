"""Dagster's UI and GraphQL, live: what a person clicks and a program posts."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cm_assets_tests.conftest import SHORT, Up, until

pytestmark = pytest.mark.live

BRIEF = {"ops": {"brief": {"config": {"request": SHORT}}}}

PUBLISHED = """
query($k: [String!]!) {
  assetNodeOrError(assetKey: {path: ["published_post", "outbox"]}) {
    ... on AssetNode { latestMaterializationByPartition(partitions: $k) { runId } }
  }
}
"""
FAILURES = """
query($id: ID!) {
  logsForRun(runId: $id) {
    ... on EventConnection {
      events { ... on ExecutionStepFailureEvent { stepKey error { message } failureMetadata { description } } }
    }
  }
}
"""


def latest(up: Up, asset: str, video: str) -> dict[str, Any]:
    """The run and the metadata of the newest materialization."""
    wanted = f"dg.AssetRecordsFilter(asset_key=dg.AssetKey({asset.split('/')!r}), asset_partitions=[{video!r}])"
    found: dict[str, Any] = up.home.dagster(
        "[{'run': r.run_id, 'metadata': {k: str(v.value) for k, v in r.asset_materialization.metadata.items()}}"
        f" for r in instance.fetch_materializations({wanted}, limit=1).records][0]"
    )
    return found


def test_a_video_launched_by_graphql_is_made_and_posted(up: Up) -> None:
    assert up.add("by-graphql") == "AddDynamicPartitionSuccess"
    assert up.add("by-graphql") == "DuplicateDynamicPartitionError"
    run = up.ended(up.launch("produce_video", "by-graphql", BRIEF))
    assert run["status"] == "SUCCESS"
    steps = {step["stepKey"]: step["status"] for step in run["stepStats"]}
    assert set(steps) == {"brief", "script", "audio", "background_clips", "render"}
    assert until(
        lambda: up.graphql(PUBLISHED, k=["by-graphql"])["assetNodeOrError"]["latestMaterializationByPartition"][0]
    )
    post = json.loads((up.home.path / "outbox" / "by-graphql" / "post.json").read_text())
    assert post["id"] == "by-graphql"


def test_what_people_look_for_is_in_the_metadata(up: Up) -> None:
    up.add("looked-at")
    assert up.ended(up.launch("produce_video", "looked-at", BRIEF))["status"] == "SUCCESS"
    render = latest(up, "render", "looked-at")["metadata"]
    assert render["cover"].startswith("![cover](data:image/jpeg;base64,")
    assert len(render["cover"]) < 64_000
    assert Path(render["path"]).is_file()
    assert render["sha256"] == hashlib.sha256(Path(render["path"]).read_bytes()).hexdigest()
    script = latest(up, "script", "looked-at")["metadata"]
    assert "Hello from a small robot" in script["script"]
    clips = latest(up, "background_clips", "looked-at")["metadata"]
    assert "MIT" in clips["list"]


def test_a_bad_request_in_the_launchpad_names_its_field(up: Up) -> None:
    up.add("bad-request")
    config = {"ops": {"brief": {"config": {"request": SHORT | {"speed": 9}}}}}
    run_id = up.launch("produce_video", "bad-request", config)
    assert up.ended(run_id)["status"] == "FAILURE"
    failures = [event for event in up.graphql(FAILURES, id=run_id)["logsForRun"]["events"] if event]
    assert "speed" in json.dumps(failures)
    assert failures[0]["stepKey"] == "brief"


def test_a_request_for_another_video_is_refused(up: Up) -> None:
    up.add("one-video")
    config = {"ops": {"brief": {"config": {"request": SHORT | {"id": "another"}}}}}
    run_id = up.launch("produce_video", "one-video", config)
    assert up.ended(run_id)["status"] == "FAILURE"
    assert "not this partition" in json.dumps(up.graphql(FAILURES, id=run_id))


def test_a_partition_that_is_no_id_makes_nothing(up: Up) -> None:
    run_id = up.launch("produce_video", "../../etc", BRIEF)
    assert up.ended(run_id)["status"] == "FAILURE"
    assert not (up.home.path / "artifacts" / "..").resolve().joinpath("etc").exists()


def test_render_alone_reuses_all_else_and_makes_the_same_bytes(up: Up) -> None:
    video = up.home.made(up.home.request("again.yaml", seed=5))["id"]
    before = {asset: latest(up, asset, video) for asset in ("brief", "script", "audio", "background_clips", "render")}
    run = up.ended(up.launch("produce_video", video, assets=["render"]))
    assert run["status"] == "SUCCESS"
    assert {step["stepKey"] for step in run["stepStats"]} == {"render"}
    after = {asset: latest(up, asset, video) for asset in before}
    assert after["render"]["run"] != before["render"]["run"]
    assert after["render"]["metadata"]["sha256"] == before["render"]["metadata"]["sha256"]
    assert {a: after[a] for a in after if a != "render"} == {a: before[a] for a in before if a != "render"}


def test_runs_of_one_video_never_overlap(up: Up) -> None:
    video = up.home.made(up.home.request("overlap.yaml", seed=6))["id"]
    runs = [up.launch("produce_video", video, assets=["audio", "background_clips", "render"]) for _ in range(2)]
    ended = sorted((up.ended(run) for run in runs), key=lambda run: run["startTime"])
    assert [run["status"] for run in ended] == ["SUCCESS", "SUCCESS"]
    assert ended[0]["endTime"] <= ended[1]["startTime"]


def test_make_uses_the_engine_that_runs(up: Up) -> None:
    engines = [p.pid for p in up.home.processes() if "cm_assets.orchestration.engine" in " ".join(p.cmdline())]
    made = up.home.made(up.home.request("with-up.yaml", seed=7))
    assert made["state"] == "published"
    after = [p.pid for p in up.home.processes() if "cm_assets.orchestration.engine" in " ".join(p.cmdline())]
    assert engines == after
    assert len(after) == 1


def test_two_terminals_share_one_video(up: Up) -> None:
    request = up.home.request("shared.yaml", seed=8)
    terminals = [up.home.start("make", request, "--json", log=f"terminal-{number}.log") for number in range(2)]
    assert [terminal.wait(120) for terminal in terminals] == [0, 0]
    logs = [up.home.log(f"terminal-{number}.log") for number in range(2)]
    ids = {json.loads(log[log.index("{\n") :])["id"] for log in logs}
    assert len(ids) == 1
    video = ids.pop()
    wanted = f"dg.RunsFilter(job_name='produce_video', tags={{'dagster/partition': {video!r}}})"
    assert up.home.dagster(f"len(instance.get_runs({wanted}))") == 1


def test_a_dropped_file_is_made_and_a_bad_one_sent_back(up: Up) -> None:
    inbox = up.home.path / "inbox"
    (inbox / "dropped.yaml").write_text(json.dumps(SHORT | {"id": "dropped", "seed": 12}))
    (inbox / "bad.yaml").write_text("scenes: [{text: Hi}]\nspeed: 9\n")
    post = up.home.path / "outbox" / "dropped" / "post.json"
    assert until(post.exists, 90, 0.3)
    assert (inbox / "accepted" / "dropped.yaml").exists()
    assert "speed" in (inbox / "rejected" / "bad.yaml.error.txt").read_text()
