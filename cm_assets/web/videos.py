"""`/videos`: ask for videos, follow them, decide about them."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import Field

from cm_assets.lifecycle.intake import Accepted, fresh_key
from cm_assets.models.base import AskedToWait, Model
from cm_assets.models.request import VideoRequest
from cm_assets.models.status import State
from cm_assets.partitions import VIDEO_ID_PATTERN
from cm_assets.web.house import AnyCaller, House, HouseOf, MayAdmin, MayReview, MaySubmit, Submitter
from cm_assets.web.models import Page, Submitted, Video, paths_of
from cm_assets.web.problems import described
from cm_assets.web.security import Caller

SOURCE = "http"
"""The way in of all requests that come over HTTP: a key says the same, whoever sends it."""

NO_ENGINE = "an engine: start one with cm up"

LATER = 30.0
"""Seconds after which somebody may come back who was sent away because too many wait."""

EXAMPLE = {
    "scenes": [{"text": "Robots water the garden at night.", "search_terms": ["garden", "robot"]}],
    "music": "chill",
    "voice": "af_heart",
    "priority": 5,
}

router = APIRouter(tags=["videos"])

VideoPath = Annotated[
    str, Path(alias="id", pattern=VIDEO_ID_PATTERN, description="The video.", examples=["2026-11-24-robots"])
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Names the request: sent again with the same key, it finds its video.",
    ),
]


class Approval(Model):
    """What was looked at.

    Attributes:
        render_sha256: of the render, as the video's `render_sha256` says.
        by: who says so; the token's name by default.
    """

    render_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["9f" * 32])]
    by: Annotated[str, Field(max_length=100, examples=["Ann"])] = ""


class Rejection(Approval):
    """What was looked at, and what is to be better.

    Attributes:
        feedback: for the writer.
    """

    feedback: Annotated[
        str, Field(min_length=1, max_length=5000, pattern=r"\S", examples=["Begin with the whale, and be shorter."])
    ]


class Priority(Model):
    """A place in the backlog: 1 (urgent) to 10."""

    priority: Annotated[int, Field(ge=1, le=10, examples=[1])]


class TakeDown(Model):
    """Where a post is to be removed; wherever there is one if empty."""

    platforms: Annotated[tuple[str, ...], Field(max_length=20, examples=[["youtube"]])] = ()


class Done(Model):
    """Whether anything was to be done."""

    changed: bool


_TAKEN = described(401, 403, 409, 422, 429, 507)


@router.post(
    "/videos",
    status_code=202,
    response_model=Submitted,
    responses={200: {"model": Submitted, "description": "It was asked for before."}, **_TAKEN},
    openapi_extra={"requestBody": {"content": {"application/json": {"example": EXAMPLE}}}},
)
@router.post(
    "/new-video",
    status_code=202,
    response_model=Submitted,
    responses={200: {"model": Submitted, "description": "It was asked for before."}, **_TAKEN},
    openapi_extra={"requestBody": {"content": {"application/json": {"example": EXAMPLE}}}},
    summary="New Video, for webhooks",
)
def submit(
    document: VideoRequest, caller: Submitter, house: HouseOf, response: Response, idempotency_key: Key = None
) -> Submitted:
    """Ask for a video. It is in the database before this answers.

    Without `Idempotency-Key` (or, for a signed webhook, its id, or an `id` in the request) each call is another video.
    """
    accepted = take(house, caller, document, idempotency_key)
    response.status_code = 200 if accepted.repeated else 202
    here = paths_of(accepted.stored.id)
    response.headers["Location"] = here.self
    waiting = "" if house.works() else NO_ENGINE
    return Submitted(id=accepted.stored.id, repeated=accepted.repeated, waiting_for=waiting, links=here)


def take(house: House, caller: Caller, document: VideoRequest, key: str | None) -> Accepted:
    """Store what somebody asks for, if they may ask for so much.

    Raises:
        RequestError: it was refused.
        AskedToWait: they ask too often, or too many videos wait.
        DiskFull: there is no room for another video.
    """
    key = key or caller.key or (document.content_sha256() if document.id else fresh_key())
    house.rates.take("http", caller.name)

    def room() -> None:
        if house.waiting() >= house.settings.max_backlog:
            raise AskedToWait(f"{house.waiting()} videos wait already, and no more may (CM_MAX_BACKLOG)", LATER)

    known = house.catalogue()
    return house.pen.write(lambda: house.client.submit(document, source=SOURCE, key=key, known=known, room=room))


@router.get("/videos", response_model=Page, responses=described(401, 404, 422))
def videos(
    _caller: AnyCaller,
    house: HouseOf,
    state: Annotated[list[State] | None, Query(description="Only those in one of these states.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=VIDEO_ID_PATTERN, description="`next` of the page before.")] = None,
) -> Page:
    """The videos, the newest first."""
    found = house.client.videos(states=state or (), limit=limit + 1, before=cursor)
    shown = found[:limit]
    return Page(
        videos=tuple(Video.of(one) for one in shown), next=shown[-1].id if len(found) > limit and shown else None
    )


@router.get("/videos/{id}", response_model=Video, responses=described(401, 404, 422))
def video(video_id: VideoPath, _caller: AnyCaller, house: HouseOf) -> Video:
    """Where a video stands."""
    return Video.of(house.client.status(video_id))


@router.post("/videos/{id}/approve", response_model=Video, responses=described(401, 403, 404, 409, 422))
def approve(video_id: VideoPath, body: Approval, caller: MayReview, house: HouseOf) -> Video:
    """Let a render be posted. Approving it again changes nothing; approving another one than the newest is refused."""
    house.client.approve(video_id, render_sha256=body.render_sha256, by=body.by or caller.name)
    return Video.of(house.client.status(video_id))


@router.post("/videos/{id}/reject", response_model=Video, responses=described(401, 403, 404, 409, 422))
def reject(video_id: VideoPath, body: Rejection, caller: MayReview, house: HouseOf) -> Video:
    """Have a render made anew, or not at all; the writer gets the feedback."""
    house.client.reject(video_id, body.feedback, render_sha256=body.render_sha256, by=body.by or caller.name)
    return Video.of(house.client.status(video_id))


@router.post("/videos/{id}/cancel", response_model=Done, responses=described(401, 403, 404, 422))
def cancel(video_id: VideoPath, _caller: MaySubmit, house: HouseOf) -> Done:
    """Stop the work on a video. What is made stays made."""
    return Done(changed=house.client.cancel(video_id))


@router.post("/videos/{id}/retry", response_model=Done, responses=described(401, 403, 404, 422))
def retry(video_id: VideoPath, _caller: MaySubmit, house: HouseOf) -> Done:
    """Go on with a video that failed or was cancelled, or try one now that waits for a service."""
    return Done(changed=house.client.retry(video_id))


@router.post("/videos/{id}/reprioritise", response_model=Done, responses=described(401, 403, 404, 422))
def reprioritise(video_id: VideoPath, body: Priority, _caller: MaySubmit, house: HouseOf) -> Done:
    """Give a video that waits another place in the backlog."""
    return Done(changed=house.client.reprioritise(video_id, body.priority))


@router.post("/videos/{id}/take-down", response_model=TakeDown, responses=described(401, 403, 404, 409, 422))
def take_down(video_id: VideoPath, body: TakeDown, _caller: MayAdmin, house: HouseOf) -> TakeDown:
    """Have the posts of a video removed; where they will be."""
    return TakeDown(platforms=tuple(house.client.take_down(video_id, body.platforms)))
