"""`brief`: the request, judged and stored; from here on it does not change."""

from typing import Any

import dagster as dg
from pydantic import Field

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.lifecycle.documents import Problem, RequestError, parse
from cm_assets.lifecycle.intake import accept
from cm_assets.models.base import PermanentFailure
from cm_assets.models.brief import Brief
from cm_assets.models.request import VideoRequest
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk


class BriefConfig(dg.Config):
    """Run config of `brief`: the request document, or nothing to use the one that is stored for the video."""

    request: dict[str, Any] = Field(default_factory=dict)


@dg.asset(
    **policy_of("brief"),
    group_name="writing",
    kinds={"yaml"},
    code_version="1",
    description=(
        "What was asked for. Give the request document as run config (`ops: {brief: {config: {request: {...}}}}`), "
        "or nothing to use the request that is stored for this video."
    ),
)
def brief(
    context: dg.AssetExecutionContext,
    config: BriefConfig,
    stages: dg.ResourceParam[Stages],
    database: dg.ResourceParam[Database],
    catalogue: dg.ResourceParam[Catalogue],
    disk: dg.ResourceParam[Disk],
) -> Results:
    """The request of this video."""
    with stages.run(context) as stage:
        try:
            request = _given(stage.video, config.request, database, catalogue, disk) if config.request else None
        except RequestError as error:
            raise PermanentFailure(f"the request was refused: {error}") from error
        if request is None:
            stored = database.get(stage.video)
            if stored is None:
                raise PermanentFailure(
                    f"no request is stored for {stage.video}: give it as run config, such as "
                    "ops: {brief: {config: {request: {scenes: [{text: Hello world, search_terms: [technology]}]}}}}"
                )
            request = parse(stored.document)
        made = Brief(video_id=stage.video, request=request)
        yield from results(
            made,
            {
                "content": request.topic or request.source_text or "\n\n".join(s.text for s in request.scenes or ()),
                "voice": request.voice,
                "music": request.music,
                "orientation": request.orientation,
                "platforms": ", ".join(request.platforms),
                "review": "required" if request.needs_review else "auto",
                "request": dg.MetadataValue.json(request.canonical()),
            },
        )


def _given(video: str, document: dict[str, Any], database: Database, catalogue: Catalogue, disk: Disk) -> VideoRequest:
    request = parse(document)
    if request.id is not None and request.id != video:
        raise RequestError([Problem("id", f"{request.id} is not this partition's, {video}")])
    request = request.model_copy(update={"id": video})
    stored = database.get(video)
    if stored is not None and stored.source != "dagster":
        known = parse(stored.document).model_copy(update={"id": video})
        if known.content_sha256() != request.content_sha256():
            raise RequestError([Problem("id", f"video {video} was requested with other content")], conflict=True)
        return request
    accept(database, catalogue, request, source="dagster", key=video, room=disk.require_room)
    return request
