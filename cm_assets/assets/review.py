"""`review`: what a person says of a render. Nothing here makes it; it is reported."""

import dagster as dg

from cm_assets.assets.stage import videos
from cm_assets.lifecycle.review import ASSET

review = dg.AssetSpec(
    ASSET,
    deps=["render"],
    partitions_def=videos,
    group_name="posts",
    kinds={"human"},
    owners=["team:cm_assets"],
    description=(
        "Whether the render may be posted. Approve it with `cm approve`, or here with Report materialization, which "
        "counts for the render that is the newest at that moment. Reject it with `cm reject`."
    ),
)
