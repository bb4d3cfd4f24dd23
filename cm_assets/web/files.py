"""A video's render, cover and captions: whole or in part, and only once if they have not changed."""

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from cm_assets.models.artifact import ArtifactRef
from cm_assets.web.house import AnyCaller, House, HouseOf
from cm_assets.web.problems import Refusal, described
from cm_assets.web.videos import VideoPath

router = APIRouter(tags=["files"])

_ANSWERS = {
    206: {"description": "The part that `Range` asks for."},
    304: {"description": "It is the one that `If-None-Match` names."},
    **described(401, 404, 409, 416, 422, 503),
}


@router.head("/videos/{id}/video", include_in_schema=False)
@router.get("/videos/{id}/video", response_class=FileResponse, responses=_ANSWERS)
def video(video_id: VideoPath, _caller: AnyCaller, house: HouseOf, request: Request) -> Response:
    """The newest render, MP4."""
    return _answer(house, request, video_id, "video")


@router.head("/videos/{id}/cover", include_in_schema=False)
@router.get("/videos/{id}/cover", response_class=FileResponse, responses=_ANSWERS)
def cover(video_id: VideoPath, _caller: AnyCaller, house: HouseOf, request: Request) -> Response:
    """Its cover."""
    return _answer(house, request, video_id, "cover")


@router.head("/videos/{id}/captions", include_in_schema=False)
@router.get("/videos/{id}/captions", response_class=FileResponse, responses=_ANSWERS)
def captions(
    video_id: VideoPath,
    _caller: AnyCaller,
    house: HouseOf,
    request: Request,
    file_format: Annotated[Literal["vtt", "srt"], Query(alias="format")] = "vtt",
) -> Response:
    """Its captions."""
    return _answer(house, request, video_id, file_format)


def _answer(house: House, request: Request, video_id: str, name: str) -> Response:
    ref = house.client.rendered(video_id).get(name)
    if ref is None:
        status = house.client.status(video_id)
        raise Refusal(404 if status.state == "retired" else 409, f"{video_id} has no render: it is {status.state}")
    headers = {"ETag": f'"{ref.sha256}"', "Cache-Control": "private, no-cache"}
    if _is_known(request, ref):
        return Response(status_code=304, headers=headers)
    lent = house.client.lend(ref)
    return _Lent(
        lent,
        media_type=ref.media_type,
        headers=headers,
        filename=f"{video_id}{ref.suffix}",
        content_disposition_type="inline",
    )


class _Lent(FileResponse):
    """A file that is there until it was sent, or whoever asked for it is gone."""

    def __init__(self, lent: AbstractContextManager[Path], **options: Any) -> None:
        with ExitStack() as stack:
            super().__init__(stack.enter_context(lent), **options)
            self._lent = stack.pop_all()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._lent:
            await super().__call__(scope, receive, send)


def _is_known(request: Request, ref: ArtifactRef) -> bool:
    known = request.headers.get("if-none-match", "")
    return any(one.strip().removeprefix("W/") in {f'"{ref.sha256}"', "*"} for one in known.split(","))
