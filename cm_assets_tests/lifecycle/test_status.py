"""Every state that a video can be in, and what it then says that it waits for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.status import Facts, facts_of, status
from cm_assets.models.review import Review
from cm_assets.models.status import Status
from cm_assets.policies import PRODUCE
from cm_assets.storage.database import Step, StoredRequest

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MADE = {stage: number for number, stage in enumerate(PRODUCE, 1)}
POSTED = MADE | {"published_post/outbox": 9}


def stored(outcome: str = "", reason: str = "", resume_at: datetime | None = None, **request: Any) -> StoredRequest:
    document = parse({"topic": "why the sea is salty"} | request).canonical()
    return StoredRequest(
        id="v",
        source="file",
        key="k",
        document=document,
        content_sha256="0" * 64,
        priority=10,
        received_at=NOW,
        wanted=not outcome,
        wanted_at=NOW,
        outcome=outcome,
        reason=reason,
        lost_runs=0,
        resume_at=resume_at,
        waiting_for="its time" if resume_at else "",
    )


def of(
    request: StoredRequest, facts: Facts | None = None, shares: dict[str, float | Step] | None = None, **more: Any
) -> Status:
    steps = {stage: one if isinstance(one, Step) else Step(one) for stage, one in (shares or {}).items()}
    return status(request, facts or Facts(), steps, NOW, **{"engine": True} | more)


def test_a_new_video_is_queued_and_says_behind_whom() -> None:
    assert (of(stored()).state, of(stored()).waiting_for) == ("queued", "a free place")
    assert of(stored(), before=3).waiting_for == "a free place, after 3 others"
    assert of(stored(), engine=False).waiting_for == "an engine: start one with cm up"
    assert of(stored()).title == "why the sea is salty"


def test_a_video_in_the_making_says_which_stage_and_how_far() -> None:
    made = {stage: MADE[stage] for stage in ("brief", "script", "audio", "background_clips")}
    found = of(stored(), Facts(made=made, active=True, runs=1), {"render": 0.4, "audio": 0.1})
    assert found.state == "producing"
    assert found.stage is not None
    assert (found.stage.stage, found.stage.share) == ("render", 0.4)
    assert [stage.state for stage in found.stages] == ["done"] * 4 + ["running", "waiting"]


def test_a_run_that_was_in_flight_when_the_engine_died_is_not_said_to_run() -> None:
    found = of(stored(), Facts(made={"brief": 1}, active=True), {"script": 0.5}, engine=False)
    assert found.state == "queued"
    assert found.stage is None
    assert found.stages[1].share == 0.0


def test_a_rendered_video_is_publishing_then_published() -> None:
    assert of(stored(), Facts(made=MADE, active=True)).state == "publishing"
    assert of(stored(), Facts(made=MADE)).state == "publishing"
    assert of(stored("done"), Facts(made=POSTED)).state == "published"
    assert of(stored(), Facts(made=POSTED)).state == "published"


def test_nothing_that_nobody_has_approved_is_said_to_be_published() -> None:
    asked = stored(review="required")
    assert of(asked, Facts(made=MADE, active=True)).state == "producing"
    assert of(asked, Facts(made=MADE)).state == "awaiting_review"
    approved = Facts(made=MADE, active=True, review=Review(verdict="approved"))
    assert of(asked, approved).state == "publishing"


def test_a_published_video_that_is_rendered_again_by_hand_stays_published() -> None:
    assert of(stored("done"), Facts(made=POSTED | {"render": 20})).state == "published"


def test_times_are_waited_for() -> None:
    waits = of(stored(not_before=LATER.isoformat()))
    assert (waits.state, waits.waiting_for) == ("queued", "its time, 2026-11-24T01:00:00Z")
    waits = of(stored(publish_at=LATER.isoformat()), Facts(made=MADE))
    assert (waits.state, waits.waiting_for) == ("scheduled", "its time, 2026-11-24T01:00:00Z")
    waits = of(stored(resume_at=LATER), Facts(made=MADE))
    assert (waits.state, waits.waiting_for) == ("scheduled", "its time, 2026-11-24T01:00:00Z")


def test_an_end_has_its_reason() -> None:
    failed = of(stored("failed", "render: the disk is full"), Facts(made={"brief": 1}, runs=2))
    assert (failed.state, failed.reason, failed.attempts, failed.ended) == (
        "failed",
        "render: the disk is full",
        2,
        True,
    )
    assert of(stored("cancelled", "on request")).state == "cancelled"
    assert of(replace(stored("done"), reason="take_down/youtube: by hand")).reason == "take_down/youtube: by hand"


def test_facts_read_back_as_they_were() -> None:
    facts = Facts(made=POSTED, runs=2, links={"video": "/v.mp4"}, seconds=3.5, size=7, title="Salt")
    assert facts_of(facts.model_dump()) == facts
    assert facts_of(None) == Facts()


def test_what_became_of_the_posts_is_told() -> None:
    up = Facts(made=POSTED, taken={})
    assert of(stored("partial", "published_post/youtube: no"), up).state == "partially_published"
    assert of(stored("partial", "published_post/youtube: no"), up).reason == "published_post/youtube: no"
    assert of(stored("taken_down"), Facts(made=POSTED, taken={"published_post/outbox": 10})).state == "taken_down"
    leaving = replace(stored(), take_down=["outbox"])
    assert of(leaving, up).waiting_for == "its post on outbox to be taken down"
    gone = Facts(made=POSTED, taken={"published_post/outbox": 10})
    assert of(leaving, gone).state == "taken_down"
    assert of(replace(stored(), given_up={"published_post/outbox": "no"}), Facts(made=MADE)).state == "failed"


def test_a_step_that_waits_says_for_what() -> None:
    working = Facts(made={stage: MADE[stage] for stage in ("brief", "script")}, active=True, runs=1)
    asked = of(stored(), working, {"audio": Step(0.0, 2, "audio: the service is not up (again in 4 s)")})
    assert asked.state == "producing"
    assert asked.waiting_for == "audio: the service is not up (again in 4 s)"
    assert [one.attempt for one in asked.stages if one.stage == "audio"] == [2]
    busy = of(stored(), working, at_work={"audio": 2, "render": 1})
    assert busy.waiting_for == "a place in the pool speech, 2 at once"
    assert of(stored(), working, at_work={"audio": 1, "render": 1}).waiting_for == ""
    assert of(stored(), working, {"audio": 0.2}, at_work={"audio": 2}).waiting_for == ""
    rendering = Facts(made={stage: MADE[stage] for stage in PRODUCE[:-1]}, active=True, runs=1)
    assert of(stored(), rendering, at_work={"render": 1}).waiting_for == "a place in the pool render, 1 at once"
    assert of(stored(), rendering, at_work={"render": 1}, pools={"render": 2}).waiting_for == ""
    both = of(stored(), rendering, at_work={"render": 2}, pools={"render": 2})
    assert both.waiting_for == "a place in the pool render, 2 at once"


def test_a_queue_without_workers_is_named_by_what_comes_to_it() -> None:
    rendering = Facts(made={stage: MADE[stage] for stage in PRODUCE[:-1]}, active=True, runs=1)
    nobody = of(stored(), rendering, unserved=("render", "publish"))
    assert nobody.state == "producing"
    assert nobody.waiting_for == "a worker of the queue render: cm worker --queues render"
    assert of(stored(), rendering, unserved=("publish",)).waiting_for == ""
    assert of(stored(), rendering, {"render": Step(0.2)}, unserved=("render",)).waiting_for == ""
    posting = of(stored(), Facts(made=MADE, active=True, runs=2), unserved=("publish",))
    assert posting.waiting_for == "a worker of the queue publish: cm worker --queues publish"


def test_a_full_disk_is_waited_for_by_what_is_to_be_made() -> None:
    assert of(stored(), full="9 of 8 GB").waiting_for == "disk space: 9 of 8 GB"
    assert of(stored(), Facts(made=MADE), full="9 of 8 GB").waiting_for == "a free place"
    assert of(stored(), Facts(active=True), full="9 of 8 GB").state == "producing"


def test_of_a_retired_video_title_and_posts_are_left() -> None:
    stone = replace(
        stored("retired", "on request"), document={"id": "v", "title": "Salt", "links": {"outbox": "file:///o#v"}}
    )
    found = of(stone, Facts(made=MADE, links={"video": "/gone.mp4"}))
    assert (found.state, found.title, found.reason, found.stages) == ("retired", "Salt", "on request", ())
    assert found.links == {"outbox": "file:///o#v"}
    assert found.ended
