"""`audio`: the narration, and when each word is spoken."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.checks.audio import check_audio
from cm_assets.models.audio import Audio
from cm_assets.models.base import PermanentFailure
from cm_assets.models.brief import Brief
from cm_assets.models.script import Script
from cm_assets.resources import Speakers
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.uploads import Uploads

if TYPE_CHECKING:
    from cm_assets.engines.speech.chain import Narrated


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
    uploads: dg.ResourceParam[Uploads],
) -> Results:
    """The narration of this video: the user's recording, or spoken whole by the first voice engine that can."""
    from cm_assets.media.narration import measure, write_flac

    with stages.run(context) as stage:
        request = brief.request
        texts = [scene.text for scene in script.scenes]
        if request.narration is not None:
            told = _recorded(texts, request.narration, uploads, script.language)
        else:
            told = speakers.tell(
                texts,
                voice=request.voice,
                speed=request.speed,
                language=script.language,
                progress=stage.progress,
                comes_back=stage.comes_back,
            )
        narration = told.narration
        for other in told.passed_over:
            (context.log.warning if other.to_mend else context.log.info)(
                f"{other.engine} did not speak: {other.reason}"
            )
        path = stage.folder / "narration.flac"
        write_flac(narration.samples, path)
        loudness, peak = measure(narration.samples)
        made = Audio(
            track=store.put_file(stage.video, "audio", path, "audio/flac"),
            scenes=narration.scenes,
            engine=told.engine,
            voice=told.voice,
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
                "characters": sum(len(scene.text) for scene in script.scenes),
                "characters sent to a service": told.sent,
                **_passed_over(told),
                "track": dg.MetadataValue.path(store.address(made.track)),
            },
            check_audio(made, narration.samples, request),
        )


def _recorded(texts: Sequence[str], name: str, uploads: Uploads, language: str) -> "Narrated":
    from cm_assets.engines.speech.recording import tell

    try:
        upload = uploads.named(name, "narration")
        path = uploads.local(upload)
    except PermanentFailure as failure:
        raise PermanentFailure(f"narration: {failure}") from None
    return tell(texts, path, name=upload.name or upload.named, language=language)


def _passed_over(told: "Narrated") -> dict[str, str]:
    """Who did not speak and why, and apart from them those whom a person must mend."""
    mend = "\n".join(f"{other.engine}: {other.reason}" for other in told.passed_over if other.to_mend)
    passing = "\n".join(f"{other.engine}: {other.reason}" for other in told.passed_over if not other.to_mend)
    return ({"to mend": mend} if mend else {}) | ({"passed over": passing} if passing else {})
