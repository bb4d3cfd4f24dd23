"""The asset graph as it is meant to be: it changes only on purpose."""

from pathlib import Path

import dagster as dg
import pytest

from cm_assets.definitions import build_defs
from cm_assets.lifecycle.plan import UPSTREAM
from cm_assets.policies import PLATFORMS, STAGES
from cm_assets.settings import Settings

POOLS = {
    "brief": set(),
    "script": {"llm"},
    "audio": {"speech"},
    "background_clips": {"footage"},
    "render": {"render"},
    "review": set(),
    **{f"published_post/{platform}": {f"publish_{platform}"} for platform in PLATFORMS},
}
GROUPS = {
    "brief": "writing",
    "script": "writing",
    "audio": "media",
    "background_clips": "media",
    "render": "media",
    "review": "posts",
    **{f"published_post/{platform}": "posts" for platform in PLATFORMS},
}
PARENTS = {
    "brief": set(),
    "script": {"brief"},
    "audio": {"brief", "script"},
    "background_clips": {"brief", "script"},
    "render": {"brief", "script", "audio", "background_clips"},
    "review": {"render"},
    **{
        f"published_post/{platform}": {"brief", "script", "background_clips", "render", "review"}
        for platform in PLATFORMS
    },
}
CHECKS = {
    "script_length": ("script", False),
    "script_repetition": ("script", False),
    "speech_rate": ("audio", False),
    "narration_silence": ("audio", True),
    "narration_clipping": ("audio", False),
    "clip_sizes": ("background_clips", False),
    "clips_differ": ("background_clips", False),
    "render_length": ("render", True),
    "render_picture": ("render", True),
    "render_loudness": ("render", True),
    "captions_fit": ("render", True),
}
JOBS = {
    "produce_video": {"brief", "script", "audio", "background_clips", "render"},
    "publish_video": {f"published_post/{platform}" for platform in PLATFORMS},
    "take_down_video": set(),
}


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_defs(Settings(home=tmp_path_factory.mktemp("home")))


def test_the_assets_are_these(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    keys = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert {name: {parent.to_user_string() for parent in node.parent_keys} for name, node in keys.items()} == PARENTS
    assert {name: node.group_name for name, node in keys.items()} == GROUPS
    assert {name: set(node.pools or ()) for name, node in keys.items()} == POOLS
    for name, node in keys.items():
        assert node.description, name
        assert node.kinds, name
        assert node.owners == ["team:cm_assets"], name
        assert node.code_version or name == "review", name
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition), name
        assert node.partitions_def.name == "videos", name


def test_the_checks_are_these(defs: dg.Definitions) -> None:
    found = {}
    for assets in defs.resolve_asset_graph().assets_defs:
        for spec in assets.check_specs:
            found[spec.name] = (spec.asset_key.to_user_string(), spec.blocking)
    assert found == CHECKS


def test_the_jobs_are_these(defs: dg.Definitions) -> None:
    for name, stages in JOBS.items():
        job = defs.resolve_job_def(name)
        assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == stages
        assert int(job.tags["dagster/max_runtime"]) > 0


def test_the_plan_knows_the_graph(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for stage, upstream in UPSTREAM.items():
        parents = {key.to_user_string() for key in graph.get(dg.AssetKey(stage)).parent_keys}
        # Every stage reads the brief; through the script it follows from it anyway.
        assert parents - {"brief"} == set(upstream) - {"brief"}


def test_retries_are_those_of_the_table(defs: dg.Definitions) -> None:
    for assets in defs.resolve_asset_graph().assets_defs:
        if not assets.is_executable:
            continue
        policy = STAGES[assets.key.to_user_string()]
        retries = assets.op.retry_policy
        assert (retries.max_retries if retries else 0) == policy.retries
        assert float(assets.op.tags["cm/time_limit"]) == policy.time_limit


def test_a_resource_can_be_put_in_another_s_place(tmp_path: Path) -> None:
    mine = object()
    defs = build_defs(Settings(home=tmp_path), overrides={"catalogue": mine})
    assert defs.resources is not None
    assert defs.resources["catalogue"] is mine
