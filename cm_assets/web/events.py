"""`/videos/{id}/events`: server-sent events, one for each change, until nothing more will happen by itself."""

import asyncio
import hashlib
from collections.abc import AsyncIterable
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from cm_assets.models.status import Status
from cm_assets.web.house import AnyCaller, House, HouseOf
from cm_assets.web.models import Event
from cm_assets.web.problems import Refusal, described
from cm_assets.web.videos import VideoPath

EVERY = 0.5
"""Seconds between two looks at a video that somebody follows."""

MOST = 200
"""Streams at once: each is a connection, and a look at the database every half second."""

router = APIRouter(tags=["videos"])


def _first(video_id: VideoPath, _caller: AnyCaller, house: HouseOf) -> Status:
    if house.streams >= MOST:
        raise Refusal(503, f"{MOST} streams are open already: ask GET /videos/{video_id} now and then")
    return house.client.status(video_id)


@router.get(
    "/videos/{id}/events",
    response_class=EventSourceResponse,
    responses={
        200: {"description": "Events of the type `status`; the last one's state is an end."},
        **described(401, 404, 422, 503),
    },
)
async def events(
    house: HouseOf,
    first: Annotated[Status, Depends(_first)],
    last_event_id: Annotated[str | None, Header(description="Of the last event that came.")] = None,
) -> AsyncIterable[ServerSentEvent]:
    """Follow a video: state, stage, and how much of it is done."""
    house.streams += 1
    try:
        async for event in _changes(house, first, last_event_id):
            yield event
    finally:
        house.streams -= 1


async def _changes(house: House, status: Status, told: str | None) -> AsyncIterable[ServerSentEvent]:
    while True:
        event = Event.of(status)
        name = hashlib.sha256(event.to_bytes()).hexdigest()[:16]
        if name != told:
            yield ServerSentEvent(data=event, event="status", id=name, retry=2000)
            told = name
        if status.ended:
            return
        await asyncio.sleep(EVERY)
        status = await run_in_threadpool(house.client.status, status.id)
