"""`audio` without speech."""

import dagster as dg
from trivial import passed, stored
from working import work

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.models.audio import Audio, SceneAudio
from cm_assets.models.brief import Brief
from cm_assets.models.script import Script
from cm_assets.storage.artifacts import ArtifactStore


@dg.asset(**policy_of("audio"))
def audio(
    context: dg.AssetExecutionContext,
    brief: Brief,
    script: Script,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
) -> Results:
    """Nobody speaks."""
    with stages.run(context) as stage:
        work("audio")
        made = Audio(
            track=stored(store, stage.video, "audio", ".flac", "audio/flac"),
            scenes=tuple(SceneAudio(first_frame=30 * n, frames=30, words=()) for n in range(len(script.scenes))),
            engine="none",
            voice=brief.request.voice,
            timing="model",
            loudness=-14,
            peak=-1,
        )
        yield from results(made, {"seconds": made.seconds}, passed("audio"))
