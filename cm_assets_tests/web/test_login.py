"""Who is asked for a token, and what is done with it."""

from typing import Any
from urllib.parse import quote

import pytest

from cm_assets.web.security import COOKIE
from cm_assets_tests.web.conftest import SCENES, Site


def locked(site: Site, *scopes: Any) -> str:
    """Have the site ask everybody for a token; one."""
    secret = site.token(*(scopes or ("admin",)))["Authorization"].removeprefix("Bearer ")
    site.house.doorman.forget()
    return secret


def test_without_tokens_nobody_is_asked(site: Site) -> None:
    assert site.http.get("/").status_code == 200
    assert site.http.get("/login", follow_redirects=False).headers["location"] == "/"
    assert "Log out" not in site.http.get("/").text


def test_a_browser_is_sent_to_the_login_and_a_program_is_refused(site: Site) -> None:
    site.http.post("/videos", json=SCENES | {"id": "v"})
    locked(site)
    asked = site.http.get("/?show=review", follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2F%3Fshow%3Dreview")
    assert site.http.get("/videos").status_code == 401
    assert site.http.get("/videos/v/cover").status_code == 401
    assert site.http.get("/board/v/thumbnail", follow_redirects=False).status_code == 303
    live = site.http.get("/live", headers={"HX-Request": "true"}, follow_redirects=False)
    assert (live.status_code, live.headers["hx-redirect"]) == (401, "/login")
    assert site.http.post("/board/v/cancel", follow_redirects=False).headers["location"] == "/login?next=%2F"
    assert site.house.client.status("v").state == "queued"


def test_a_token_is_kept_where_no_script_and_no_other_site_finds_it(site: Site) -> None:
    secret = locked(site)
    wrong = site.http.post("/login", data={"token": "cm_wrong", "next": "/review"})
    assert wrong.status_code == 403
    assert "not known" in wrong.text
    assert 'value="/review"' in wrong.text
    assert "set-cookie" not in wrong.headers
    done = site.http.post("/login", data={"token": f" {secret} ", "next": "/?show=review"}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/?show=review")
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
    assert site.http.get("/videos").status_code == 200
    page = site.http.get("/")
    assert "Log out" in page.text
    assert secret not in page.text


def test_behind_https_the_cookie_goes_nowhere_else(site: Site) -> None:
    secret = locked(site)
    headers = {"X-Forwarded-Proto": "https"}
    done = site.http.post("/login", data={"token": secret}, headers=headers, follow_redirects=False)
    assert "secure" in done.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "path", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", "", "\t//x"]
)
def test_a_login_leads_nowhere_else(site: Site, path: str) -> None:
    secret = locked(site)
    done = site.http.post("/login", data={"token": secret, "next": path}, follow_redirects=False)
    assert done.headers["location"] == "/"
    assert 'name="next" value="/"' in site.http.get(f"/login?next={quote(path)}").text


def test_who_logs_out_is_asked_again(site: Site) -> None:
    secret = locked(site)
    site.http.post("/login", data={"token": secret})
    assert site.http.get("/").status_code == 200
    site.http.post("/logout")
    assert COOKIE not in site.http.cookies
    assert site.http.get("/", follow_redirects=False).status_code == 303


def test_a_revoked_token_is_asked_for_anew(site: Site) -> None:
    secret = locked(site)
    other = locked(site)
    site.http.post("/login", data={"token": secret})
    (revoked,) = [one.id for one in site.house.tokens.all() if site.house.tokens.find(secret) == one]
    site.house.tokens.revoke(revoked)
    site.house.doorman._known.clear()
    assert site.http.get("/", follow_redirects=False).status_code == 303
    assert site.http.get("/login").status_code == 200
    assert other


def test_a_link_in_a_mail_finds_who_is_logged_in(site: Site) -> None:
    """A strict cookie does not come with the first request: the page asks once more, from here."""
    secret = locked(site)
    first = site.http.get("/", headers={"Sec-Fetch-Site": "cross-site"}, follow_redirects=False)
    assert first.status_code == 401
    assert 'http-equiv="refresh"' in first.text
    again = site.http.get("/", headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False)
    assert again.status_code == 303
    site.http.post("/login", data={"token": secret})
    assert site.http.get("/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
