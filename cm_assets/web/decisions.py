"""What people do about a video at the board. Each is a form; what is refused is said on the video's page."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Response
from fastapi.responses import RedirectResponse

from cm_assets.client import NotPosted, NotToBeReviewed
from cm_assets.web.house import House, HouseOf, MayAdmin, MayReview, MaySubmit
from cm_assets.web.pages import PageRoute
from cm_assets.web.review import after, show
from cm_assets.web.security import Caller
from cm_assets.web.videos import VideoPath

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Sha256 = Annotated[str, Form(pattern=r"^[0-9a-f]{64}$")]
Reviewing = Annotated[bool, Form(alias="review")]


@router.post("/board/{id}/approve")
def approve(
    video_id: VideoPath, caller: MayReview, house: HouseOf, render_sha256: Sha256, reviewing: Reviewing = False
) -> Response:
    """Let the render that was looked at be posted."""

    def act() -> None:
        house.client.approve(video_id, render_sha256=render_sha256, by=caller.name)

    return _decide(house, caller, video_id, act, "approved", reviewing)


@router.post("/board/{id}/reject")
def reject(
    video_id: VideoPath,
    caller: MayReview,
    house: HouseOf,
    render_sha256: Sha256,
    feedback: Annotated[str, Form(max_length=5000)] = "",
    reviewing: Reviewing = False,
) -> Response:
    """Send it back, with what is to be better."""
    if not feedback.strip():
        said = "Say what to do better: the writer works with that."
        return show(house, caller, video_id, reviewing=reviewing, refused=said, status_code=422)

    def act() -> None:
        house.client.reject(video_id, feedback, render_sha256=render_sha256, by=caller.name)

    return _decide(house, caller, video_id, act, "rejected", reviewing, feedback)


@router.post("/board/{id}/cancel")
def cancel(video_id: VideoPath, caller: MaySubmit, house: HouseOf) -> Response:
    """Stop the work on it."""
    return _done(house, caller, video_id, house.client.cancel(video_id), "cancelled")


@router.post("/board/{id}/retry")
def retry(video_id: VideoPath, caller: MaySubmit, house: HouseOf) -> Response:
    """Go on with it."""
    return _done(house, caller, video_id, house.client.retry(video_id), "retried")


@router.post("/board/{id}/reprioritise")
def reprioritise(
    video_id: VideoPath, caller: MaySubmit, house: HouseOf, priority: Annotated[int, Form(ge=1, le=10)]
) -> Response:
    """Give it another place in the backlog."""
    return _done(house, caller, video_id, house.client.reprioritise(video_id, priority), "reprioritised")


@router.post("/board/{id}/take-down")
def take_down(
    video_id: VideoPath,
    caller: MayAdmin,
    house: HouseOf,
    platforms: Annotated[list[str] | None, Form(max_length=20)] = None,
) -> Response:
    """Have its posts removed."""
    try:
        house.client.take_down(video_id, platforms or ())
    except NotPosted as refusal:
        return show(house, caller, video_id, refused=str(refusal), status_code=409)
    return _back(video_id, "taken_down")


def _decide(
    house: House,
    caller: Caller,
    video_id: str,
    act: Callable[[], None],
    told: str,
    reviewing: bool,
    feedback: str = "",
) -> Response:
    then = after(house, video_id) if reviewing else ""
    try:
        act()
    except NotToBeReviewed as refusal:
        return show(
            house,
            caller,
            video_id,
            reviewing=reviewing,
            refused=f"Nothing was done: {refusal}.",
            feedback=feedback,
            status_code=409,
        )
    house.to_review.forget()
    if reviewing:
        return RedirectResponse(f"{then}?told={told}&of={video_id}", status_code=303)
    return _back(video_id, told)


def _done(house: House, caller: Caller, video_id: str, changed: bool, told: str) -> Response:
    if not changed:
        state = house.client.status(video_id).state.replace("_", " ")
        said = f"Nothing was done: by now the video is {state}."
        return show(house, caller, video_id, refused=said, status_code=409)
    return _back(video_id, told)


def _back(video_id: str, told: str) -> Response:
    return RedirectResponse(f"/board/{video_id}?told={told}", status_code=303)
