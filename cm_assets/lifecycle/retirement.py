"""When a video may go, and what stays of it. Pure rules."""

from collections.abc import Mapping
from typing import Any

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import Posts, unposted
from cm_assets.models.review import Review
from cm_assets.storage.database import StoredRequest


class NotToBeRetired(Exception):
    """The video must stay for now; says why."""


def must_stay(stored: StoredRequest, made: Mapping[str, int], review: Review, *, in_flight: bool) -> str:
    """Why a video must not retire now; empty if it may.

    Args:
        stored: what was asked for.
        made: storage id of the newest materialization, by stage.
        review: what people decided about its render.
        in_flight: whether a run of it is.
    """
    if stored.wanted:
        return f"{stored.id} is not done yet: let it end, or cm cancel {stored.id}"
    if in_flight:
        return f"a run of {stored.id} is in flight: let it end"
    posts = Posts(given_up=stored.given_up, unwanted=stored.take_down)
    if review.verdict == "approved" and unposted(parse(stored.document), made, posts):
        return f"{stored.id} is approved and not posted everywhere: cm retry {stored.id} posts it"
    return ""


def tombstone(stored: StoredRequest, title: str, links: Mapping[str, str]) -> dict[str, Any]:
    """What stays of a request.

    Args:
        stored: what was asked for, or an earlier tombstone of it.
        title: of the video; the earlier tombstone's if empty.
        links: where the posts are, by platform; added to those of the earlier tombstone.
    """
    before = stored.document if stored.outcome == "retired" else {}
    return {
        "id": stored.id,
        "title": title or before.get("title", ""),
        "links": {**before.get("links", {}), **links},
    }
