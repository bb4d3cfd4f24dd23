"""Lists, pages, decisions and files, as far as they need no engine."""

import pytest

from cm_assets_tests.web.conftest import SCENES, Site
from cm_assets_tests.web.rendering import render, rendered


def test_lists_come_in_pages(site: Site) -> None:
    for number in range(5):
        site.http.post("/videos", json=SCENES | {"id": f"v{number}"})
    seen, cursor = [], None
    for _ in range(3):
        page = site.http.get("/videos", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [video["id"] for video in page["videos"]]
        cursor = page["next"]
    assert seen == ["v4", "v3", "v2", "v1", "v0"]
    assert cursor is None


def test_lists_are_of_states(site: Site) -> None:
    for number in range(3):
        site.http.post("/videos", json=SCENES | {"id": f"v{number}"})
    assert site.http.post("/videos/v1/cancel").json() == {"changed": True}
    assert site.http.post("/videos/v1/cancel").json() == {"changed": False}

    def ids(*states: str) -> list[str]:
        found = site.http.get("/videos", params={"state": list(states)}).json()["videos"]
        return [video["id"] for video in found]

    assert ids("cancelled") == ["v1"]
    assert ids("queued") == ["v2", "v0"]
    assert ids("queued", "cancelled") == ["v2", "v1", "v0"]
    assert site.http.post("/videos/v1/retry").json() == {"changed": True}
    assert ids("cancelled") == []


@pytest.mark.parametrize(
    "query", ["state=gone", "limit=0", "limit=201", "limit=x", "cursor=../etc", "cursor=UPPER", "state="]
)
def test_nonsense_in_a_query_names_what_is_wrong(site: Site, query: str) -> None:
    answer = site.http.get(f"/videos?{query}")
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"].startswith(query.partition("=")[0])


def test_an_unknown_video_is_not_found_whatever_is_asked(site: Site) -> None:
    for method, path in [
        ("GET", "/videos/v"),
        ("GET", "/videos/v/events"),
        ("GET", "/videos/v/video"),
        ("GET", "/videos?cursor=v"),
        ("POST", "/videos/v/cancel"),
        ("POST", "/videos/v/retry"),
    ]:
        assert site.http.request(method, path).status_code == 404, path
    assert site.http.post("/videos/v/reprioritise", json={"priority": 1}).status_code == 404


def test_what_is_not_rendered_has_no_file_and_cannot_be_decided_about(site: Site) -> None:
    site.http.post("/videos", json=SCENES | {"id": "v"})
    for name in ("video", "cover", "captions", "captions?format=srt"):
        answer = site.http.get(f"/videos/v/{name}")
        assert answer.status_code == 409
        assert answer.json()["detail"] == "v has no render: it is queued"
    assert site.http.get("/videos/v/captions?format=ass").status_code == 422
    body = {"render_sha256": "a" * 64, "feedback": "shorter"}
    assert site.http.post("/videos/v/approve", json={"render_sha256": "a" * 64}).status_code == 409
    assert site.http.post("/videos/v/reject", json=body).status_code == 409
    assert site.http.post("/videos/v/reject", json=body | {"feedback": "  "}).status_code == 422
    assert site.http.post("/videos/v/take-down", json={}).status_code == 409


def test_a_head_says_what_a_get_would_send(site: Site) -> None:
    rendered(site, "v")
    for path in ("/videos/v/video", "/videos/v/cover", "/videos/v/captions", "/healthz", "/readyz"):
        whole, head = site.http.get(path), site.http.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert head.headers.get("content-length") == whole.headers.get("content-length")
        assert head.headers.get("etag") == whole.headers.get("etag")


def test_a_rejection_that_is_sent_again_changes_nothing(site: Site) -> None:
    looked_at = rendered(site, "v")
    body = {"render_sha256": looked_at, "feedback": "shorter"}
    assert site.http.post("/videos/v/reject", json=body).status_code == 200
    assert site.http.post("/videos/v/reject", json=body).status_code == 200
    # Nor after the revision is there, and it says nothing of that one.
    render(site, "v", text="Robots water the garden.", colour="plum")
    assert site.http.post("/videos/v/reject", json=body).status_code == 200
    assert site.http.get("/videos/v").json()["state"] == "awaiting_review"
    assert site.http.post("/videos/v/reject", json=body | {"feedback": "longer"}).status_code == 409
    assert site.http.post("/videos/v/approve", json={"render_sha256": looked_at}).status_code == 409
    told = site.house.client.story("v").decisions
    assert [(one.render_sha256, one.feedback) for one in told] == [(looked_at, "shorter")]


def test_a_place_in_the_backlog_is_changed(site: Site) -> None:
    site.http.post("/videos", json=SCENES | {"id": "v"})
    assert site.http.post("/videos/v/reprioritise", json={"priority": 2}).json() == {"changed": True}
    assert site.http.get("/videos/v").json()["priority"] == 2
    assert site.http.post("/videos/v/reprioritise", json={"priority": 0}).status_code == 422


def test_the_streams_of_a_video_end_when_it_has_ended(site: Site) -> None:
    site.http.post("/videos", json=SCENES | {"id": "v"})
    site.http.post("/videos/v/cancel")
    with site.http.stream("GET", "/videos/v/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    assert text.count("event: status") == 1
    assert '"state":"cancelled"' in text
    last = next(line for line in text.splitlines() if line.startswith("id: ")).removeprefix("id: ")
    with site.http.stream("GET", "/videos/v/events", headers={"Last-Event-ID": last}) as answer:
        assert "event: status" not in "".join(answer.iter_text())
    assert site.house.streams == 0


def test_it_says_that_it_lives_and_is_ready(site: Site) -> None:
    assert site.http.get("/healthz").status_code == 204
    assert site.http.get("/readyz").json() == {"engine": False, "full": ""}


def test_the_openapi_document_names_every_path_and_its_errors(site: Site) -> None:
    schema = site.http.get("/openapi.json").json()
    assert {"/videos", "/new-video", "/videos/{id}", "/videos/{id}/events", "/healthz"} <= set(schema["paths"])
    submit = schema["paths"]["/videos"]["post"]
    assert {"200", "202", "401", "409", "422", "429", "507"} <= set(submit["responses"])
    assert "example" in submit["requestBody"]["content"]["application/json"]
