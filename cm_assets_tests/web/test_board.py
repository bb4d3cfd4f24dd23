"""The board's pages: what they show, to whom, and that nothing that people write becomes anything but text."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from cm_assets.models.status import STATES
from cm_assets.web import words
from cm_assets.web.security import COOKIE
from cm_assets_tests.web.conftest import SCENES, Site
from cm_assets_tests.web.rendering import HOSTILE, render, rendered


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [value for name, attrs in self.elements if name == tag and (value := attrs.get(attribute)) is not None]

    def is_harmless(self) -> bool:
        """Whether only our own scripts are there, no handler, no style, and no address that runs something."""
        fine = True
        for tag, attributes in self.elements:
            if tag == "script":
                fine &= (attributes.get("src") or "").startswith("/static/")
            fine &= tag not in {"style", "iframe", "object", "embed", "base"}
            for name, value in attributes.items():
                fine &= not name.startswith("on") and name != "style"
                fine &= not (name in {"href", "src", "action", "formaction"} and ":" in (value or "").partition("/")[0])
        return fine


def test_every_state_has_a_name_and_one_group() -> None:
    grouped = [state for _, states in words.GROUPS.values() for state in states]
    assert sorted(grouped) == sorted(STATES)
    assert set(words.STATES) == set(STATES)


def test_an_empty_board_says_how_to_begin(site: Site) -> None:
    page = Page(site.http.get("/"))
    assert "No videos yet" in page.text
    assert "/new" in page.all("a", "href")
    assert site.http.get("/live?show=all&seen=x").status_code == 200


def test_the_board_counts_and_shows_groups(site: Site) -> None:
    for number in range(3):
        site.http.post("/videos", json=SCENES | {"id": f"v{number}"})
    site.http.post("/videos/v1/cancel")
    rendered(site, "seen")
    page = Page(site.http.get("/"))
    assert re.sub(r"\s+", " ", page.text).count("To review 1") == 1
    assert "Waiting 2" in page.text
    assert "Closed 1" in page.text
    assert "No engine works" in page.text

    def shown(path: str) -> list[str]:
        links = Page(site.http.get(path)).all("a", "href")
        return [link.removeprefix("/board/") for link in links if link.startswith("/board/")]

    assert shown("/") == ["seen", "v2", "v1", "v0"]
    assert shown("/?show=review") == ["seen"]
    assert shown("/?show=waiting") == ["v2", "v0"]
    assert shown("/?show=closed") == ["v1"]
    assert shown("/?show=failed") == []
    assert shown("/?q=V2") == ["v2"]
    assert shown("/?q=robots&show=review") == ["seen"]
    assert shown("/?q=%25") == []
    assert site.http.get("/?show=nonsense").status_code == 422


def test_the_board_has_pages(site: Site) -> None:
    for number in range(30):
        site.http.post("/videos", json=SCENES | {"id": f"v{number:02}"})
    first = Page(site.http.get("/"))
    (older,) = [link for link in first.all("a", "href") if "before=" in link]
    second = Page(site.http.get(older))
    both = [link for page in (first, second) for link in page.all("a", "href") if link.startswith("/board/")]
    assert both == [f"/board/v{number:02}" for number in reversed(range(30))]


def seen_by(answer: Any) -> list[str]:
    return re.findall(r'name="seen" value="([^"]+)"', answer.text)


def test_only_what_changed_is_sent(site: Site) -> None:
    for number in range(3):
        site.http.post("/videos", json=SCENES | {"id": f"v{number}"})
    seen = seen_by(site.http.get("/"))
    assert site.http.get("/live", params={"seen": seen}).status_code == 204
    site.house.client.cancel("v1")
    site.house.counts.forget()
    changed = site.http.get("/live", params={"seen": seen})
    parts = re.findall(r'hx-swap-oob="innerHTML:#([^"]+)"', changed.text)
    assert "pulse-v1" in parts
    assert not {"cards", "face-v1", "face-v0", "notice"} & set(parts)
    # Another video is another list.
    site.http.post("/videos", json=SCENES | {"id": "v3"})
    again = site.http.get("/live", params={"seen": seen})
    assert "cards" in re.findall(r'hx-swap-oob="innerHTML:#([^"]+)"', again.text)


def test_a_video_is_told_in_full(site: Site) -> None:
    sha256 = rendered(site, "v", said="Neither black nor frozen.")
    page = Page(site.http.get("/board/v"))
    assert page.all("video", "src") == [f"/videos/v/video?v={sha256[:16]}"]
    assert page.all("track", "src") == [f"/videos/v/captions?v={sha256[:16]}"]
    assert {"/board/v/approve", "/board/v/reject", "/board/v/cancel"} <= set(page.all("form", "action"))
    assert site.http.get(page.all("video", "poster")[0]).headers["content-type"] == "image/jpeg"
    told = site.http.get("/board/v/story")
    assert "Robots water the garden." in told.text
    assert "All 1 passed" in told.text
    assert "Neither black nor frozen." in told.text
    assert "Timeline" in told.text
    assert "after 0:0" in told.text
    assert "/runs/" not in told.text


def test_runs_lead_to_dagster_where_it_is(site_with: Callable[..., Site]) -> None:
    site = site_with(dagster_url="http://127.0.0.1:3000/")
    rendered(site, "v")
    links = Page(site.http.get("/board/v/story")).all("a", "href")
    run = site.house.client.status("v").run_id
    assert f"http://127.0.0.1:3000/runs/{run}" in links


def test_thumbnails_are_small_and_kept_by_what_they_show(site: Site) -> None:
    sha256 = rendered(site, "v")
    path = f"/board/v/thumbnail?v={sha256[:16]}"
    assert path in Page(site.http.get("/")).all("img", "src")
    picture = site.http.get(path)
    assert picture.headers["content-type"] == "image/jpeg"
    assert len(picture.content) < 40_000
    assert "immutable" in picture.headers["cache-control"]
    assert "immutable" not in site.http.get("/board/v/thumbnail?v=other").headers["cache-control"]
    site.http.post("/videos", json=SCENES | {"id": "w"})
    assert site.http.get("/board/w/thumbnail").status_code == 404


def test_approving_says_which_render_was_looked_at(site: Site) -> None:
    first = rendered(site, "v")
    second = render(site, "v", text="Robots water the garden.", colour="navy")
    stale = site.http.post("/board/v/approve", data={"render_sha256": first})
    assert stale.status_code == 409
    assert "look at it first" in Page(stale).text
    assert site.house.client.status("v").state == "awaiting_review"
    done = site.http.post("/board/v/approve", data={"render_sha256": second}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/board/v?told=approved")
    assert site.house.client.status("v").state == "publishing"
    assert "Approved." in Page(site.http.get("/board/v?told=approved")).text
    assert "approved" in Page(site.http.get("/board/v/story")).text


def test_a_refused_rejection_keeps_what_was_typed(site: Site) -> None:
    first = rendered(site, "v")
    second = render(site, "v", text="Robots water the garden.", colour="navy")
    stale = site.http.post("/board/v/reject", data={"render_sha256": first, "feedback": "<b>shorter</b>"})
    assert stale.status_code == 409
    assert "&lt;b&gt;shorter&lt;/b&gt;</textarea>" in stale.text
    empty = site.http.post("/board/v/reject", data={"render_sha256": second, "feedback": " \n"})
    assert empty.status_code == 422
    done = site.http.post("/board/v/reject", data={"render_sha256": second, "feedback": "<b>shorter</b>"})
    assert done.status_code == 200
    assert site.house.client.status("v").state == "rejected"
    assert "<b>shorter</b>" in Page(site.http.get("/board/v")).text
    assert Page(site.http.get("/board/v")).is_harmless()
    assert "/new?like=v" in Page(site.http.get("/board/v")).all("a", "href")


def test_what_did_not_pass_has_no_button_to_approve_it(site: Site) -> None:
    sha256 = rendered(site, "v", passes=False)
    page = Page(site.http.get("/board/v"))
    assert "/board/v/approve" not in page.all("form", "action")
    assert "It did not pass looks" in page.text
    assert site.http.post("/board/v/approve", data={"render_sha256": sha256}).status_code == 409


def test_one_after_the_other_is_reviewed(site: Site) -> None:
    found = {name: rendered(site, name) for name in ("a", "b", "c")}
    assert site.http.get("/review", follow_redirects=False).headers["location"] == "/review/a"
    page = Page(site.http.get("/review/b"))
    assert "2 of 3 to review" in page.text
    assert {"/review/a", "/review/c"} <= set(page.all("a", "href"))
    order = []
    for name in ("b", "c", "a"):
        data = {"render_sha256": found[name], "review": "1"}
        answer = site.http.post(f"/board/{name}/approve", data=data, follow_redirects=False)
        order.append(answer.headers["location"])
    assert order == ["/review/c?told=approved&of=b", "/review/a?told=approved&of=c", "/review?told=approved&of=a"]
    last = Page(site.http.get(order[-1]))
    assert "Nothing waits for a review" in last.text
    assert "Approved." in last.text
    # Somebody else was quicker.
    late = site.http.post("/board/a/reject", data={"render_sha256": "0" * 64, "feedback": "x", "review": "1"})
    assert late.status_code == 409


def test_work_is_stopped_taken_up_and_moved(site: Site) -> None:
    site.http.post("/videos", json=SCENES | {"id": "v"})
    assert "priority" in Page(site.http.get("/board/v")).all("select", "name")
    site.http.post("/board/v/reprioritise", data={"priority": "1"})
    assert site.house.client.status("v").priority == 1
    assert site.http.post("/board/v/reprioritise", data={"priority": "11"}).status_code == 422
    site.http.post("/board/v/cancel")
    assert site.house.client.status("v").state == "cancelled"
    twice = site.http.post("/board/v/cancel")
    assert twice.status_code == 409
    assert "by now the video is cancelled" in Page(twice).text
    assert "/board/v/retry" in Page(twice).all("form", "action")
    site.http.post("/board/v/retry")
    assert site.house.client.status("v").state == "queued"
    assert site.http.post("/board/v/take-down").status_code == 409


def posted(site: Site, video: str) -> None:
    """Have a rendered video posted, as far as is known."""
    database = site.house.client.database
    facts = database.noted([video])[video]
    facts["made"]["published_post/outbox"] = 10**6
    facts["links"]["outbox"] = "https://videos.example/1"
    database.note(video, facts)
    database.close(video, "done")


def test_posts_are_taken_down_by_those_who_may(site: Site) -> None:
    rendered(site, "v")
    posted(site, "v")
    page = Page(site.http.get("/board/v"))
    assert "/board/v/take-down" in page.all("form", "action")
    assert "https://videos.example/1" in Page(site.http.get("/board/v/story")).all("a", "href")
    as_person(site, "review", "submit")
    assert "/board/v/take-down" not in Page(site.http.get("/board/v")).all("form", "action")
    as_person(site, "admin")
    assert site.http.post("/board/v/take-down", data={"platforms": ["youtube"]}).status_code == 409
    done = site.http.post("/board/v/take-down", data={"platforms": ["outbox"]}, follow_redirects=False)
    assert done.headers["location"] == "/board/v?told=taken_down"
    assert "to be taken down" in Page(site.http.get("/board/v?told=taken_down")).text


def test_an_approved_video_can_be_sent_back_until_its_time(site: Site) -> None:
    sha256 = rendered(site, "v", publish_at="2099-01-01T00:00:00Z")
    site.http.post("/board/v/approve", data={"render_sha256": sha256})
    page = Page(site.http.get("/board/v"))
    assert "Scheduled" in page.text
    assert "01 Jan 2099, 00:00 UTC" in page.text
    assert "/board/v/approve" not in page.all("form", "action")
    site.http.post("/board/v/reject", data={"render_sha256": sha256, "feedback": "No."})
    assert site.house.client.status("v").state == "rejected"


def test_what_is_left_of_a_retired_video_is_told(site: Site) -> None:
    rendered(site, "v")
    site.http.post("/board/v/cancel")
    assert site.house.client.retire("v")
    page = Page(site.http.get("/board/v"))
    assert "Its files are gone." in page.text
    assert "/new?like=v" not in page.all("a", "href")
    assert site.http.get("/board/v/story").status_code == 200
    assert site.http.get("/new?like=v").status_code == 200
    assert "v" in [link.removeprefix("/board/") for link in Page(site.http.get("/?show=closed&q=v")).all("a", "href")]


def test_nothing_that_people_write_is_more_than_text(site: Site) -> None:
    title = HOSTILE[:100].replace("<", "").replace(">", "")
    for name in ("v", "w"):
        rendered(site, name, text=HOSTILE, said=HOSTILE, post={"title": title})
    sha256 = site.house.client.status("v").render_sha256
    site.http.post("/board/v/reject", data={"render_sha256": sha256, "feedback": HOSTILE})
    pages = ["/", "/?q=" + HOSTILE[:90], "/board/v", "/board/v/story", "/review/w", "/new?like=v", "/live?seen=x"]
    for path in pages:
        answer = site.http.get(path)
        assert answer.status_code == 200, path
        assert Page(answer).is_harmless(), path
        assert "7 * 7" in answer.text or path in {"/live?seen=x"}, path
        assert "<script>alert" not in answer.text
    assert HOSTILE in Page(site.http.get("/board/v/story")).text
    assert "javascript:" not in site.http.get("/board/v/story").text


@pytest.mark.parametrize(
    "path", ["/board/nobody", "/board/..%2f..%2fetc", "/review/nobody", "/board/<script>", "/?before=x"]
)
def test_an_address_that_is_none_is_a_page(site: Site, path: str) -> None:
    answer = site.http.get(path)
    assert answer.status_code in {404, 422}
    if "%2f" not in path:
        assert answer.headers["content-type"].startswith("text/html")
        assert Page(answer).is_harmless()


def token(site: Site, *scopes: Any) -> str:
    return site.token(*scopes)["Authorization"].removeprefix("Bearer ")


def as_person(site: Site, *scopes: Any) -> str:
    secret = token(site, *scopes)
    site.http.cookies.set(COOKIE, secret)
    site.house.doorman.forget()
    return secret


def test_buttons_are_shown_to_those_who_may_press_them(site: Site) -> None:
    sha256 = rendered(site, "v")
    site.http.post("/videos", json=SCENES | {"id": "w"})
    actions = {"approve": {"render_sha256": sha256}, "cancel": {}, "retry": {}, "take-down": {}}
    allowed = {"submit": {"cancel", "retry"}, "review": {"approve"}}
    for scope, may in allowed.items():
        as_person(site, scope)
        shown = Page(site.http.get("/board/v"))
        assert ("/board/v/approve" in shown.all("form", "action")) is ("approve" in may)
        assert ("/board/v/cancel" in shown.all("form", "action")) is ("cancel" in may)
        assert ("/new" in shown.all("a", "href")) is ("cancel" in may)
        for name in set(actions) - may:
            refused = site.http.post(f"/board/v/{name}", data=actions[name])
            assert refused.status_code == 403, (scope, name)
            assert refused.headers["content-type"].startswith("text/html")
    assert site.house.client.status("v").state == "awaiting_review"
    assert site.http.get("/new").status_code == 403


def test_forms_of_other_sites_are_refused(site: Site) -> None:
    sha256 = rendered(site, "v")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("/board/v/approve", "/new", "/login", "/logout"):
            assert site.http.post(path, data={"render_sha256": sha256}, headers=headers).status_code == 403
    assert site.house.client.status("v").state == "awaiting_review"


def test_pages_run_our_own_files_alone(site: Site) -> None:
    answer = site.http.get("/")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    page = Page(answer)
    files = [*page.all("script", "src"), *page.all("link", "href")]
    assert len(files) == 4
    for path in files:
        assert site.http.get(path).status_code == 200, path
