"""The form for a video: what it asks for, and that nothing of what was typed is lost."""

import json
import re
from typing import Any

from cm_assets.lifecycle.documents import parse
from cm_assets.web.asking import Asked
from cm_assets_tests.web.conftest import Site
from cm_assets_tests.web.rendering import HOSTILE
from cm_assets_tests.web.test_board import Page

FORM: dict[str, Any] = {
    "kind": "scenes",
    "scene_text": ["Robots water the garden.", "", "They rest."],
    "scene_terms": ["garden, robot ,", "", ""],
    "scene_clip": ["", "", ""],
    "voice": "af_heart",
    "music": "calm",
    "orientation": "square",
    "platforms": ["outbox"],
    "review": "required",
    "priority": "3",
    "key": "form-1",
}


def send(site: Site, path: str = "/new", **changes: Any) -> Any:
    values = FORM | changes
    fields = [
        (name, (None, one)) for name, value in values.items() for one in (value if isinstance(value, list) else [value])
    ]
    return site.http.post(path, files=fields, follow_redirects=False)


def the_only(site: Site) -> Any:
    (video,) = site.house.client.videos()
    return site.house.client.asked(video.id)


def test_what_is_filled_in_is_what_is_asked_for(site: Site) -> None:
    done = send(site, publish_at="2030-07-01T18:00", zone="Europe/Berlin", title="At last", caption_style="clean")
    assert done.status_code == 303
    stored = the_only(site)
    assert done.headers["location"] == f"/board/{stored.id}?told=submitted"
    assert stored.document == {
        "scenes": [
            {"text": "Robots water the garden.", "search_terms": ["garden", "robot"]},
            {"text": "They rest."},
        ],
        "music": "calm",
        "orientation": "square",
        "captions": {"style": "clean"},
        "post": {"title": "At last"},
        "review": "required",
        "priority": 3,
        "publish_at": "2030-07-01T16:00:00Z",
    }


def test_a_form_that_is_sent_twice_is_one_video(site: Site) -> None:
    first, second = send(site), send(site)
    assert second.headers["location"] == first.headers["location"].replace("submitted", "known")
    assert len(site.house.client.videos()) == 1
    send(site, music="happy")
    assert len(site.house.client.videos()) == 2


def test_errors_stand_at_their_fields_and_nothing_is_lost(site: Site) -> None:
    changes: dict[str, Any] = {
        "speed": "9",
        "voice": "nobody",
        "scene_text": ["x" * 10_001, "kept"],
        "title": HOSTILE[:100],
    }
    answer = send(site, **changes, publish_at="2030-01-01T10:00", zone="Moon/Far")
    assert answer.status_code == 422
    assert 'id="zone-wrong"' in answer.text
    answer = send(site, **changes)
    assert answer.status_code == 422
    page = Page(answer)
    assert page.is_harmless()
    wrong = {name for tag in ("input", "select", "textarea") for name in page.all(tag, "aria-describedby")}
    assert wrong == {"speed-wrong", "scenes-0-text-wrong"}
    assert "kept" in page.text
    assert HOSTILE[:100] in page.all("input", "value")
    assert "nobody" in page.all("option", "value")
    assert "form-1" in page.all("input", "value")
    assert not site.house.client.videos()
    answer = send(site, voice="nobody")
    assert 'id="voice-wrong"' in answer.text


def test_an_empty_form_says_what_is_missing(site: Site) -> None:
    answer = send(site, scene_text=[" "], scene_terms=[""], platforms=[])
    assert answer.status_code == 422
    assert 'id="scenes-0-text-wrong"' in answer.text
    assert 'id="platforms-wrong"' in answer.text
    assert send(site, kind="topic", topic="").status_code == 422
    assert site.http.post("/new").status_code == 422


def test_nonsense_is_refused_as_nonsense(site: Site) -> None:
    for changes in (
        {"priority": "urgent"},
        {"publish_at": "soon"},
        {"rest": "["},
        {"rest": '{"schema_version": 7}'},
        {"rest": '{"post": {"account": 3}}'},
        {"kind": "else", "scene_text": [""]},
    ):
        assert send(site, **changes).status_code in {303, 422}, changes
    assert len(site.house.client.videos()) <= 1


def test_scenes_come_and_go_without_losing_the_others(site: Site) -> None:
    more = send(site, "/new/scenes")
    assert more.status_code == 200
    assert Page(more).all("textarea", "id").count("scenes-3-text") == 1
    assert "They rest." in Page(more).text
    less = send(site, "/new/scenes?remove=0")
    assert "Robots water" not in Page(less).text
    assert "They rest." in Page(less).text
    assert 'value="3" selected' in less.text
    fields = [("scene_text", (None, "Only")), ("kind", (None, "scenes"))]
    part = site.http.post("/new/scenes", files=fields, headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert Page(part).all("textarea", "name") == ["scene_text"] * 2


def test_a_video_like_another_is_asked_for_with_all_of_it(site: Site) -> None:
    document = {
        "scenes": [{"text": HOSTILE, "search_terms": ["a", "b"]}],
        "music": "calm",
        "seed": 7,
        "captions": {"style": "clean", "highlight": "#ff0000"},
        "post": {"hashtags": ["x"], "title": "Once"},
        "platforms": ["outbox"],
        "max_revisions": 1,
    }
    site.http.post("/videos", json=document | {"id": "v"})
    page = Page(site.http.get("/new?like=v"))
    assert page.is_harmless()
    asked = Asked.of_document(parse(document).canonical())
    assert parse(asked.document()).canonical() == parse(document).canonical()
    (rest,) = [value for value in page.all("input", "value") if value.startswith("{")]
    assert json.loads(rest) == {
        "seed": 7,
        "captions": {"highlight": "#ff0000"},
        "post": {"hashtags": ["x"]},
        "max_revisions": 1,
    }
    assert site.http.get("/new?like=nobody").status_code == 404


def test_topics_are_offered_where_they_can_be_written_about(site: Site) -> None:
    text = site.http.get("/new").text
    assert re.search(r'value="scenes" checked', text)
    assert "OPENAI_API_KEY" in text


def test_a_full_backlog_keeps_the_form(site_with: Any) -> None:
    site = site_with(max_backlog=1)
    send(site)
    site.house.waiting.forget()
    answer = send(site, music="happy", title="Kept")
    assert answer.status_code == 429
    assert "CM_MAX_BACKLOG" in Page(answer).text
    assert "Kept" in Page(answer).all("input", "value")
