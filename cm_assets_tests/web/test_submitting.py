"""Asking for videos over HTTP: once, however often it is sent, and never what cannot be made."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cm_assets_tests.web.conftest import SCENES, Site


def test_a_request_is_stored_before_it_is_answered(site: Site) -> None:
    answer = site.http.post("/videos", json=SCENES | {"id": "robots", "priority": 3})
    assert answer.status_code == 202
    assert answer.headers["location"] == "/videos/robots"
    said = answer.json()
    assert (said["id"], said["repeated"]) == ("robots", False)
    assert said["waiting_for"] == "an engine: start one with cm up"
    stored = site.house.client.database.get("robots")
    assert stored is not None
    assert stored.priority == 3
    assert stored.source == "http"


def test_the_seeds_webhook_takes_its_body_verbatim(site: Site) -> None:
    body = {"scenes": [{"text": "Hello world", "searchTerms": ["technology"]}], "config": {"music": "chill"}}
    answer = site.http.post("/new-video", json=body)
    assert answer.status_code == 202
    assert site.http.get(answer.headers["location"]).json()["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"text=Hello", "application/x-www-form-urlencoded", "request: must be a JSON object, sent as Content-Type"),
        (b'["Hello"]', "application/json", "request: must be a JSON object"),
        (b'{"scenes": ["Hello"]}', "application/json", "scenes.0: must be an object"),
    ],
)
def test_what_is_no_object_is_told_so(site: Site, body: bytes, kind: str, said: str) -> None:
    answer = site.http.post("/videos", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)


def test_a_key_names_a_request(site: Site) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = site.http.post("/videos", json=SCENES, headers=headers)
    again = site.http.post("/videos", json=SCENES, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json() | {"repeated": True}
    other = site.http.post("/videos", json=SCENES | {"music": "happy"}, headers=headers)
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert "other content; choose another key" in other.json()["detail"]
    assert len(site.http.get("/videos").json()["videos"]) == 1


def test_without_a_key_each_call_is_another_video_and_an_id_is_a_key(site: Site) -> None:
    first, second = (site.http.post("/videos", json=SCENES).json()["id"] for _ in range(2))
    assert first != second
    for expected in (202, 200):
        assert site.http.post("/videos", json=SCENES | {"id": "mine"}).status_code == expected
    assert site.http.post("/videos", json=SCENES | {"id": "mine", "music": "happy"}).status_code == 409


def test_many_who_send_the_same_at_once_get_one_video(site: Site) -> None:
    answers: list[Any] = []

    def send() -> None:
        answers.append(site.http.post("/videos", json=SCENES, headers={"Idempotency-Key": "one"}))

    senders = [threading.Thread(target=send) for _ in range(12)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "request"),
        ({"scenes": []}, "scenes"),
        ({"scenes": [{"txt": "x"}]}, "scenes.0.text"),
        (SCENES | {"musik": "x"}, "musik"),
        (SCENES | {"music": "polka"}, "music"),
        (SCENES | {"platforms": ["youtube"]}, "platforms"),
        (SCENES | {"priority": 11}, "priority"),
        (SCENES | {"publish_at": "2020-01-01T00:00:00Z"}, "publish_at"),
        ([], "request"),
        ("text", "request"),
    ],
)
def test_what_cannot_be_made_names_its_field_and_nothing_is_stored(site: Site, body: Any, field: str) -> None:
    answer = site.http.post("/videos", json=body)
    assert answer.status_code == 422
    assert field in [problem["field"] for problem in answer.json()["problems"]]
    assert site.http.get("/videos").json() == {"videos": [], "next": None}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"a": NaN', b"nil"])
def test_what_is_no_json_is_refused(site: Site, body: bytes) -> None:
    answer = site.http.post("/videos", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == "request"


def test_a_body_that_is_too_large_is_not_read(site: Site) -> None:
    assert site.http.post("/videos", json=SCENES | {"topic": "x" * 1_000_001}).status_code == 413

    def endless() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    answer = site.http.post("/videos", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_who_finds_too_many_waiting_is_told_when_to_come_back(site_with: Callable[..., Site]) -> None:
    site = site_with(max_backlog=2)
    for number in range(2):
        assert site.http.post("/videos", json=SCENES | {"id": f"v{number}"}).status_code == 202
        site.house.waiting.forget()
    answer = site.http.post("/videos", json=SCENES)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "CM_MAX_BACKLOG" in answer.json()["detail"]
    # What is there already is no more of a burden.
    assert site.http.post("/videos", json=SCENES | {"id": "v0"}).status_code == 200


def test_who_asks_too_often_is_told_when_to_come_back(site_with: Callable[..., Site]) -> None:
    site = site_with(rates={"http": ((2, 60.0),)})
    statuses = [site.http.post("/videos", json=SCENES).status_code for _ in range(3)]
    assert statuses == [202, 202, 429]


def test_where_the_disk_is_full_nothing_new_is_taken(site_with: Callable[..., Site]) -> None:
    site = site_with(min_free=10**18)
    answer = site.http.post("/videos", json=SCENES)
    assert answer.status_code == 507
    assert site.http.get("/readyz").json()["full"]
    assert site.http.get("/videos").json()["videos"] == []
