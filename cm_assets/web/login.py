"""`/login` and `/logout`: a token in a cookie, which no script can read and no other site's page can send."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from cm_assets.web.house import HouseOf
from cm_assets.web.pages import PageRoute, page
from cm_assets.web.security import COOKIE

KEPT = 400 * 24 * 3600
"""Seconds for which a browser keeps the cookie: the longest that they do. Who revokes the token ends it at once."""

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Next = Annotated[str, Query(alias="next", max_length=4000)]


@router.get("/login")
def ask(request: Request, house: HouseOf, wanted: Next = "/") -> Response:
    """Ask for a token."""
    if not house.doorman.has_tokens():
        # A cookie of a token that is gone would be refused.
        answer = RedirectResponse(_within(wanted), status_code=303)
        answer.delete_cookie(COOKIE, path="/")
        return answer
    return page(house, None, "login.html", wanted=_within(wanted), wrong=False)


@router.post("/login")
def login(
    request: Request,
    house: HouseOf,
    token: Annotated[str, Form(max_length=500)] = "",
    wanted: Annotated[str, Form(alias="next", max_length=4000)] = "/",
) -> Response:
    """Put the token into the cookie, if it is one."""
    secret = token.strip()
    if not secret or not house.doorman.knows(secret):
        return page(house, None, "login.html", status=403, wanted=_within(wanted), wrong=True)
    answer = RedirectResponse(_within(wanted), status_code=303)
    answer.set_cookie(
        COOKIE, secret, max_age=KEPT, path="/", httponly=True, samesite="strict", secure=_is_encrypted(request)
    )
    return answer


@router.post("/logout")
def logout(request: Request) -> Response:
    """Forget the token."""
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_is_encrypted(request))
    return answer


def _within(path: str) -> str:
    """A path of this server: what is none would lead people elsewhere."""
    fine = path.startswith("/") and not path.startswith("//") and path.isprintable() and "\\" not in path
    return path if fine else "/"


def _is_encrypted(request: Request) -> bool:
    """Whether the browser came by https. A proxy in front of us says so, and who lies harms only their own cookie."""
    return "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "")}
