"""The jobs that make a video and post it. `assets/take_down.py` has the one that removes a post."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from cm_assets.policies import PLATFORMS, PRODUCE, RUN_MAXIMUM

_TAGS = {"dagster/max_runtime": str(int(RUN_MAXIMUM))}

produce_video = dg.define_asset_job(
    "produce_video",
    selection=dg.AssetSelection.assets(*PRODUCE),
    description="Makes a video, from its request to its render.",
    tags=_TAGS,
)


def publish_video(executor: dg.ExecutorDefinition) -> UnresolvedAssetJobDefinition:
    """The job that posts a rendered video.

    Args:
        executor: of its steps.
    """
    return dg.define_asset_job(
        "publish_video",
        selection=dg.AssetSelection.assets(*(["published_post", platform] for platform in PLATFORMS)),
        description="Posts a rendered video on the platforms that its request names.",
        executor_def=executor,
        tags=_TAGS,
    )
