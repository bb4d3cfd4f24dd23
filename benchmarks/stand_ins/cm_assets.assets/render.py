"""`render` without a picture."""

import dagster as dg
from trivial import passed, stored
from working import work

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.models.audio import Audio
from cm_assets.models.brief import Brief
from cm_assets.models.clips import BackgroundClips
from cm_assets.models.render import Loudness, Render
from cm_assets.models.script import Script
from cm_assets.storage.artifacts import ArtifactStore


@dg.asset(**policy_of("render"))
def render(
    context: dg.AssetExecutionContext,
    brief: Brief,
    script: Script,
    audio: Audio,
    background_clips: BackgroundClips,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
) -> Results:
    """Nothing is encoded."""
    with stages.run(context) as stage:
        work("render")
        width, height = brief.request.size
        made = Render(
            video=stored(store, stage.video, "render", ".mp4", "video/mp4"),
            cover=stored(store, stage.video, "render", ".jpg", "image/jpeg"),
            srt=stored(store, stage.video, "render", ".srt", "application/x-subrip"),
            vtt=stored(store, stage.video, "render", ".vtt", "text/vtt"),
            width=width,
            height=height,
            frames=audio.frames,
            loudness=Loudness(integrated=-14, true_peak=-1),
            caption_style=brief.request.captions.style,
            encoder="none",
        )
        yield from results(made, {"sha256": made.video.sha256, "seconds": made.seconds}, passed("render"))
