"""`/new`: ask for a video by a form. What was typed stays, whatever is wrong with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import FormData

from cm_assets.lifecycle.documents import Problem, RequestError, parse
from cm_assets.lifecycle.intake import fresh_key
from cm_assets.models.base import AskedToWait
from cm_assets.models.disk import DiskFull
from cm_assets.models.request import VideoRequest
from cm_assets.partitions import VIDEO_ID_PATTERN
from cm_assets.policies import PLATFORMS
from cm_assets.storage.database import RETIRED
from cm_assets.web.house import House, HouseOf, MaySubmit
from cm_assets.web.pages import PageRoute, html, page
from cm_assets.web.security import Caller
from cm_assets.web.videos import take

MOST_SCENES = 200

LINES = (
    *("topic", "source_text", "title", "target_seconds", "voice", "speed", "language", "music", "orientation"),
    *("caption_style", "caption_position", "privacy", "review", "priority", "publish_at", "zone"),
)
"""Fields of one value."""

_PLACES = {
    "title": ("post", "title"),
    "privacy": ("post", "privacy"),
    "caption_style": ("captions", "style"),
    "caption_position": ("captions", "position"),
}
"""Where in a request the fields lie that are not called as there."""

_NUMBERS = {"target_seconds": int, "speed": float, "priority": int}

PRIORITIES = {1: "1 (urgent)", 10: "10 (usual)"}

_CONTENT = ("topic", "scenes", "source_text")

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene as it was typed; the terms apart by commas."""

    text: str = ""
    terms: str = ""
    clip: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed.

    Attributes:
        kind: which of topic, scenes and source_text is meant.
        lines: the fields of one value.
        scenes: at least one.
        platforms: those that were chosen.
        rest: what the form has no field for, from the video that this one is to be like.
        key: of the form: sent twice, it asks once.
    """

    kind: str
    lines: Mapping[str, str]
    scenes: Sequence[Scene] = (Scene(),)
    platforms: Sequence[str] = ("outbox",)
    rest: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default_factory=fresh_key)

    @classmethod
    def of_form(cls, form: FormData) -> "Asked":
        """What a browser sent."""
        texts, terms, clips = (_all(form, name) for name in ("scene_text", "scene_terms", "scene_clip"))
        scenes = [
            Scene(text, terms[number] if number < len(terms) else "", clips[number] if number < len(clips) else "")
            for number, text in enumerate(texts[: MOST_SCENES + 1])
        ]
        kind = _one(form, "kind")
        return cls(
            kind=kind if kind in _CONTENT else "scenes",
            lines={name: _one(form, name) for name in LINES},
            scenes=scenes or (Scene(),),
            platforms=_all(form, "platforms"),
            rest=_mapping(_one(form, "rest")),
            key=_one(form, "key")[:100] or fresh_key(),
        )

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Asked":
        """What another video was asked for with; its times are past."""
        request = parse(document)
        whole = request.model_dump(mode="json")
        given = {name: _in(whole, _PLACES.get(name, (name,))) for name in LINES}
        scenes = [Scene(one.text, ", ".join(one.search_terms), one.clip or "") for one in request.scenes or ()]
        shown = {*LINES, *_CONTENT, "platforms", "publish_at", "not_before", "id", "post", "captions"}
        rest = {name: value for name, value in document.items() if name not in shown}
        for part, kept in (("post", {"title", "privacy"}), ("captions", {"style", "position"})):
            more = {name: value for name, value in document.get(part, {}).items() if name not in kept}
            rest |= {part: more} if more else {}
        return cls(
            kind=next(name for name in _CONTENT if whole[name] is not None),
            lines={name: "" if value is None else str(value) for name, value in given.items()}
            | {"publish_at": "", "zone": "UTC"},
            scenes=scenes or (Scene(),),
            platforms=request.platforms,
            rest=rest,
        )

    def document(self) -> dict[str, Any]:
        """The request.

        Raises:
            RequestError: a field is not what it must be.
        """
        document: dict[str, Any] = {name: dict(v) if isinstance(v, Mapping) else v for name, v in self.rest.items()}
        for name in LINES:
            value = self.lines[name].strip()
            if value and name not in {*_CONTENT, "publish_at", "zone"}:
                *parts, last = _PLACES.get(name, (name,))
                place = document
                for part in parts:
                    place = place.setdefault(part, {})
                place[last] = _number(name, value)
        if self.kind == "scenes":
            typed = [one for one in self.scenes if one.text.strip() or one.terms.strip() or one.clip]
            document["scenes"] = [
                {"text": one.text, "search_terms": [term for t in one.terms.split(",") if (term := t.strip())]}
                | ({"clip": one.clip} if one.clip else {})
                for one in typed or self.scenes[:1]
            ]
        else:
            document[self.kind] = self.lines[self.kind]
        document["platforms"] = list(self.platforms)
        if self.lines["publish_at"].strip():
            document["publish_at"] = self._moment().isoformat()
        return document

    def _moment(self) -> datetime:
        zone = self.lines["zone"].strip() or "UTC"
        if zone not in available_timezones():
            raise RequestError([Problem("zone", f"{zone[:60]} is no time zone: say it as in Europe/Berlin")])
        try:
            moment = datetime.fromisoformat(self.lines["publish_at"].strip())
        except ValueError:
            raise RequestError([Problem("publish_at", "give a date and a time")]) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


async def _form(request: Request) -> Asked:
    async with request.form(max_files=0, max_fields=3 * MOST_SCENES + 100) as form:
        return Asked.of_form(form)


Typed = Annotated[Asked, Depends(_form)]
Like = Annotated[str | None, Query(pattern=VIDEO_ID_PATTERN)]


@router.get("/new")
def ask(caller: MaySubmit, house: HouseOf, like: Like = None) -> Response:
    """The form, empty or with what another video was asked for with."""
    stored = house.client.asked(like) if like else None
    if stored is not None and stored.outcome != RETIRED:
        return _show(house, caller, Asked.of_document(stored.document), like=stored.id)
    plain = VideoRequest(topic="any").model_dump(mode="json")
    lines = {name: _in(plain, _PLACES.get(name, (name,))) for name in LINES}
    asked = Asked(
        kind="scenes" if house.catalogue().topics else "topic",
        lines={name: "" if value is None else str(value) for name, value in lines.items()}
        | {"topic": "", "zone": "UTC"},
    )
    return _show(house, caller, asked)


@router.post("/new")
def submit(caller: MaySubmit, house: HouseOf, asked: Typed) -> Response:
    """Ask for the video, or say what is wrong at the fields where it is."""
    try:
        request = parse(asked.document())
        # Sent twice, the form is one video; changed in between, another.
        accepted = take(house, caller, request, f"{asked.key}-{request.content_sha256()[:16]}")
    except RequestError as error:
        return _show(house, caller, asked, error.problems, status=409 if error.conflict else 422)
    except (AskedToWait, DiskFull) as refusal:
        status = 507 if isinstance(refusal, DiskFull) else 429
        return _show(house, caller, asked, [Problem("request", str(refusal))], status=status)
    told = "known" if accepted.repeated else "submitted"
    return RedirectResponse(f"/board/{accepted.stored.id}?told={told}", status_code=303)


@router.post("/new/scenes")
def scenes(
    request: Request,
    caller: MaySubmit,
    house: HouseOf,
    asked: Typed,
    remove: Annotated[int | None, Query(ge=0, le=MOST_SCENES)] = None,
) -> Response:
    """The form with a scene more, or less."""
    kept = [one for number, one in enumerate(asked.scenes) if number != remove]
    rows = tuple(kept) or (Scene(),)
    if remove is None and len(rows) < MOST_SCENES:
        rows = (*rows, Scene())
    if "hx-request" in request.headers:
        clips = house.catalogue().clips
        return HTMLResponse(html("_scenes.html", scenes=rows, clips=clips, problems={}))
    changed = Asked("scenes", asked.lines, rows, asked.platforms, asked.rest, asked.key)
    return _show(house, caller, changed)


def _show(
    house: House,
    caller: Caller,
    asked: Asked,
    problems: Sequence[Problem] = (),
    *,
    status: int = 200,
    like: str = "",
) -> Response:
    known = house.catalogue()
    names = {".".join(path): name for name, path in _PLACES.items()}
    at = [Problem(names.get(one.field, one.field), one.message) for one in problems]
    fields: dict[str, str] = {}
    for one in at:
        fields.setdefault(_field(one.field, len(asked.scenes)), one.message)
    accounts = {name: known.accounts(name) for name in PLATFORMS}
    return page(
        house,
        caller,
        "new.html",
        status=status,
        asked=asked,
        line=asked.lines,
        scenes=asked.scenes,
        rest=json.dumps(asked.rest) if asked.rest else "",
        like=like,
        known=known,
        clips=known.clips,
        voices=[(name, name) for name in known.voices],
        music=[(name, name) for name in sorted(known.music, key=lambda one: (one == "none", one))],
        priorities=[(number, PRIORITIES.get(number, str(number))) for number in range(1, 11)],
        platforms={name: found is None or bool(found) for name, found in accounts.items()},
        zones=sorted(available_timezones()),
        problems=fields,
        summary=[(_field(one.field, len(asked.scenes)), one.message) for one in at],
    )


def _field(name: str, scenes: int) -> str:
    """The id of the field that a problem is about; `request` if there is none."""
    first, *rest = name.split(".")
    if first == "scenes":
        if len(rest) >= 2 and rest[0].isdigit() and int(rest[0]) < scenes:
            return f"scenes-{rest[0]}-{'terms' if rest[1] == 'search_terms' else rest[1]}"
        return "scenes-0-text"
    return first if first in {*LINES, "platforms"} else "request"


def _number(name: str, value: str) -> object:
    """A number where one is meant; what is none is left for the request to refuse."""
    try:
        return _NUMBERS[name](value) if name in _NUMBERS else value
    except ValueError:
        return value


def _in(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _one(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _all(form: FormData, name: str) -> list[str]:
    return [value for value in form.getlist(name) if isinstance(value, str)]
