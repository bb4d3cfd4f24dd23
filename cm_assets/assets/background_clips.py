"""`background_clips`: what is seen under the narration."""

import math

import dagster as dg

from cm_assets.assets.stage import Results, Stage, Stages, policy_of, results
from cm_assets.checks.clips import check_clips
from cm_assets.media.music import mood_of
from cm_assets.models.base import TransientFailure
from cm_assets.models.brief import Brief
from cm_assets.models.clips import BackgroundClips, Clip, FetchedClip, FootageQuery
from cm_assets.models.script import WORDS_PER_SECOND, Script
from cm_assets.resources import Footage
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.footage import FootageMemory
from cm_assets.storage.uploads import Uploads

SECONDS_PER_CLIP = 8.0
"""A scene that is longer is shown as several clips."""

_MEDIA_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mkv": "video/x-matroska", ".webm": "video/webm"}
_MEDIA_TYPES |= {".avi": "video/x-msvideo", ".ts": "video/mp2t"}
_MEDIA_TYPES |= {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


@dg.asset(
    **policy_of("background_clips"),
    group_name="media",
    kinds={"ffmpeg"},
    code_version="2",
    description="At least one clip per scene, with source, author and licence; none twice.",
)
def background_clips(
    context: dg.AssetExecutionContext,
    brief: Brief,
    script: Script,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
    database: dg.ResourceParam[Database],
    footage: Footage,
    uploads: dg.ResourceParam[Uploads],
) -> Results:
    """The clips of this video."""
    from cm_assets.engines.footage.gathering import Gathering
    from cm_assets.engines.footage.uploaded import Uploaded

    with stages.run(context) as stage:
        sources = (*footage.sources(FootageMemory(database, stage.video)), Uploaded(uploads))
        last_try = not stage.comes_back(TransientFailure("a source is away"))
        gathering = Gathering(sources, stage.folder, stage.progress, last_try=last_try)
        clips = [_keep(stage, store, fetched) for fetched in gathering.clips(_queries(brief, script))]
        made = BackgroundClips(clips=tuple(clips))
        yield from results(
            made,
            {
                "clips": len(clips),
                "sources": ", ".join(sorted({clip.credit.source for clip in clips})),
                "list": dg.MetadataValue.table([_row(clip) for clip in clips]),
                **({"passed over": "\n".join(gathering.passed_over)} if gathering.passed_over else {}),
            },
            check_clips(made, brief.request.size),
        )


def _row(clip: Clip) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "scene": clip.scene + 1,
            "shows": clip.label,
            "terms": ", ".join(clip.terms),
            "found by": clip.found_by,
            "source": clip.credit.source,
            "author": clip.credit.author,
            "licence": clip.credit.licence,
            "link": clip.credit.url or "",
        }
    )


def _queries(brief: Brief, script: Script) -> list[FootageQuery]:
    request = brief.request
    width, height = request.size
    queries = []
    for index, scene in enumerate(script.scenes):
        seconds = max(1.0, len(scene.text.split()) / WORDS_PER_SECOND / request.speed)
        count = 1 if scene.clip else max(1, math.ceil(seconds / SECONDS_PER_CLIP))
        for shot in range(count):
            queries.append(  # noqa: PERF401 - two nested loops read better
                FootageQuery(
                    scene=index,
                    shot=shot,
                    text=scene.text,
                    terms=scene.search_terms,
                    clip=scene.clip,
                    width=width,
                    height=height,
                    seconds=seconds / count,
                    mood=mood_of(request.music),
                    seed=request.random_seed,
                    used=frozenset(),
                    # A language model is told to give its terms in English.
                    language="en" if script.model else script.language,
                )
            )
    return queries


def _keep(stage: Stage, store: ArtifactStore, fetched: FetchedClip) -> Clip:
    refs = [
        store.put_file(stage.video, "background_clips", path, _MEDIA_TYPES[path.suffix.lower()])
        for path in fetched.files
    ]
    return Clip(**fetched.spec.model_dump(), files=tuple(refs))
