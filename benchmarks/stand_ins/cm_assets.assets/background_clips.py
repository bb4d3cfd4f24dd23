"""`background_clips` without clips."""

import dagster as dg
from trivial import passed, stored
from working import work

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.models.brief import Brief
from cm_assets.models.clips import BackgroundClips, Clip, Credit
from cm_assets.models.script import Script
from cm_assets.storage.artifacts import ArtifactStore


@dg.asset(**policy_of("background_clips"))
def background_clips(
    context: dg.AssetExecutionContext,
    brief: Brief,
    script: Script,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
) -> Results:
    """Nothing is seen."""
    with stages.run(context) as stage:
        work("background_clips")
        width, height = brief.request.size
        file = stored(store, stage.video, "background_clips", ".jpg", "image/jpeg")
        clips = tuple(
            Clip(
                scene=number,
                kind="picture",
                key=f"{number}",
                width=width,
                height=height,
                credit=Credit(source="none", licence="MIT"),
                files=(file,),
            )
            for number in range(len(script.scenes))
        )
        yield from results(BackgroundClips(clips=clips), {"clips": len(clips)}, passed("background_clips"))
