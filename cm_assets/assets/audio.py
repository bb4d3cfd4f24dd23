"""`audio`: the narration, and when each word is spoken."""

import dagster as dg

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.checks.audio import check_audio
from cm_assets.models.audio import Audio
from cm_assets.models.brief import Brief
from cm_assets.models.script import Script
from cm_assets.resources import Speakers
from cm_assets.storage.artifacts import ArtifactStore


@dg.asset(
    **policy_of("audio"),
    group_name="media",
    kinds={"onnx"},
    code_version="1",
    description="The narration as one track on the 30 fps grid, with a time for each word.",
)
def audio(
    context: dg.AssetExecutionContext,
    brief: Brief,
    script: Script,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
    speakers: Speakers,
) -> Results:
    """The narration of this video."""
    from cm_assets.media.narration import measure, narrate, write_flac

    with stages.run(context) as stage:
        request = brief.request
        engine, speak = speakers.speaker(request.voice, request.speed, script.language)
        narration = narrate([scene.text for scene in script.scenes], speak, progress=stage.progress)
        path = stage.folder / "narration.flac"
        write_flac(narration.samples, path)
        loudness, peak = measure(narration.samples)
        made = Audio(
            track=store.put_file(stage.video, "audio", path, "audio/flac"),
            scenes=narration.scenes,
            engine=engine,
            voice=request.voice,
            timing=narration.timing,
            loudness=loudness,
            peak=peak,
        )
        words = sum(len(scene.words) for scene in made.scenes)
        yield from results(
            made,
            {
                "seconds": made.seconds,
                "words": words,
                "words per minute": round(60 * words / made.seconds),
                "loudness (LUFS)": made.loudness,
                "peak (dBFS)": made.peak,
                "voice": f"{made.voice} ({made.engine})",
                "word times": made.timing,
                "track": dg.MetadataValue.path(store.address(made.track)),
            },
            check_audio(made, narration.samples, request),
        )
