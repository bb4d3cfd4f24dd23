"""Who asks, and whether they may.

A bearer token says who a program is, the same token in a cookie who a person at the board is, a signature who sends a
webhook. As long as there is no token at all, a server on loopback serves whoever reaches it by a name of loopback:
neither pages of other sites nor names that somebody else points here do.
"""

import ipaddress
import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cm_assets.models.token import SCOPES
from cm_assets.models.token import Scope as TokenScope
from cm_assets.storage.tokens import Tokens
from cm_assets.web.problems import Refusal
from cm_assets.web.recent import Recent

COOKIE = "cm_token"

WEBHOOK_SECRET = "CM_WEBHOOK_SECRET"  # noqa: S105 - the variable's name

KNOWN_FOR = 5.0
"""Seconds for which it is remembered whether there are tokens: so long may one that was revoked still do."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

_SIGNED: tuple[TokenScope, ...] = ("submit",)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer. No script and no style but our own files run, and nobody frames a page."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: for a person.
        scopes: what they may do.
        key: of the request, where a webhook's id says which it is.
    """

    name: str
    scopes: Collection[TokenScope]
    key: str = ""

    def may(self, scope: TokenScope) -> bool:
        """Whether they may do this."""
        return scope in self.scopes or "admin" in self.scopes


class Doorman:
    """Finds out who asks.

    Args:
        tokens: that were given out.
        hosts: names, beside loopback's, by which the server is reached.
    """

    def __init__(self, tokens: Tokens, hosts: Collection[str]) -> None:
        self._tokens = tokens
        self._hosts = {host.lower() for host in hosts}
        self._known: dict[str, tuple[float, Caller | None]] = {}
        self._any: Recent[bool] = Recent(lambda: bool(tokens.all()), KNOWN_FOR)

    def caller(self, request: Request) -> Caller:
        """Who sends a request.

        Raises:
            Refusal: nobody who is known.
        """
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._of(secret.strip())
        if cookie := request.cookies.get(COOKIE):
            return self._of(cookie)
        if not self.has_tokens():
            return Caller("", SCOPES)
        raise Refusal(401, "say who you are: a token of cm token create", {"WWW-Authenticate": "Bearer"})

    def knows(self, secret: str) -> bool:
        """Whether this is a token."""
        return self._tokens.find(secret) is not None

    def has_tokens(self) -> bool:
        """Whether anybody has been given a token: then everybody needs one."""
        return self._any()

    def forget(self) -> None:
        """Ask the database again the next time."""
        self._known.clear()
        self._any.forget()

    def serves(self, host: str) -> bool:
        """Whether the server answers to this name: else anybody's name can be made to lead here."""
        name = urlsplit(f"//{host}").hostname or ""
        return name in self._hosts or is_loopback(name)

    def _of(self, secret: str) -> Caller:
        looked, caller = self._known.get(secret, (0.0, None))
        if not looked or time.monotonic() - looked > KNOWN_FOR:
            token = self._tokens.find(secret)
            caller = None if token is None else Caller(token.name, token.scopes)
            if len(self._known) > 1000:
                self._known.clear()
            self._known[secret] = (time.monotonic(), caller)
        if caller is None:
            raise Refusal(401, "this token is not known, or was revoked", {"WWW-Authenticate": "Bearer"})
        return caller


class Guard:
    """Refuses what browsers are made to send by other sites, and gives every answer its headers.

    Args:
        app: whom it guards.
        doorman: knows by which names the server is reached.
        refused: the answer that a refusal is, of its status and detail.
    """

    def __init__(self, app: ASGIApp, doorman: Doorman, refused: Callable[[Request, int, str], Response]) -> None:
        self._app = app
        self._doorman = doorman
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(request)
        if refusal is not None:
            answer = self._refused(request, refusal.status, refusal.detail)
            await answer(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refuse(self, request: Request) -> Refusal | None:
        host = request.headers.get("host", "")
        if not self._doorman.serves(host):
            return Refusal(421, "this server has another name: set CM_SERVE_HOSTS to those by which it is reached")
        # A page of another site can make a browser send a request, with its cookies, but not a bearer token.
        if request.method in SAFE or "authorization" in request.headers:
            return None
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if site not in {None, "same-origin", "none"} or (origin is not None and urlsplit(origin).netloc != host):
            return Refusal(403, "this request comes from a page of another site")
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def signed(request: Request) -> Caller | None:
    """Who signed a webhook (https://www.standardwebhooks.com); None if it is none.

    Raises:
        Refusal: the signature is not right, or too old.
    """
    if "webhook-signature" not in request.headers:
        return None
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    secret = os.environ.get(WEBHOOK_SECRET, "")
    if not secret:
        raise Refusal(401, f"signed webhooks are not taken here: set {WEBHOOK_SECRET}")
    body = await request.body()
    for one in secret.split(","):  # a new one and, for as long as senders change over, the old one
        with suppress(WebhookVerificationError, ValueError):
            Webhook(one.strip()).verify(body, dict(request.headers), json_parse=False)
            return Caller("webhook", _SIGNED, request.headers["webhook-id"])
    raise Refusal(401, "the webhook's signature is not right, or it is older than five minutes")
