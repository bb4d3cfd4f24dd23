"""`/`: all videos, group by group, with what happens to them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from cm_assets.models.status import Status
from cm_assets.partitions import VIDEO_ID_PATTERN
from cm_assets.web.house import AnyCaller, House, HouseOf
from cm_assets.web.models import share_of
from cm_assets.web.pages import PageRoute, Part, changes, html, page
from cm_assets.web.words import GROUPS

SHOWN = 24
"""Videos on a page."""

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Show = Annotated[Literal["all", "review", "making", "waiting", "posted", "failed", "closed"], Query()]
Search = Annotated[str, Query(alias="q", max_length=100)]
Before = Annotated[str | None, Query(pattern=VIDEO_ID_PATTERN)]


@router.get("/")
def board(caller: AnyCaller, house: HouseOf, show: Show = "all", text: Search = "", before: Before = None) -> Response:
    """The board."""
    text = text.strip()
    found, more = _found(house, show, text, before)
    return page(
        house,
        caller,
        "board.html",
        show=show,
        text=text,
        before=before,
        older=_address(show, text, found[-1].id) if more else None,
        newest=_address(show, text, None),
        live=None if text else f"/live?{_query(show, '', before)}",
        groups=_groups(house, show),
        notice=_notice(house),
        order=_order(_cards(found), show, text),
        group=_name(show),
    )


@router.get("/live")
def live(
    _caller: AnyCaller,
    house: HouseOf,
    show: Show = "all",
    before: Before = None,
    seen: Annotated[list[str] | None, Query(max_length=200)] = None,
) -> Response:
    """What of the board has changed."""
    found, _ = _found(house, show, "", before)
    known = set(seen or ())
    parts = [_groups(house, show), _notice(house)]
    cards = _cards(found)
    # Which cards there are, and in what order; if that is as it was, only what changed in them.
    order = _order(cards, show, "")
    same = {f"face-{one.id}" for one in found} == {one.partition(":")[0] for one in known if one.startswith("face-")}
    inside = [part for face, pulse in cards.values() for part in (face, pulse)]
    if not same or not found:
        return changes([*parts, order], known)
    return changes([*parts, *inside], known)


def _found(house: House, show: str, text: str, before: str | None) -> tuple[Sequence[Status], bool]:
    states = GROUPS[show][1] if show in GROUPS else ()
    found = house.client.videos(states=states, limit=SHOWN + 1, before=before, text=text)
    return found[:SHOWN], len(found) > SHOWN


def _cards(found: Sequence[Status]) -> dict[str, tuple[Part, Part]]:
    return {
        one.id: (
            Part(f"face-{one.id}", html("_face.html", video=one)),
            Part(f"pulse-{one.id}", html("_pulse.html", video=one, share=share_of(one))),
        )
        for one in found
    }


def _order(cards: Mapping[str, tuple[Part, Part]], show: str, text: str) -> Part:
    return Part("cards", html("_cards.html", cards=cards, group=_name(show), text=text))


def _name(show: str) -> str:
    return GROUPS[show][0] if show in GROUPS else ""


def _groups(house: House, show: str) -> Part:
    counts = house.counts()
    numbers = {name: sum(counts.get(state, 0) for state in states) for name, (_, states) in GROUPS.items()}
    names = {name: title for name, (title, _) in GROUPS.items()}
    return Part("groups", html("_groups.html", names=names, numbers=numbers, show=show, total=sum(numbers.values())))


def _notice(house: House) -> Part:
    idle = not house.works() and house.waiting() > 0
    return Part("notice", html("_notice.html", idle=idle, full=house.client.full()))


def _address(show: str, text: str, before: str | None) -> str:
    query = _query(show, text, before)
    return f"/?{query}" if query else "/"


def _query(show: str, text: str, before: str | None) -> str:
    given = {"show": "" if show == "all" else show, "q": text, "before": before or ""}
    return urlencode({name: value for name, value in given.items() if value})
