"""Which decision counts for which render, and what follows."""

from datetime import UTC, datetime

from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.plan import Awaiting, Launch, Rejected, next_step
from cm_assets.lifecycle.review import judge
from cm_assets.models.review import Decision, Review
from cm_assets.policies import PRODUCE

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MADE = {stage: number for number, stage in enumerate(PRODUCE, 1)}
RENDER, SHA = MADE["render"], "a" * 64
TOPIC = parse({"topic": "tides", "review": "required"})
OWN = parse({"scenes": [{"text": "Hello."}], "review": "required"})


def yes(storage_id: int, sha: str = SHA, *, void: bool = False) -> Decision:
    return Decision(storage_id=storage_id, approved=True, render_sha256=sha, by="Ada", void=void)


def no(storage_id: int, sha: str = SHA) -> Decision:
    return Decision(storage_id=storage_id, approved=False, render_sha256=sha, feedback="shorter")


def verdict(*decisions: Decision) -> str:
    return judge(RENDER, SHA, decisions).verdict


def test_the_newest_decision_about_this_render_counts() -> None:
    assert verdict() == ""
    assert verdict(yes(10)) == "approved"
    assert verdict(no(10)) == "rejected"
    assert verdict(yes(10), no(11)) == "rejected"
    assert verdict(no(11), yes(12)) == "approved"


def test_a_decision_about_another_render_counts_for_nothing() -> None:
    assert verdict(yes(10, "b" * 64)) == ""
    assert verdict(yes(10), no(11, "b" * 64)) == "approved"


def test_one_that_names_no_render_counts_for_the_newest_before_it() -> None:
    assert verdict(yes(10, "")) == "approved"
    assert verdict(yes(RENDER - 1, "")) == ""
    assert verdict(yes(10, "", void=True)) == ""
    assert verdict(yes(10, void=True)) == "approved"  # it says which render it means


def test_a_render_waits_for_its_approval_and_is_posted_after_it() -> None:
    assert next_step(TOPIC, MADE, NOW, Review()) == Awaiting()
    post = Launch("publish_video", ("published_post/outbox",))
    assert next_step(TOPIC, MADE, NOW, judge(RENDER, SHA, [yes(10)])) == post
    assert next_step(parse({"topic": "tides"}), MADE, NOW, Review()) == post


def test_a_rejection_is_answered_by_the_writer() -> None:
    review = judge(RENDER, SHA, [no(10)])
    revision = Launch("produce_video", ("script", "audio", "background_clips", "render"), answers=True)
    assert next_step(TOPIC, MADE, NOW, review) == revision
    # The new script is there, but the run was lost: the rest is made, and nobody writes again.
    assert next_step(TOPIC, MADE | {"script": 11}, NOW, review) == Launch(
        "produce_video", ("audio", "background_clips", "render")
    )


def test_an_answer_that_changes_nothing_goes_back_too() -> None:
    made = MADE | {"script": 11, "audio": 12, "background_clips": 13, "render": 14}
    assert next_step(TOPIC, made, NOW, judge(14, SHA, [no(10)])) == Rejected("shorter")
    assert next_step(TOPIC, made, NOW, judge(14, "b" * 64, [no(10)])) == Awaiting()


def test_what_people_wrote_goes_back_to_them() -> None:
    assert next_step(OWN, MADE, NOW, judge(RENDER, SHA, [no(10)])) == Rejected("shorter")


def test_there_are_so_many_revisions_and_no_more() -> None:
    older = [no(number, "c" * 64) for number in range(7, 10)]
    assert isinstance(next_step(TOPIC, MADE, NOW, judge(RENDER, SHA, [*older[:2], no(10)])), Launch)
    assert next_step(TOPIC, MADE, NOW, judge(RENDER, SHA, [*older, no(10)])) == Rejected("shorter")
    none = parse({"topic": "tides", "review": "required", "max_revisions": 0})
    assert next_step(none, MADE, NOW, judge(RENDER, SHA, [no(10)])) == Rejected("shorter")


def test_a_rejection_stops_a_video_that_needed_no_review() -> None:
    auto = parse({"scenes": [{"text": "Hello."}]})
    assert next_step(auto, MADE, NOW, judge(RENDER, SHA, [no(10)])) == Rejected("shorter")
