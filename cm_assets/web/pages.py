"""What all pages share: the templates, the errors as people see them, and parts that are swapped when they change."""

import hashlib
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from cm_assets.client import NotPosted, NotToBeReviewed, UnknownVideo
from cm_assets.models.base import AskedToWait
from cm_assets.models.disk import DiskFull
from cm_assets.web import words
from cm_assets.web.house import House
from cm_assets.web.problems import Refusal, problem
from cm_assets.web.security import COOKIE, Caller

if TYPE_CHECKING:
    import jinja2

STATIC = Path(__file__).parent / "static"

LONGEST_PATH = 2000
"""Characters of an address to which a login leads back."""


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cm_assets.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # an upgrade under a server that runs must not mix old code with new pages
    )
    names = ("state", "tone", "stage", "errand", "platform", "waits", "percent", "length", "size", "clock", "is_link")
    environment.filters |= {name: getattr(words, name) for name in names}
    environment.globals |= {"asset": asset, "ENDS": words.ENDS}
    return environment


@cache
def asset(name: str) -> str:
    """Address of a file of ours, which changes with its content."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def html(template: str, **context: object) -> str:
    """A template, filled in; everything is escaped."""
    return _environment().get_template(template).render(**context)


def page(house: House, caller: Caller | None, template: str, *, status: int = 200, **context: object) -> HTMLResponse:
    """A whole page.

    Args:
        house: whose.
        caller: who looks at it; None for nobody who is known.
        template: its template.
        status: of the answer.
        context: what the template needs besides.
    """
    shared = {"caller": caller, "logged_in": caller is not None and house.doorman.has_tokens()}
    text = html(template, **shared, **context)
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "private, no-cache", "Vary": "HX-Request"})


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page that is swapped when it changes.

    Attributes:
        name: id of the element that it fills.
        text: HTML.
    """

    name: str
    text: str

    @property
    def seen(self) -> str:
        """What a browser that shows it says that it has."""
        return f"{self.name}:{hashlib.sha256(self.text.encode()).hexdigest()[:10]}"

    def __html__(self) -> str:
        """The content of its element."""
        return f'{self.text}<input type="hidden" name="seen" value="{self.seen}">'


def changes(parts: Iterable[Part], seen: Collection[str]) -> Response:
    """The parts that a browser does not show yet; 204 if it shows them all."""
    new = [part for part in parts if part.seen not in seen]
    if not new:
        return Response(status_code=204)
    return HTMLResponse("".join(f'<div hx-swap-oob="innerHTML:#{part.name}">{part.__html__()}</div>' for part in new))


class PageRoute(APIRoute):
    """Answers a person: what goes wrong is a page, and who is not known is asked to log in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its errors caught."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except Refusal as refusal:
                if refusal.status == HTTPStatus.UNAUTHORIZED:
                    return _login(request)
                return _error(refusal.status, refusal.detail)
            except UnknownVideo as unknown:
                return _error(404, f"There is no video {unknown.args[0]}.")
            except (NotToBeReviewed, NotPosted) as refusal:
                return _error(409, str(refusal))
            except DiskFull as full:
                return _error(507, str(full))
            except AskedToWait as wait:
                return _error(429, str(wait))
            except RequestValidationError as error:
                wrong = {str(item["loc"][0]) for item in error.errors()}
                return _error(404 if wrong == {"path"} else 422, "This address, or this form, is not right.")
            except HTTPException as error:
                return _error(error.status_code, str(error.detail))

        return handler


def refused(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal at no address of the board: a page for a person, a problem for a program."""
    if "text/html" not in request.headers.get("accept", ""):
        return problem(status, detail, headers=headers)
    answer = _error(status, detail)
    answer.headers.update(headers or {})
    return answer


def _error(status: int, detail: str) -> Response:
    context: Mapping[str, object] = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    text = html("error.html", caller=None, logged_in=False, **context)
    return HTMLResponse(text, status_code=status)


def _login(request: Request) -> Response:
    """To the login, and from there back to where somebody wanted to go."""
    from_elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    if request.method == "GET" and from_elsewhere and COOKIE not in request.cookies:
        # A link on another site's page: the cookie, which is strictly for our own, comes with the next request.
        return HTMLResponse(html("again.html"), status_code=401)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = quote(path, safe="") if request.method == "GET" and len(path) <= LONGEST_PATH else "%2F"
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    return RedirectResponse(f"/login?next={wanted}", status_code=303)
