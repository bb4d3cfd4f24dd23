"""`/board/{id}`: one video, told in full. `/review`: those that wait for somebody, one after the other."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse
from markupsafe import escape

from cm_assets.models.request import SIZES
from cm_assets.models.review import Decision
from cm_assets.models.status import Status
from cm_assets.models.story import RunTold
from cm_assets.storage.database import RETIRED
from cm_assets.web.house import AnyCaller, House, HouseOf
from cm_assets.web.models import FILES, share_of
from cm_assets.web.pages import PageRoute, Part, changes, html, page
from cm_assets.web.problems import Refusal
from cm_assets.web.security import Caller
from cm_assets.web.videos import VideoPath

THUMBNAIL = 400
"""Pixels of a thumbnail's width."""

Told = Annotated[
    Literal["", "approved", "rejected", "cancelled", "retried", "reprioritised", "taken_down", "submitted", "known"],
    Query(),
]

HURRIED = frozenset({"queued", "scheduled", "publishing"})
"""States in which a video may wait for a service that can be tried now."""

NOT_YET = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something in the timeline: an attempt or a decision."""

    at: datetime | None
    run: RunTold | None = None
    decision: Decision | None = None


router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/board/{id}")
def video(video_id: VideoPath, caller: AnyCaller, house: HouseOf, told: Told = "") -> Response:
    """A video."""
    return show(house, caller, video_id, told=told)


@router.get("/board/{id}/live")
def live(
    video_id: VideoPath,
    caller: AnyCaller,
    house: HouseOf,
    seen: Annotated[list[str] | None, Query(max_length=50)] = None,
    reviewing: Annotated[bool, Query(alias="review")] = False,
) -> Response:
    """What of it has changed."""
    status = house.client.status(video_id)
    return changes(_parts(house, caller, status, reviewing).values(), set(seen or ()))


@router.get("/board/{id}/story")
def story(video_id: VideoPath, _caller: AnyCaller, house: HouseOf) -> Response:
    """What takes Dagster to be told."""
    status = house.client.status(video_id)
    told = house.client.story(video_id)
    posts = {name: url for name, url in status.links.items() if name not in FILES}
    moments = [
        *(Moment(one.began, run=one) for one in told.runs),
        *(Moment(one.at, decision=one) for one in told.decisions),
    ]
    moments.sort(key=lambda one: one.at or NOT_YET, reverse=True)
    dagster = house.settings.dagster_url.rstrip("/")
    text = html("_story.html", video=status, story=told, posts=posts, moments=moments, dagster=dagster)
    return Response(text, media_type="text/html", headers={"Cache-Control": "private, no-store"})


@router.get("/board/{id}/thumbnail")
def thumbnail(
    video_id: VideoPath, _caller: AnyCaller, house: HouseOf, version: Annotated[str, Query(alias="v")] = ""
) -> Response:
    """Its cover, small."""
    ref = house.client.rendered(video_id).get("cover")
    if ref is None:
        raise Refusal(404, "There is no cover yet.")
    with house.client.lend(ref) as path:
        small = _small(str(path), ref.sha256)
    fixed = "max-age=31536000, immutable" if version == house.client.status(video_id).render_sha256[:16] else "no-cache"
    return Response(small, media_type="image/jpeg", headers={"Cache-Control": f"private, {fixed}"})


@lru_cache(maxsize=256)
def _small(path: str, _sha256: str) -> bytes:
    from PIL import Image

    with Image.open(path) as cover:
        # The decoder leaves out what nobody will see.
        cover.draft("RGB", (THUMBNAIL, THUMBNAIL * cover.height // cover.width))
        cover.thumbnail((THUMBNAIL, 10 * THUMBNAIL))
        out = io.BytesIO()
        cover.convert("RGB").save(out, "JPEG", quality=82)
    return out.getvalue()


@router.get("/review")
def first(caller: AnyCaller, house: HouseOf, told: Told = "", of: str = "") -> Response:
    """To the one that has waited longest."""
    waiting = house.to_review()
    if waiting:
        tail = f"?told={told}&of={of}" if told and of.replace("-", "").isalnum() else ""
        return RedirectResponse(f"/review/{waiting[0]}{tail}", status_code=303)
    return page(house, caller, "reviewed.html", told=told, told_of=_title(house, of), of=of)


@router.get("/review/{id}")
def reviewing(video_id: VideoPath, caller: AnyCaller, house: HouseOf, told: Told = "", of: str = "") -> Response:
    """A video among those that wait."""
    return show(house, caller, video_id, reviewing=True, told=told, of=of)


def show(
    house: House,
    caller: Caller,
    video_id: str,
    *,
    reviewing: bool = False,
    told: str = "",
    of: str = "",
    refused: str = "",
    feedback: str = "",
    status_code: int = 200,
) -> Response:
    """The page of a video.

    Args:
        house: whose it is.
        caller: who looks.
        video_id: which.
        reviewing: whether it is one of those that wait, one after the other.
        told: what was just done.
        of: with which video, if it was another one.
        refused: why something was not done.
        feedback: what had been typed then.
        status_code: of the answer.

    Raises:
        UnknownVideo: there is no such video.
    """
    status = house.client.status(video_id)
    query = "?review=1" if reviewing else ""
    return page(
        house,
        caller,
        "video.html",
        status=status_code,
        video=status,
        parts=_parts(house, caller, status, reviewing, feedback),
        live=f"/board/{video_id}/live{query}",
        reviewing=reviewing,
        told=told,
        told_of=_title(house, of),
        of=of,
        refused=refused,
    )


def after(house: House, video_id: str) -> str:
    """The address of the one to review after this one."""
    waiting = house.to_review()
    place = waiting.index(video_id) if video_id in waiting else -1
    rest = [one for one in (*waiting[place + 1 :], *waiting[: max(place, 0)]) if one != video_id]
    return f"/review/{rest[0]}" if rest else "/review"


def _title(house: House, video_id: str) -> str:
    found = house.client.database.get(video_id) if video_id else None
    return house.client.status(video_id).title or video_id if found else ""


def _parts(house: House, caller: Caller, status: Status, reviewing: bool, feedback: str = "") -> dict[str, Part]:
    stored = house.client.asked(status.id)
    document: dict[str, Any] = stored.document if stored.outcome != RETIRED else {}
    orientation = document.get("orientation", "portrait")
    width, height = SIZES[orientation]
    look = {
        "video": status,
        "orientation": orientation,
        "width": width,
        "height": height,
        "burnt_in": document.get("captions", {}).get("style") != "none",
        "language": document.get("language", "en"),
    }
    can = {
        "review": caller.may("review") and status.state == "awaiting_review",
        "reject": caller.may("review") and status.state == "scheduled" and bool(status.render_sha256),
        "cancel": caller.may("submit") and not status.ended,
        "retry": caller.may("submit") and status.state in {"failed", "partially_published", "cancelled"},
        "hurry": caller.may("submit")
        and status.state in HURRIED
        and not status.waiting_for.startswith("its time")
        and stored.resume_at is not None,
        "prioritise": caller.may("submit") and status.state == "queued",
        "anew": caller.may("submit") and status.ended and bool(document),
    }
    posted = house.client.present(status.id) if caller.may("admin") and not stored.wanted else ()
    state = html("_state.html", video=status, share=share_of(status))
    # What changes often is no part of what people type into.
    fixed = status.model_copy(update={"stages": (), "waiting_for": "", "attempts": 0})
    actions = html("_actions.html", video=fixed, can=can, posted=posted, reviewing=reviewing, feedback=feedback)
    key = f"{status.run_id} {status.attempts} {status.state} {status.render_sha256} {sorted(status.links)}"
    made = [stage.stage for stage in status.stages if stage.state == "done"]
    parts = {
        "name": str(escape(status.title or status.id)),
        "spoken": html("_spoken.html", video=status),
        "state": state,
        "actions": actions,
        "player": html("_player.html", **look),
        "reload": html("_reload.html", video=status, key=f"{key} {made}"),
    }
    if reviewing:
        parts["queue"] = html("_queue.html", **_queue(house, status.id))
    return {name: Part(name, text) for name, text in parts.items()}


def _queue(house: House, video_id: str) -> dict[str, object]:
    waiting = house.to_review()
    if video_id not in waiting:
        return {"place": 0, "total": len(waiting), "before": None, "next": after(house, video_id)}
    place = waiting.index(video_id)
    return {
        "place": place + 1,
        "total": len(waiting),
        "before": f"/review/{waiting[place - 1]}" if place else None,
        "next": f"/review/{waiting[place + 1]}" if place + 1 < len(waiting) else None,
    }
