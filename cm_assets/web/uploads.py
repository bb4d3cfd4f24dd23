"""`/uploads`: clips and narrations of the user's own, handed in as they are."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from cm_assets.lifecycle.arrivals import Arrival, TooLarge
from cm_assets.media.examination import NotTaken
from cm_assets.models.base import AskedToWait, Model, PermanentFailure, TransientFailure
from cm_assets.models.upload import UPLOAD_ID_PATTERN, Upload, UploadId, UploadKind
from cm_assets.storage.uploads import UnknownUpload, UploadInUse
from cm_assets.web.house import AnyCaller, HouseOf, MaySubmit
from cm_assets.web.problems import Refusal, described

router = APIRouter(tags=["uploads"])

BLOCK = 1 << 20
"""Bytes that are written at a time."""

SILENCE = 60.0
"""Seconds for which whoever sends a file may send nothing."""

AT_ONCE = 16
"""Files that may come at a time."""

LATER = 10.0
"""Seconds after which somebody may come back who was sent away because too many files come."""

_BODY = {
    "requestBody": {
        "required": True,
        "description": "The file as it is, no form.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

UploadPath = Annotated[UploadId, Path(alias="id", pattern=UPLOAD_ID_PATTERN, description="The upload.")]


class UploadShown(Model):
    """A file that was handed in.

    Attributes:
        id: a request names it `upload:<id>`.
        kind: `clip`, for `scenes[].clip`; or `narration`.
        name: as it was handed in.
        seconds: its length; null for a picture.
        width, height: pixels; null for a narration.
        size: bytes.
    """

    id: UploadId
    kind: UploadKind
    name: str
    seconds: float | None
    width: int | None
    height: int | None
    size: int
    uploaded_at: datetime

    @classmethod
    def of(cls, upload: Upload) -> "UploadShown":
        """What the API says of an upload."""
        same = {name: getattr(upload, name) for name in cls.model_fields if name in Upload.model_fields}
        return cls(**same | {"size": upload.file.size})


class UploadPage(Model):
    """Uploads, the newest first.

    Attributes:
        next: the cursor of the page after this one; null if this is the last.
    """

    uploads: tuple[UploadShown, ...]
    next: UploadId | None


@router.post(
    "/uploads",
    status_code=201,
    response_model=UploadShown,
    responses={
        200: {"model": UploadShown, "description": "This content was handed in before."},
        **described(401, 403, 408, 413, 415, 422, 429, 503, 507),
    },
    openapi_extra=_BODY,
    max_body_size=sys.maxsize,  # how large a file may be, a setting says
)
async def hand_in(
    request: Request,
    response: Response,
    _caller: MaySubmit,
    house: HouseOf,
    name: Annotated[str, Query(max_length=1000, description="What to call it; shown to people.")] = "",
) -> UploadShown:
    """Hand a file in: a video or a picture becomes a clip, a recording a narration. It is kept when this answers."""
    if house.arriving >= AT_ONCE:
        raise AskedToWait(f"{AT_ONCE} files come already", LATER)
    house.arriving += 1
    try:
        upload, is_new = await _received(request, house, name)
    except TooLarge as error:
        raise Refusal(413, str(error)) from None
    except NotTaken as error:
        raise Refusal(415, f"the file {error}") from None
    except PermanentFailure as error:
        raise Refusal(422, f"the file {error}") from None
    finally:
        house.arriving -= 1
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/uploads/{upload.id}"
    return UploadShown.of(upload)


async def _received(request: Request, house: HouseOf, name: str) -> tuple[Upload, bool]:
    announced = request.headers.get("content-length", "")
    arrivals = await run_in_threadpool(lambda: house.client.arrivals)
    arrival = await run_in_threadpool(arrivals.begin, int(announced) if announced.isdecimal() else None)
    with arrival:
        async for block in _blocks(request):
            await run_in_threadpool(arrival.write, block)
        async with house.examining:  # whoever waits here waits without a thread
            return await run_in_threadpool(_finish, arrival, name)


def _finish(arrival: Arrival, name: str) -> tuple[Upload, bool]:
    try:
        return arrival.finish(name)
    except TransientFailure as failure:
        from cm_assets.models.disk import DiskFull

        if isinstance(failure, DiskFull):
            raise
        raise Refusal(503, str(failure), {"Retry-After": f"{LATER:.0f}"}) from None


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """The body in blocks of a size that is worth a write."""
    block = bytearray()
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                part = await anext(stream, None)
        except TimeoutError:
            raise Refusal(408, f"nothing came for {SILENCE:.0f} s") from None
        except ClientDisconnect:
            raise Refusal(400, "the connection broke off") from None
        if part is None:
            break
        block += part
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


@router.get("/uploads", response_model=UploadPage, responses=described(401, 404, 422))
def uploads(
    _caller: AnyCaller,
    house: HouseOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=UPLOAD_ID_PATTERN, description="`next` of the page before.")] = None,
) -> UploadPage:
    """The files that were handed in, the newest first."""
    try:
        found = house.client.uploads.all(limit + 1, after=cursor)
    except UnknownUpload:
        raise _unknown(cursor or "") from None
    shown = found[:limit]
    return UploadPage(
        uploads=tuple(map(UploadShown.of, shown)), next=shown[-1].id if len(found) > limit and shown else None
    )


@router.get("/uploads/{id}", response_model=UploadShown, responses=described(401, 404, 422))
def upload(found: UploadPath, _caller: AnyCaller, house: HouseOf) -> UploadShown:
    """One of them."""
    try:
        return UploadShown.of(house.client.uploads.get(found))
    except UnknownUpload:
        raise _unknown(found) from None


@router.delete("/uploads/{id}", status_code=204, responses=described(401, 403, 404, 409, 422))
def remove(found: UploadPath, _caller: MaySubmit, house: HouseOf) -> None:
    """Remove it. Videos that have shown it keep their own copy."""
    try:
        house.client.uploads.remove(found)
    except UnknownUpload:
        raise _unknown(found) from None
    except UploadInUse as why:
        raise Refusal(409, str(why)) from None


def _unknown(found: str) -> Refusal:
    return Refusal(404, f"there is no upload {found}")
