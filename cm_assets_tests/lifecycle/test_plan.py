from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import UPSTREAM, Done, Launch, Posts, Wait, missing, next_step
from cm_assets.policies import PRODUCE

NOW = datetime(2026, 11, 24, tzinfo=UTC)
REQUEST = parse({"topic": "tides"})
MADE = {stage: number for number, stage in enumerate(PRODUCE, 1)}


def test_a_new_video_needs_everything() -> None:
    assert next_step(REQUEST, {}, NOW) == Launch("produce_video", PRODUCE)


def test_an_interrupted_video_needs_only_what_is_missing() -> None:
    made = {stage: MADE[stage] for stage in ("brief", "script", "audio")}
    assert next_step(REQUEST, made, NOW) == Launch("produce_video", ("background_clips", "render"))


def test_what_is_older_than_its_source_is_made_again() -> None:
    assert missing(MADE | {"script": 10}) == ("audio", "background_clips", "render")


def test_a_rendered_video_is_posted_and_then_done() -> None:
    assert next_step(REQUEST, MADE, NOW) == Launch("publish_video", ("published_post/outbox",))
    assert next_step(REQUEST, MADE | {"published_post/outbox": 9}, NOW) == Done()


def test_a_new_render_is_posted_again() -> None:
    made = MADE | {"render": 20, "published_post/outbox": 9}
    assert next_step(REQUEST, made, NOW) == Launch("publish_video", ("published_post/outbox",))


def test_a_post_waits_for_its_time_and_a_start_for_its_own() -> None:
    later = NOW + timedelta(hours=1)
    timed = parse({"topic": "tides", "publish_at": later.isoformat()})
    assert next_step(timed, MADE, NOW) == Wait(later, "its time")
    assert next_step(timed, {}, NOW) == Launch("produce_video", PRODUCE)
    delayed = parse({"topic": "tides", "not_before": later.isoformat()})
    assert next_step(delayed, {}, NOW) == Wait(later, "its time")
    assert next_step(delayed, {}, later) == Launch("produce_video", PRODUCE)


@given(st.dictionaries(st.sampled_from(PRODUCE), st.integers(1, 50)))
def test_making_what_is_missing_leaves_nothing_missing(made: dict[str, int]) -> None:
    stages = missing(made)
    after = made | {stage: 100 + number for number, stage in enumerate(stages)}
    assert missing(after) == ()
    for stage in stages:
        assert all(after[one] <= after[stage] for one in UPSTREAM[stage])


TWO: dict[str, Any] = {"topic": "tides", "platforms": ["outbox", "youtube"], "review": "auto"}
OUTBOX, YOUTUBE = "published_post/outbox", "published_post/youtube"


def after(posts: Posts, made: dict[str, int], **changes: Any) -> object:
    return next_step(parse(TWO | changes), MADE | made, NOW, posts=posts)


def test_what_was_begun_is_taken_down_with_the_rest() -> None:
    begun = Posts(unwanted=["outbox", "youtube"], begun=["youtube"])
    assert after(begun, {}) == Launch("take_down_video", take_down="youtube")
    assert after(replace(begun, begun=[], taken={YOUTUBE: 11}), {}) == Done("taken_down")
    # What is wanted is gone on with, and an upload that was begun is nothing that people see.
    assert after(Posts(begun=["youtube"]), {}) == Launch("publish_video", (OUTBOX, YOUTUBE))
    assert after(Posts(begun=["youtube"], given_up={YOUTUBE: "no", OUTBOX: "no"}), {}) == Done(
        "failed", f"{YOUTUBE}: no; {OUTBOX}: no"
    )


def test_a_post_that_failed_for_good_leaves_the_others_where_they_are() -> None:
    failed = Posts(given_up={YOUTUBE: "the account is closed"})
    assert after(failed, {}) == Launch("publish_video", (OUTBOX,))
    assert after(failed, {OUTBOX: 9}) == Done("partial", f"{YOUTUBE}: the account is closed")
    assert after(Posts(given_up={YOUTUBE: "a", OUTBOX: "b"}), {}) == Done("failed", f"{YOUTUBE}: a; {OUTBOX}: b")


def test_a_post_that_failed_for_good_has_the_others_taken_down_where_the_request_says_so() -> None:
    failed = Posts(given_up={YOUTUBE: "no"})
    assert after(failed, {OUTBOX: 9}, on_partial_failure="take_down") == Launch("take_down_video", take_down="outbox")
    gone = Posts(taken={OUTBOX: 10}, given_up=failed.given_up)
    assert after(gone, {OUTBOX: 9}, on_partial_failure="take_down") == Done("failed", f"{YOUTUBE}: no")
    assert after(failed, {}, on_partial_failure="take_down") == Done("failed", f"{YOUTUBE}: no")
    # Asked for again, both are posted.
    again = Posts(taken={OUTBOX: 10})
    assert after(again, {OUTBOX: 9}, on_partial_failure="take_down") == Launch("publish_video", (OUTBOX, YOUTUBE))


def test_what_is_to_be_taken_down_is_and_is_not_posted_again() -> None:
    both = {OUTBOX: 9, YOUTUBE: 10}
    assert after(Posts(unwanted=["outbox", "youtube"]), both) == Launch("take_down_video", take_down="outbox")
    one = Posts(taken={OUTBOX: 11}, unwanted=["outbox"])
    assert after(one, both) == Done("done")
    all_gone = Posts(taken={OUTBOX: 11, YOUTUBE: 12}, unwanted=["outbox", "youtube"])
    assert after(all_gone, both) == Done("taken_down")
    assert after(all_gone, both | {"render": 20}) == Done("taken_down")


def test_a_platform_that_lets_nobody_take_a_post_down_is_said() -> None:
    posts = Posts(taken={OUTBOX: 11}, given_up={"take_down/youtube": "by hand"}, unwanted=["outbox", "youtube"])
    assert after(posts, {OUTBOX: 9, YOUTUBE: 10}) == Done("done", "take_down/youtube: by hand")
