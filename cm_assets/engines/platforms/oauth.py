"""Accounts: the consent of a person in a browser, answered on this machine, and the tokens that come of it.

The authorization code flow with PKCE for programs of a person's own (RFC 8252, RFC 7636).
"""

import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from cm_assets.engines.http import connected, passing
from cm_assets.models.base import AskedToWait, PermanentFailure, Seconds, TransientFailure

EARLY: Seconds = 120
"""How long before its end a token is renewed."""

PATIENCE: Seconds = 10.0
"""How long somebody else is waited for who is renewing a token: an answer takes a second as a rule."""

LOOK_AGAIN: Seconds = 0.1

WITHDRAWN = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})
"""The errors of token endpoints after which a person has to consent again (RFC 6749, 5.2); all others may pass."""

PAGE = "<!doctype html><meta charset=utf-8><title>cm_assets</title><p style='font:1.2em sans-serif;margin:3em'>{said}"


@dataclass(frozen=True, slots=True)
class Service:
    """Where and how a platform gives tokens.

    Attributes:
        platform: its name here.
        title: its name for people.
        authorize_url, token_url: of its OAuth 2.0 endpoints.
        scopes: what is asked for.
        separator: between scopes.
        client_field: what it calls the client's id.
        challenge: PKCE's challenge of a verifier.
        extra: further parameters of the page of consent.
    """

    platform: str
    title: str
    authorize_url: str
    token_url: str
    scopes: tuple[str, ...]
    separator: str
    client_field: str
    challenge: Callable[[str], str]
    extra: Mapping[str, str] = field(default_factory=dict)


class Renewal(Protocol):
    """What an account is used with, in the hands of whoever renews it."""

    @property
    def secret(self) -> dict[str, Any]:
        """What is stored."""

    def store(self, secret: Mapping[str, Any]) -> bool:
        """Store what takes its place; whether that counts, since nobody else has stored anything meanwhile."""


class Vault(Protocol):
    """Where the secrets of accounts are kept."""

    def accounts(self, platform: str) -> list[str]:
        """The connected accounts of a platform."""

    def get(self, platform: str, account: str) -> dict[str, Any] | None:
        """What was stored for an account."""

    def put(self, platform: str, account: str, secret: Mapping[str, Any]) -> None:
        """Store what an account is used with."""

    def renewing(self, platform: str, account: str) -> AbstractContextManager[Renewal | None]:
        """Be the only one who renews what an account is used with, for the length of the block; None if others do."""


class Tokens:
    """Access tokens of the accounts of one platform, renewed when they end.

    A platform may give a new refresh token with each renewal and refuse the earlier one. So one process renews at a
    time, and the others take what it has stored.
    """

    def __init__(self, service: Service, vault: Vault) -> None:
        self._service = service
        self._vault = vault
        self._given: dict[str, str] = {}

    def account(self, wanted: str) -> str:
        """The name of the account that is meant; empty for the only one.

        Raises:
            PermanentFailure: there is none, or it must be said which.
        """
        return chosen(self._service.platform, self._vault.accounts(self._service.platform), wanted)

    def __call__(self, account: str, renewed: bool = False) -> str:
        """A token of an account.

        Args:
            account: its name; empty for the only one.
            renewed: that the last one was refused.

        Raises:
            PermanentFailure: it is not connected, or the consent was withdrawn.
            AskedToWait: another process has been renewing it for long.
            TransientFailure: the platform cannot be reached.
        """
        name = self.account(account)
        secret = self._stored(name)
        refused = self._given.get(name, str(secret["access_token"])) if renewed else ""
        if not _serves(secret, refused):
            secret = self._renewed(name, refused)
        self._given[name] = str(secret["access_token"])
        return self._given[name]

    def _stored(self, name: str) -> dict[str, Any]:
        platform = self._service.platform
        secret = self._vault.get(platform, name)
        if secret is None:
            raise PermanentFailure(f"the account {name!r} is not connected: run cm connect {platform}")
        return secret

    def _renewed(self, name: str, refused: str) -> dict[str, Any]:
        """What serves instead of what ended or was refused: renewed here, or by somebody else."""
        until = time.monotonic() + PATIENCE
        while True:
            with self._vault.renewing(self._service.platform, name) as renewal:
                if renewal is not None:
                    # Whoever had the claim before may have stored what serves.
                    return renewal.secret if _serves(renewal.secret, refused) else self._renew(name, renewal)
            secret = self._stored(name)
            if _serves(secret, refused):
                return secret
            if time.monotonic() >= until:
                raise AskedToWait(f"another process is renewing the access to {self._service.title}", PATIENCE)
            time.sleep(LOOK_AGAIN)

    def _renew(self, name: str, renewal: Renewal) -> dict[str, Any]:
        """Renew what is stored; what others stored meanwhile counts more: `cm connect`, or whose claim ran out."""
        secret = renewal.secret
        asked = {"grant_type": "refresh_token", "refresh_token": secret["refresh_token"]}
        try:
            renewed = secret | _granted(self._service, secret["client_id"], secret["client_secret"], asked)
        except PermanentFailure:
            stored = self._stored(name)
            if stored == secret:
                raise
            return stored
        return renewed if renewal.store(renewed) else self._stored(name)


def _serves(secret: Mapping[str, Any], refused: str) -> bool:
    """Whether an access token can be used: it does not end soon, and is not the one that was refused."""
    return bool(secret["access_token"] != refused and secret["expires_at"] >= time.time() + EARLY)


def chosen(platform: str, accounts: list[str], wanted: str) -> str:
    """The account that is meant.

    Raises:
        PermanentFailure: there is none, or it must be said which.
    """
    if wanted in accounts:
        return wanted
    if not accounts:
        raise PermanentFailure(f"no account of {platform} is connected: run cm connect {platform}")
    if not wanted and len(accounts) == 1:
        return accounts[0]
    which = f"{wanted!r} is not connected" if wanted else "say which account is meant"
    raise PermanentFailure(f"post.account: {which}; {platform} has {', '.join(accounts)}")


class Consent:
    """One asking for consent: the address that a person opens, and the answer that the browser brings back here."""

    def __init__(self, service: Service, client_id: str, client_secret: str, *, port: int = 0) -> None:
        self._service = service
        self._client = client_id, client_secret
        self._state = secrets.token_urlsafe(24)
        self._verifier = secrets.token_urlsafe(64)
        self._answer: dict[str, str] = {}
        self._came = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.redirect = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def address(self) -> str:
        """The page of consent."""
        service = self._service
        asked = {
            service.client_field: self._client[0],
            "redirect_uri": self.redirect,
            "response_type": "code",
            "scope": service.separator.join(service.scopes),
            "state": self._state,
            "code_challenge": service.challenge(self._verifier),
            "code_challenge_method": "S256",
            **service.extra,
        }
        return f"{service.authorize_url}?{urlencode(asked)}"

    def take(self, query: Mapping[str, list[str]]) -> str:
        """Take what a browser brings; what its person is told."""
        answer = {name: values[0] for name, values in query.items()}
        if not hmac.compare_digest(answer.get("state", ""), self._state) or self._came.is_set():
            return "This is not the answer that cm connect waits for."
        self._answer = answer
        self._came.set()
        return "This window can be closed: cm has the answer." if "code" in answer else "Nothing was allowed."

    def secret(self, seconds: Seconds) -> dict[str, Any]:
        """Wait for the answer; what an account is used with.

        Raises:
            PermanentFailure: nobody answered, or the person said no.
            TransientFailure: the platform cannot be reached.
        """
        try:
            if not self._came.wait(seconds):
                raise PermanentFailure(f"nobody answered within {seconds / 60:.0f} minutes")
        finally:
            self._server.shutdown()
            self._server.server_close()
        if "code" not in self._answer:
            raise PermanentFailure(f"{self._service.title} was not allowed: {self._answer.get('error', 'no reason')}")
        asked = {
            "grant_type": "authorization_code",
            "code": self._answer["code"],
            "redirect_uri": self.redirect,
            "code_verifier": self._verifier,
        }
        granted = _granted(self._service, *self._client, asked)
        if "refresh_token" not in granted:
            raise PermanentFailure(
                f"{self._service.title} gave no lasting consent: withdraw the earlier one in the account first"
            )
        missing = set(self._service.scopes) - set(re.split(r"[ ,]+", granted.get("scope", "")))
        if granted.get("scope") and missing:
            raise PermanentFailure(
                f"{self._service.title}: not all was allowed, {', '.join(sorted(missing))} is missing: "
                f"run cm connect {self._service.platform} again, and allow all"
            )
        return {"client_id": self._client[0], "client_secret": self._client[1], **granted}


def _granted(service: Service, client_id: str, client_secret: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """What the token endpoint gives (RFC 6749, 5.1)."""
    import httpx

    body = {service.client_field: client_id, "client_secret": client_secret, **asked}
    with connected(service.title):
        answer = httpx.post(service.token_url, data=body, timeout=20)
    try:
        found = answer.json()
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    error = found.get("error")
    reason = error if isinstance(error, str) else ""
    if reason in WITHDRAWN:
        raise PermanentFailure(
            f"{service.title} does not accept the consent any more ({reason}): run cm connect {service.platform}"
        )
    if not answer.is_success or error:
        raise passing(answer, service.title, reason)
    if not isinstance(found.get("access_token"), str):
        raise TransientFailure(f"{service.title} gave no token")
    kept = {name: found[name] for name in ("access_token", "refresh_token", "open_id", "scope") if found.get(name)}
    return kept | {"expires_at": time.time() + float(found.get("expires_in", 3600))}


def _handler(consent: Consent) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """The browser comes back."""
            parts = urlsplit(self.path)
            said = consent.take(parse_qs(parts.query)) if parts.path == "/" else "There is nothing here."
            body = PAGE.format(said=said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the address holds the code."""

    return Handler
