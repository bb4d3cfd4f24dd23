"""What the difference between two sets of facts means, and that each thing is told once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cm_assets.lifecycle.announcements import announcements
from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.status import Facts
from cm_assets.models.event import Event
from cm_assets.models.review import Review
from cm_assets.policies import PRODUCE
from cm_assets.storage.database import StoredRequest

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MADE = {stage: number for number, stage in enumerate(PRODUCE, 1)}
RENDER = MADE["render"]
STARTED = NOW.timestamp() + 1
LINKS = {"video": "/v.mp4", "cover": "/c.jpg", "srt": "/v.srt", "vtt": "/v.vtt", "outbox": "/o"}
RENDERED = Facts(
    made=MADE, rendered=RENDER, started=STARTED, links=LINKS, seconds=3.5, size=7, render_sha256="a" * 64, title="Salt"
)


def stored(**request: Any) -> StoredRequest:
    return StoredRequest(
        id="v",
        source="file",
        key="k",
        document=parse({"topic": "why the sea is salty"} | request).canonical(),
        content_sha256="0" * 64,
        priority=10,
        received_at=NOW,
        wanted=True,
        wanted_at=NOW,
        outcome="",
        reason="",
        lost_runs=0,
    )


def between(before: Facts, after: Facts, request: StoredRequest | None = None, **more: Any) -> list[Event]:
    return announcements(request or stored(), before, after, NOW, **more)


def types(*arguments: Any, **more: Any) -> list[str]:
    return [one.type.removeprefix("video.") for one in between(*arguments, **more)]


def test_nothing_new_is_nothing_told() -> None:
    assert types(Facts(), Facts()) == []
    assert types(RENDERED, RENDERED, stored(review="required")) == []
    assert types(RENDERED, RENDERED.model_copy(update={"active": True, "runs": 3})) == []


def test_the_first_run_of_an_asking_starts_it() -> None:
    assert types(Facts(), Facts(started=STARTED)) == ["started"]
    assert types(Facts(started=STARTED), Facts(started=STARTED + 60)) == []
    earlier = NOW.timestamp() - 1
    assert types(Facts(), Facts(started=earlier)) == []
    again = replace(stored(), wanted_at=NOW + timedelta(hours=1))
    assert types(Facts(started=STARTED), Facts(started=STARTED + 7200), again) == ["started"]
    closed = replace(stored(), wanted=False, outcome="cancelled")
    assert types(Facts(), Facts(started=STARTED), closed) == []


def test_stages_are_told_in_the_order_in_which_they_were_made() -> None:
    told = between(Facts(made={"brief": 1}), Facts(made={"brief": 1, "background_clips": 3, "script": 2, "audio": 4}))
    assert [one.data["stage"] for one in told] == ["script", "background_clips", "audio"]
    remade = between(Facts(made={"brief": 1}), Facts(made={"brief": 9}))
    assert [one.data["stage"] for one in remade] == ["brief"]
    assert remade[0].id != between(Facts(), Facts(made={"brief": 1}))[0].id


def test_a_render_is_told_with_its_files_when_its_run_is_over() -> None:
    made = RENDERED.model_copy(update={"rendered": -1, "active": True})
    assert "rendered" not in types(Facts(), made)
    (told,) = between(made, RENDERED)
    assert told.type == "video.rendered"
    assert told.data == {
        "id": "v",
        "title": "Salt",
        "state": "publishing",
        "links": {name: LINKS[name] for name in ("video", "cover", "srt", "vtt")},
        "seconds": 3.5,
        "size": 7,
        "sha256": "a" * 64,
    }


def test_who_must_look_at_a_render_is_told_so_once() -> None:
    request = stored(review="required")
    assert types(Facts(made=MADE, started=STARTED), RENDERED, request) == ["rendered", "awaiting_review"]
    # A run that somebody launched by hand comes to nothing: it still waits, and that was said.
    while_it_runs = RENDERED.model_copy(update={"active": True, "started": STARTED + 5})
    assert types(RENDERED, while_it_runs, request) == []
    assert types(while_it_runs, RENDERED, request) == []


def test_a_render_that_failed_its_checks_is_neither_rendered_nor_to_be_reviewed() -> None:
    failed = RENDERED.model_copy(update={"rendered": -1, "failed_checks": ("loudness",)})
    assert types(Facts(started=STARTED), failed, stored(review="required")) == ["stage_completed"] * 5


def decided(verdict: str, storage_id: int, rejections: int = 0) -> Facts:
    review = Review(verdict=verdict, by="Ada", feedback="shorter", decided=storage_id, rejections=rejections)
    return RENDERED.model_copy(update={"review": review})


def test_a_decision_is_told_once_with_who_made_it() -> None:
    request = stored(review="required")
    (told,) = between(RENDERED, decided("approved", 9), request)
    assert (told.type, told.data["by"]) == ("video.approved", "Ada")
    assert types(decided("approved", 9), decided("approved", 9), request) == []
    (told,) = between(RENDERED, decided("rejected", 9, 1), request)
    assert (told.type, told.data["feedback"], told.data["final"]) == ("video.rejected", "shorter", False)
    assert told.data["state"] == "queued"


def test_a_rejection_that_nobody_answers_is_told_as_the_end_and_not_here() -> None:
    assert types(RENDERED, decided("rejected", 9, 1), stored(review="required", max_revisions=0)) == []


def test_what_was_read_before_is_history() -> None:
    request = stored(review="required")
    assert types(Facts(started=STARTED), decided("approved", 9), request, told_to=9) == []
    assert types(Facts(started=STARTED), RENDERED, request, told_to=9) == []
    assert types(Facts(started=STARTED), decided("approved", 9), request, told_to=8) == ["approved"]


def test_telling_twice_is_telling_the_same() -> None:
    once, again = between(Facts(), RENDERED), between(Facts(), RENDERED)
    assert [one.id for one in once] == [one.id for one in again]
    assert len({one.id for one in once}) == len(once)
