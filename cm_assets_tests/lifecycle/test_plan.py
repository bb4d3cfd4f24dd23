from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import UPSTREAM, Done, Launch, Wait, missing, next_step
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
