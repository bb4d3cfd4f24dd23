"""Who may do what: tokens, scopes, signatures; and what browsers are made to send by other sites."""

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from cm_assets.storage.database import Database
from cm_assets.storage.tokens import Tokens
from cm_assets.web.security import COOKIE, HEADERS
from cm_assets.web.serve import refusal
from cm_assets_tests.web.conftest import SCENES, Site

SHA = "a" * 64

ROUTES: list[tuple[str, str, Any, str]] = [
    ("POST", "/videos", SCENES, "submit"),
    ("POST", "/new-video", SCENES, "submit"),
    ("POST", "/videos/v/cancel", None, "submit"),
    ("POST", "/videos/v/retry", None, "submit"),
    ("POST", "/videos/v/reprioritise", {"priority": 1}, "submit"),
    ("POST", "/videos/v/approve", {"render_sha256": SHA}, "review"),
    ("POST", "/videos/v/reject", {"render_sha256": SHA, "feedback": "shorter"}, "review"),
    ("POST", "/videos/v/take-down", {}, "admin"),
]
READ = ["/videos", "/videos/v", "/videos/v/events", "/videos/v/video", "/videos/v/cover", "/videos/v/captions"]


@pytest.mark.parametrize(("method", "path", "body", "scope"), ROUTES)
def test_a_token_is_good_for_its_scopes_alone(site: Site, method: str, path: str, body: Any, scope: str) -> None:
    site.http.post("/videos", json=SCENES | {"id": "v"})
    for given in ("submit", "review", "admin"):
        answer = site.http.request(method, path, json=body, headers=site.token(given))
        if given in {scope, "admin"}:
            assert answer.status_code not in {401, 403}, answer.text
        else:
            assert answer.status_code == 403
            assert scope in answer.json()["detail"]


@pytest.mark.parametrize("path", [*READ, *(path for _, path, _, _ in ROUTES)])
def test_where_there_is_a_token_nobody_comes_in_without_one(site: Site, path: str) -> None:
    site.http.post("/videos", json=SCENES | {"id": "v"})
    site.token("admin")
    site.house.doorman.forget()
    bodies = {route: body for _, route, body, _ in ROUTES}
    for headers in (
        {},
        {"Authorization": "Bearer cm_guess"},
        {"Authorization": "Basic eDp5"},
        {"Cookie": f"{COOKIE}=x"},
    ):
        answer = site.http.request("GET" if path in READ else "POST", path, json=bodies.get(path), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_revoked_token_is_good_for_nothing(site: Site) -> None:
    headers = site.token("admin")
    assert site.http.get("/videos", headers=headers).status_code == 200
    site.token("submit")
    (mine, _) = site.house.tokens.all()
    assert site.house.tokens.revoke(mine.id)
    site.house.doorman.forget()
    assert site.http.get("/videos", headers=headers).status_code == 401


def test_a_token_in_a_cookie_is_as_good_as_in_a_header(site: Site) -> None:
    secret = site.token("review")["Authorization"].removeprefix("Bearer ")
    assert site.http.get("/videos", headers={"Cookie": f"{COOKIE}={secret}"}).status_code == 200


def test_the_database_holds_no_token(site: Site, tmp_path: Path) -> None:
    secret = site.token("admin")["Authorization"].removeprefix("Bearer ")
    site.house.client.database.dispose()
    for path in (tmp_path / ".cm").rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_make_a_browser_act(site: Site, headers: dict[str, str]) -> None:
    secret = site.token("admin")["Authorization"].removeprefix("Bearer ")
    answer = site.http.post("/videos", json=SCENES, headers=headers | {"Cookie": f"{COOKIE}={secret}"})
    assert answer.status_code == 403
    own = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin", "Cookie": f"{COOKIE}={secret}"}
    assert site.http.post("/videos", json=SCENES, headers=own).status_code == 202


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.7", "", "[::2]"]
)
def test_a_name_that_somebody_else_points_here_is_not_served(site: Site, host: str) -> None:
    assert site.http.get("/videos", headers={"Host": host}).status_code == 421


def test_a_refusal_is_a_page_for_a_person_and_a_problem_for_a_program(site: Site) -> None:
    for path, host, status in [("/nothing", "localhost", 404), ("/nothing", "evil.example", 421)]:
        page = site.http.get(path, headers={"Host": host, "Accept": "text/html,*/*;q=0.8"})
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert "<h1" in page.text
        told = site.http.get(path, headers={"Host": host})
        assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080", "cm.localhost"])
def test_loopback_has_several_names(site: Site, host: str) -> None:
    assert site.http.get("/videos", headers={"Host": host}).status_code == 200


def test_a_server_with_a_name_answers_to_it(site_with: Callable[..., Site]) -> None:
    site = site_with(serve_hosts=("Shorts.example.com",))
    assert site.http.get("/healthz", headers={"Host": "shorts.example.com"}).status_code == 204


def test_every_answer_carries_the_headers(site: Site) -> None:
    for path in ("/videos", "/nothing", "/videos/no-such-video", "/openapi.json"):
        headers = site.http.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "server" not in site.http.get("/videos").headers


def test_elsewhere_than_on_loopback_it_takes_a_token_to_serve(site: Site) -> None:
    settings = site.house.settings
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.com"):
        assert "cm token create" in refusal(settings, host)
    for host in ("127.0.0.1", "::1", "localhost"):
        assert refusal(settings, host) == ""
    site.token("admin")
    assert refusal(settings, "0.0.0.0") == ""


SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def signed(body: bytes, name: str = "msg-1", at: datetime | None = None, secret: str = SECRET) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, at, body.decode()),
    }


def test_a_signed_webhook_needs_no_token_and_its_id_is_its_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_WEBHOOK_SECRET", SECRET)
    site.token("admin")
    body = json.dumps(SCENES).encode()
    for expected in (202, 200):
        assert site.http.post("/new-video", content=body, headers=signed(body)).status_code == expected
    assert site.http.post("/new-video", content=body, headers=signed(body, "msg-2")).status_code == 202


def test_a_secret_is_renewed_without_a_webhook_that_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    new = "whsec_" + base64.b64encode(b"n" * 32).decode()
    monkeypatch.setenv("CM_WEBHOOK_SECRET", f"{new}, {SECRET}")
    site.token("review")
    site.house.doorman.forget()
    for number, secret in enumerate((SECRET, new)):
        body = json.dumps(SCENES | {"id": f"by-{number}"}).encode()
        headers = signed(body, f"msg-{number}", secret=secret) | {"content-type": "application/json"}
        assert site.http.post("/videos", content=body, headers=headers).status_code == 202
    monkeypatch.setenv("CM_WEBHOOK_SECRET", new)
    body = json.dumps(SCENES | {"id": "too-late"}).encode()
    headers = signed(body, "msg-9") | {"content-type": "application/json"}
    assert site.http.post("/videos", content=body, headers=headers).status_code == 401


def test_a_webhook_that_is_not_rightly_signed_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps(SCENES).encode()
    assert site.http.post("/new-video", content=body, headers=signed(body)).status_code == 401
    monkeypatch.setenv("CM_WEBHOOK_SECRET", SECRET)
    other = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    wrong = [
        signed(body, secret=other),
        signed(body, at=datetime.now(UTC) - timedelta(minutes=6)),
        signed(body, at=datetime.now(UTC) + timedelta(minutes=6)),
        signed(body) | {"webhook-id": "msg-9"},
        signed(body) | {"webhook-signature": "v1"},
        signed(body) | {"webhook-signature": "v1,!!!"},
        signed(body) | {"webhook-timestamp": "soon"},
    ]
    for headers in wrong:
        assert site.http.post("/new-video", content=body, headers=headers).status_code == 401
    assert site.http.post("/new-video", content=body + b" ", headers=signed(body)).status_code == 401
    assert site.http.get("/videos").json()["videos"] == []


def test_tokens_are_made_shown_and_revoked(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    tokens = Tokens(database)
    secret = tokens.create("n8n", ["submit"])
    found = tokens.find(secret)
    assert found is not None
    assert (found.name, found.scopes, found.may("submit"), found.may("review")) == ("n8n", ("submit",), True, False)
    assert tokens.find(secret + "x") is None
    assert tokens.all() == [found]
    assert tokens.revoke(found.id)
    assert not tokens.revoke(found.id)
    assert tokens.all() == []
    database.dispose()
