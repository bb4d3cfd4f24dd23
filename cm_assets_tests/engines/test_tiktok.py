import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.engines.platforms import catalogue, tiktok
from cm_assets.engines.platforms.catalogue import Surroundings
from cm_assets.engines.platforms.oauth import Consent, Tokens
from cm_assets.engines.platforms.tiktok import CAPS, CHUNK, FINAL, TikTok, caption, next_look
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, TransientFailure
from cm_assets.models.clips import Credit
from cm_assets.models.post import LedgerEntry, Post, PostDraft
from cm_assets.resources import platforms
from cm_assets.settings import Settings
from cm_assets.storage.credentials import Credentials
from cm_assets.storage.database import Database
from cm_assets.storage.ledger import PostLedger
from cm_assets.storage.rates import Rates
from cm_assets.storage.tables import posts
from cm_assets_tests.emulators.tiktok_server import Fault, TikTokServer

SMALL, WHOLE, TWO = 40_000, 6 << 20, 2 * CHUNK + 5
"""Sizes: below TikTok's least chunk, one chunk, and two of which the last takes what is left."""


def a_draft(**changes: Any) -> PostDraft:
    ref = ArtifactRef(key="v1/render/a.mp4", sha256="a" * 64, size=5, media_type="video/mp4")
    draft = PostDraft(
        video_id="v1",
        title="Why the sea is salty",
        description="Rivers carry it there.",
        hashtags=("sea", "salt"),
        language="en",
        seconds=31.5,
        width=1080,
        height=1920,
        cover_seconds=2.4,
        video=ref,
        cover=ref,
        srt=ref,
        vtt=ref,
        ai_disclosure=True,
        credits=(Credit(source="pexels", author="Ann", url="https://pexels.com/1", licence="Pexels"),),
    )
    return draft.model_copy(update=changes)


def another_render(draft: PostDraft) -> PostDraft:
    return draft.model_copy(update={"video": draft.video.model_copy(update={"sha256": "b" * 64})})


class Desk:
    """A platform with a ledger of its own, and a video to post."""

    def __init__(self, folder: Path, server: TikTokServer, blank: Path) -> None:
        self.folder = folder
        self.database = Database(f"sqlite:///{shutil.copy(blank, folder / 'cm.sqlite')}")
        self.ledger = PostLedger(self.database)
        self.server = server
        self.taken: list[tuple[str, str]] = []

    def video(self, size: int = SMALL) -> Path:
        path = self.folder / "video.mp4"
        if not path.exists() or path.stat().st_size != size:
            unit = bytes(range(251))
            path.write_bytes((unit * (size // len(unit) + 1))[:size])
        return path

    def platform(self, **changes: Any) -> TikTok:
        given: dict[str, Any] = {
            "take": lambda service, account: self.taken.append((service, account)),
            "api": self.server.url,
        }
        return TikTok(self.ledger, lambda _account, _renewed: self.server.token(), **given | changes)

    def once(self, draft: PostDraft | None = None, size: int = SMALL, **changes: Any) -> Post:
        return self.platform(**changes).publish(draft or a_draft(), {"video": self.video(size)}, lambda _share: None)

    def publish(self, draft: PostDraft | None = None, size: int = SMALL, **changes: Any) -> Post:
        """Until there is a post, however often a wait is asked for."""
        for _ in range(40):
            try:
                return self.once(draft, size, **changes)
            except AskedToWait:
                continue
        raise AssertionError(self.server.requests)

    def entry(self) -> LedgerEntry:
        found = self.ledger.entry("v1", "tiktok")
        assert found is not None
        return found

    def asked(self, kind: str) -> list[Any]:
        return [body for name, body in self.server.requests if name == kind]


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and no rows."""
    path = tmp_path_factory.mktemp("blank") / "cm.sqlite"
    database = Database(f"sqlite:///{path}")
    database.get("nothing")
    database.dispose()
    return path


@pytest.fixture
def desk(tmp_path: Path, blank: Path) -> Iterator[Callable[..., Desk]]:
    with ExitStack() as running:

        def made(**server: Any) -> Desk:
            one = Desk(tmp_path, running.enter_context(TikTokServer(**server)), blank)
            running.callback(one.database.dispose)
            return one

        yield made


# -- posts


@pytest.mark.parametrize("size", [1, SMALL, WHOLE, CHUNK, TWO - 6, TWO, 3 * CHUNK + CHUNK // 2])
def test_a_video_of_any_size_arrives_whole_and_once(desk: Callable[..., Desk], size: int) -> None:
    one = desk()
    post = one.publish(size=size)
    (upload,) = one.server.posts
    assert upload.digest.hexdigest() == hashlib.sha256(one.video(size).read_bytes()).hexdigest()
    assert (upload.count, upload.chunk) == ((1, size) if size < 2 * CHUNK else (size // CHUNK, CHUNK))
    assert post.post_id == str(upload.post_id)
    assert post.url == f"https://www.tiktok.com/@salty.shorts/video/{upload.post_id}"
    assert one.publish(size=size) == post
    assert len(one.server.uploads) == 1


def test_what_is_said_of_a_post(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.publish()
    (asked,) = one.asked("init")
    assert asked["post_info"] == {
        "title": "Why the sea is salty\n\nRivers carry it there.\n\nVideo by Ann on Pexels: https://pexels.com/1\n\n"
        "#sea #salt",
        "privacy_level": "PUBLIC_TO_EVERYONE",
        "video_cover_timestamp_ms": 2400,
        "is_aigc": True,
        "disable_comment": False,
        "disable_duet": False,
        "disable_stitch": True,
    }


def test_a_private_post_says_so_and_leads_to_the_account_s_page(desk: Callable[..., Desk]) -> None:
    one = desk(audited=False)
    post = one.publish(a_draft(privacy="private", ai_disclosure=False))
    (asked,) = one.asked("init")
    assert (asked["post_info"]["privacy_level"], asked["post_info"]["is_aigc"]) == ("SELF_ONLY", False)
    assert post.url == "https://www.tiktok.com/@salty.shorts"
    assert post.post_id == one.server.posts[0].id


def test_the_account_s_name_is_no_part_of_the_address_s_grammar(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.server.creator["creator_username"] = "a/../b?c#d"
    assert one.publish().url.startswith("https://www.tiktok.com/@a%2F..%2Fb%3Fc%23d/video/")


def test_moderation_is_waited_for_and_holds_nothing(desk: Callable[..., Desk]) -> None:
    one = desk(moderation=12)
    waits = []
    while True:
        try:
            one.once()
            break
        except AskedToWait as wait:
            waits.append(wait.seconds)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]
    assert len(one.server.uploads) == 1


def test_a_public_post_s_id_is_waited_for(desk: Callable[..., Desk]) -> None:
    one = desk(id_after=3)
    assert one.publish().post_id == str(one.server.posts[0].post_id)


def test_moderation_without_end_leads_to_the_account_s_page(desk: Callable[..., Desk]) -> None:
    one = desk(id_after=1000)
    assert one.publish().url == "https://www.tiktok.com/@salty.shorts"


def test_a_post_is_a_post_even_if_the_account_cannot_be_asked_any_more(desk: Callable[..., Desk]) -> None:
    one = desk()
    with pytest.raises(AskedToWait):
        one.once()
    one.server.faults = [Fault("info", 403, "spam_risk_too_many_posts")]
    assert one.once().url == f"https://www.tiktok.com/@/video/{one.server.posts[0].post_id}"


def test_a_draft_ends_in_the_inbox_and_says_who_finishes_it(desk: Callable[..., Desk]) -> None:
    one = desk()
    post = one.publish(inbox=True)
    assert "finish it in the TikTok app" in post.notes[0]
    (asked,) = one.asked("init")
    assert list(asked) == ["source_info"]
    assert one.server.uploads[0].id.startswith("v_inbox")
    assert one.asked("info") == []


def test_a_draft_needs_no_more_than_the_scope_of_drafts(desk: Callable[..., Desk]) -> None:
    one = desk()
    token = one.server.token(scopes="video.upload")
    platform = TikTok(one.ledger, lambda _account, _renewed: token, api=one.server.url, inbox=True)
    with pytest.raises(AskedToWait):
        platform.publish(a_draft(), {"video": one.video()}, lambda _share: None)
    assert platform.publish(a_draft(), {"video": one.video()}, lambda _share: None).notes


def test_progress_reaches_its_end(desk: Callable[..., Desk]) -> None:
    one, told = desk(moderation=0), list[float]()
    one.platform().publish(a_draft(), {"video": one.video(TWO)}, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_no_program_takes_a_post_down_and_the_person_is_told_where_to(desk: Callable[..., Desk]) -> None:
    one = desk()
    post = one.publish()
    with pytest.raises(PermanentFailure, match=post.url):
        one.platform().take_down(post)


# -- texts


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3000),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5000),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=30),
    st.integers(0, 5),
)
def test_any_text_fits_and_keeps_its_credits(title: str, text: str, tags: list[str], people: int) -> None:
    named = tuple(
        Credit(source="pexels", author=f"Ann {number}", url=f"https://p.com/{number}", licence="x")
        for number in range(people)
    )
    said = caption(a_draft(title=title, description=text, hashtags=tuple(tags), credits=named))
    assert len(said.encode("utf-16-le")) <= 2 * 2200
    assert all(credit.author in said for credit in named)


def test_a_long_description_gives_way_to_hashtags_and_the_length_is_counted_in_utf16() -> None:
    said = caption(a_draft(description="🚀" * 3000))
    assert said.startswith("Why the sea is salty\n\n🚀")
    assert "#sea #salt" in said
    assert 2100 < len(said.encode("utf-16-le")) // 2 <= 2200


def test_a_description_that_begins_with_the_title_is_the_text() -> None:
    assert caption(a_draft(description="Why the sea is salty: rivers.", hashtags=(), credits=())) == (
        "Why the sea is salty: rivers."
    )


# -- refused before anything is begun


@pytest.mark.parametrize(
    ("draft", "creator", "said"),
    [
        (a_draft(privacy="unlisted"), {}, r"post\.privacy: tiktok has no unlisted posts"),
        (a_draft(seconds=61.0), {"max_video_post_duration_sec": 60}, r"target_seconds: .* 61\.0 s .* 60 s"),
        (a_draft(), {"privacy_level_options": ["SELF_ONLY"]}, r"post\.privacy: .* public; choose private"),
        (a_draft(), {"privacy_level_options": []}, r"post\.privacy: .* change the account's privacy"),
    ],
)
def test_what_cannot_be_posted_is_refused_before_anything_is_begun(
    desk: Callable[..., Desk], draft: PostDraft, creator: dict[str, Any], said: str
) -> None:
    one = desk()
    one.server.creator |= creator
    with pytest.raises(PermanentFailure, match=said):
        one.once(draft)
    assert one.server.uploads == []
    assert {kind for kind, _ in one.server.requests} <= {"info"}


# -- failures


@pytest.mark.parametrize("code", sorted(set(FINAL) - {"file_format_check_failed"}))
@pytest.mark.parametrize("status", [200, 403])
def test_a_final_code_is_final_whatever_the_status_of_its_answer(
    desk: Callable[..., Desk], code: str, status: int
) -> None:
    one = desk(faults=[Fault("init", status, code)])
    with pytest.raises(PermanentFailure, match=code) as failure:
        one.once()
    assert FINAL[code] in str(failure.value)
    assert one.server.uploads == []


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault("init", 500, "internal_error"), TransientFailure, "busy"),
        (Fault("init", 200, "internal"), TransientFailure, "busy"),
        (Fault("init", 502, "bad"), TransientFailure, "502"),
        (Fault("init", 429, "rate_limit_exceeded"), AskedToWait, "minute"),
        (Fault("init", 200, "rate_limit_exceeded"), AskedToWait, "minute"),
        (Fault("init", 429, "rate_limit_exceeded", {"Retry-After": "7"}), AskedToWait, "7 s"),
        (Fault("init", 400, "never_heard_of"), TransientFailure, "answers 400: never_heard_of"),
        (Fault("init", 200, "never_heard_of"), TransientFailure, "answers 200: never_heard_of"),
        (Fault("info", 403, "<script>alert(1)</script>"), TransientFailure, "answers 403"),
        (Fault("status", 404, "never_heard_of"), TransientFailure, "answers 404"),
        (Fault("upload", 401), TransientFailure, "answers 401"),
        (Fault("upload", 302), TransientFailure, "answers 302"),
        (Fault("init", cut=True), TransientFailure, "broke"),
        (Fault("init", lost=True), TransientFailure, "broke"),
        (Fault("info", 500, "internal_error"), TransientFailure, "busy"),
        (Fault("status", 503, "internal_error", {"Retry-After": "30"}), TransientFailure, "busy"),
        (Fault("upload", 500), TransientFailure, "500"),
        (Fault("upload", cut=True), TransientFailure, "broke"),
    ],
)
def test_failures_have_their_class_and_the_next_call_makes_one_post(
    desk: Callable[..., Desk], fault: Fault, kind: type[Failure], said: str
) -> None:
    one = desk(faults=[fault, fault])
    failures: list[Failure] = []
    for _ in range(8):
        try:
            one.once()
            break
        except Failure as failure:
            failures.append(failure)
    assert len(one.server.posts) == 1
    assert any(type(failure) is kind and said in str(failure) for failure in failures), failures
    assert not any("<" in str(failure) for failure in failures)


def test_an_answer_that_says_nothing_is_no_success(desk: Callable[..., Desk]) -> None:
    with pytest.raises(TransientFailure):
        raise tiktok._failure(httpx.Response(200, text="<html>"), tiktok._read(httpx.Response(200, text="<html>"))[0])


@pytest.mark.parametrize("reason", ["internal", "video_pull_failed", "something_new", ""])
def test_a_reason_that_may_pass_is_answered_with_another_upload(desk: Callable[..., Desk], reason: str) -> None:
    one = desk(reasons=[reason or "?"])
    with pytest.raises(TransientFailure):
        one.publish()
    assert one.publish().post_id == str(one.server.posts[0].post_id)
    assert len(one.server.uploads) == 2


@pytest.mark.parametrize("reason", ["file_format_check_failed", "spam_risk_text", "auth_removed", "publish_cancelled"])
def test_a_final_reason_is_final_until_a_person_asks_again(desk: Callable[..., Desk], reason: str) -> None:
    one = desk(reasons=[reason])
    with pytest.raises(PermanentFailure, match=reason):
        one.publish()
    assert one.entry().handle == ""
    assert one.publish().post_id
    assert len(one.server.posts) == 1


def test_uploads_that_come_to_nothing_are_pointed_out_and_are_no_final_error(desk: Callable[..., Desk]) -> None:
    one = desk(reasons=["internal"] * 9)
    for _ in range(5):
        with pytest.raises(TransientFailure):
            one.publish()
    with pytest.raises(TransientFailure, match="none of 5 uploads"):
        one.publish()
    assert len(one.server.uploads) == 5
    with pytest.raises(TransientFailure):
        one.publish()
    assert len(one.server.uploads) == 6


def test_an_unaudited_app_is_told_what_to_do(desk: Callable[..., Desk]) -> None:
    with pytest.raises(PermanentFailure, match=r"audited the app.*post\.privacy"):
        desk(audited=False).once()


def test_a_token_that_ended_is_renewed_once(desk: Callable[..., Desk]) -> None:
    one = desk()
    asked: list[bool] = []

    def token(_account: str, renewed: bool) -> str:
        asked.append(renewed)
        return one.server.token() if renewed else "act.old"

    with pytest.raises(AskedToWait):
        TikTok(one.ledger, token, api=one.server.url).publish(a_draft(), {"video": one.video()}, lambda _share: None)
    assert asked[:4] == [False, True, False, True]


def test_a_token_that_is_refused_twice_ends_it(desk: Callable[..., Desk]) -> None:
    one = desk()
    platform = TikTok(one.ledger, lambda _account, _renewed: "act.no", api=one.server.url)
    with pytest.raises(PermanentFailure, match="cm connect tiktok"):
        platform.publish(a_draft(), {"video": one.video()}, lambda _share: None)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("upload", 500),
        Fault("upload", 401),
        Fault("upload", 302),
        Fault("upload", cut=True),
        Fault("init", cut=True),
    ],
)
def test_no_failure_says_where_the_bytes_go(
    desk: Callable[..., Desk], fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    one = desk(faults=[fault, fault])
    with caplog.at_level("INFO"), pytest.raises(Failure) as failure:
        one.once()
    for said in (str(failure.value), caplog.text):
        assert "upload_token" not in said
        assert "http://" not in said
        assert "act." not in said


# -- uploads that break off


def test_an_upload_goes_on_at_the_chunk_where_it_broke_off(desk: Callable[..., Desk]) -> None:
    one = desk(faults=[Fault("upload"), Fault("upload", 500), Fault("upload", 500)])
    with pytest.raises(TransientFailure):
        one.once(size=TWO)
    one.publish(size=TWO)
    ranges = [f"bytes 0-{CHUNK - 1}/{TWO}", *[f"bytes {CHUNK}-{TWO - 1}/{TWO}"]]
    assert one.asked("upload") == ranges
    assert len(one.server.uploads) == 1


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("lag", [0, 3])
@pytest.mark.parametrize("size", [SMALL, TWO])
def test_an_answer_that_is_lost_after_the_last_chunk_makes_no_second_post(
    desk: Callable[..., Desk], counts: bool, lag: int, size: int
) -> None:
    one = desk(faults=[*[Fault("upload")] * (size // CHUNK - 1), Fault("upload", lost=True)])
    one.server.counts, one.server.lag = counts, lag
    for _ in range(20):
        try:
            one.once(size=size)
            break
        except (AskedToWait, TransientFailure):
            continue
    assert one.publish(size=size).post_id
    assert len(one.server.uploads) == 1


def test_an_address_that_ended_before_the_last_chunk_is_answered_with_another_upload(
    desk: Callable[..., Desk],
) -> None:
    one = desk(faults=[Fault("upload"), Fault("upload", cut=True), Fault("upload", cut=True)])
    with pytest.raises(TransientFailure):
        one.once(size=TWO)
    # As if the process had died before it came to the last chunk.
    with one.ledger.hold("v1", "tiktok") as held:
        held.note(done=(), bytes_sent=CHUNK)
    one.server.end_addresses()
    one.publish(size=TWO)
    assert len(one.server.uploads) == 2
    assert len(one.server.posts) == 1


def test_an_address_that_ended_while_the_last_chunk_was_under_way_is_looked_at_more_than_once(
    desk: Callable[..., Desk],
) -> None:
    one = desk(faults=[Fault("upload", cut=True), Fault("upload", cut=True)])
    with pytest.raises(TransientFailure):
        one.once()
    one.server.end_addresses()
    for _ in range(3):
        with pytest.raises(AskedToWait) as wait:
            one.once()
        assert wait.value.seconds == 300
        assert len(one.server.uploads) == 1
    one.publish()
    assert (len(one.server.uploads), len(one.server.posts)) == (2, 1)


def test_an_upload_that_tiktok_forgot_is_begun_anew_only_if_it_was_never_whole(desk: Callable[..., Desk]) -> None:
    one = desk(faults=[Fault("upload", cut=True), Fault("upload", cut=True)])
    with pytest.raises(TransientFailure):
        one.once()
    forgotten = one.server.uploads.pop()
    with pytest.raises(PermanentFailure, match="look at the account"):
        one.once()
    assert one.server.uploads == []
    with one.ledger.hold("v1", "tiktok") as held:
        held.note(done=(), bytes_sent=0)
    assert one.publish().post_id != str(forgotten.post_id)


def test_another_account_s_upload_is_not_taken_for_forgotten(desk: Callable[..., Desk]) -> None:
    one = desk(moderation=3)
    with pytest.raises(AskedToWait):
        one.once()
    other = TikTok(one.ledger, lambda _account, _renewed: one.server.token("else"), api=one.server.url)
    with pytest.raises(PermanentFailure, match="connect that one again"):
        other.publish(a_draft(), {"video": one.video()}, lambda _share: None)
    assert one.publish().post_id
    assert len(one.server.uploads) == 1


def test_who_has_lost_the_row_sends_nothing_more_of_a_chunk(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiktok, "HELD_EVERY", 0.0)
    one = desk()
    with ExitStack() as other:

        def take_over(_index: int, name: str) -> None:
            if name == "upload half":  # 8 MB are to come, more than there can be on the way
                with one.database.writing() as connection:
                    connection.execute(posts.update().values(held_until=0))
                other.enter_context(one.ledger.hold("v1", "tiktok"))

        one.server.on_event = take_over
        with pytest.raises(AskedToWait, match="another process"):
            one.once(size=2 * CHUNK - 1)
    assert one.server.uploads[0].stored == 0


def test_bytes_that_tiktok_has_lost_are_sent_again(desk: Callable[..., Desk]) -> None:
    one = desk(faults=[Fault("upload"), Fault("upload", cut=True), Fault("upload", cut=True)])
    with pytest.raises(TransientFailure):
        one.once(size=TWO)
    one.server.uploads[0].stored, one.server.uploads[0].digest = 0, hashlib.sha256()
    one.server.faults = [Fault("upload", lost=True)]
    with pytest.raises(TransientFailure):
        one.once(size=TWO)
    one.publish(size=TWO)
    (upload,) = one.server.uploads
    assert upload.digest.hexdigest() == hashlib.sha256(one.video(TWO).read_bytes()).hexdigest()


# -- another render


def test_the_post_of_an_earlier_render_stays_and_no_second_one_is_made(desk: Callable[..., Desk]) -> None:
    one = desk(moderation=2)
    with pytest.raises(AskedToWait):
        one.once()
    with pytest.raises(PermanentFailure, match="earlier render"):
        one.publish(another_render(a_draft()))
    assert len(one.server.posts) == 1


def test_an_earlier_render_that_never_became_whole_gives_way(desk: Callable[..., Desk]) -> None:
    one = desk(faults=[Fault("upload", cut=True), Fault("upload", cut=True)])
    with pytest.raises(TransientFailure):
        one.once(size=TWO)
    post = one.publish(another_render(a_draft()))
    assert post.render_sha256 == "b" * 64
    assert (len(one.server.uploads), len(one.server.posts)) == (2, 1)


def test_an_earlier_render_that_failed_gives_way(desk: Callable[..., Desk]) -> None:
    one = desk(reasons=["file_format_check_failed"], moderation=3)
    with pytest.raises(PermanentFailure, match="file_format"):
        one.once()
    assert one.publish(another_render(a_draft())).render_sha256 == "b" * 64


# -- what was begun and is not wanted any more


def test_what_is_at_work_is_waited_for_and_then_it_is_a_post(desk: Callable[..., Desk]) -> None:
    one = desk(moderation=2)
    with pytest.raises(AskedToWait):
        one.once()
    with pytest.raises(AskedToWait):
        one.platform().settle("v1")
    post = one.platform().settle("v1")
    assert post is not None
    assert post.post_id == str(one.server.posts[0].post_id)
    assert one.platform().settle("v1") == post


def test_what_never_became_whole_is_let_go(desk: Callable[..., Desk]) -> None:
    one = desk(faults=[Fault("upload", cut=True), Fault("upload", cut=True)])
    with pytest.raises(TransientFailure):
        one.once(size=TWO)
    assert one.ledger.begun(["v1"]) == {"v1": ("tiktok",)}
    assert one.platform().settle("v1") is None
    assert one.ledger.begun(["v1"]) == {}
    assert one.server.posts == []


def test_what_was_taken_down_is_not_begun_anew(desk: Callable[..., Desk]) -> None:
    one = desk()
    with one.ledger.hold("v1", "tiktok") as held:
        held.note(taken_down=True)
    with pytest.raises(PermanentFailure, match="taken down"):
        one.once()
    assert one.server.requests == []


# -- limits


def test_calls_are_counted_by_account_as_tiktok_counts_them(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.publish(named=lambda _account: "main")
    assert one.taken == [
        *[("tiktok_info", "main"), ("tiktok", "main"), ("tiktok_status", "main"), ("tiktok_status", "main")],
        ("tiktok_info", "main"),
    ]
    assert one.entry().account == "main"
    assert one.publish().account == "main"


def test_the_seventh_post_of_a_minute_waits_here_and_the_sixteenth_of_a_day(tmp_path: Path) -> None:
    rates = Rates(f"sqlite:///{tmp_path / 'r.sqlite'}", Settings(home=tmp_path).rates)
    for _ in range(6):
        rates.take("tiktok", "main")
    with pytest.raises(AskedToWait) as wait:
        rates.take("tiktok", "main")
    assert wait.value.seconds <= 60
    rates.take("tiktok", "other")
    daily = Settings(home=tmp_path).rates["tiktok"][1:]
    a_day = Rates(f"sqlite:///{tmp_path / 'd.sqlite'}", {"tiktok": daily})
    for _ in range(15):
        a_day.take("tiktok", "main")
    with pytest.raises(AskedToWait) as wait:
        a_day.take("tiktok", "main")
    assert wait.value.seconds > 80_000


def test_tiktok_s_own_limits_are_waits_and_not_failures(desk: Callable[..., Desk]) -> None:
    one = desk()
    for number in range(6):
        one.publish(a_draft(video_id=f"v{number + 10}"))
    with pytest.raises(AskedToWait, match="minute"):
        one.once(a_draft(video_id="v99"))
    assert len(one.server.uploads) == 6


def test_the_daily_posts_of_an_account_are_waited_for(desk: Callable[..., Desk]) -> None:
    one = desk(limited=False)
    for number in range(15):
        one.publish(a_draft(video_id=f"v{number + 10}"))
    with pytest.raises(AskedToWait, match="as often as TikTok lets it"):
        one.once(a_draft(video_id="v99"))
    assert len(one.server.posts) == 15
    one.server.uploads.clear()  # a day later
    assert one.publish(a_draft(video_id="v99")).post_id


def test_full_inboxes_are_waited_for_until_somebody_finishes_drafts(desk: Callable[..., Desk]) -> None:
    one = desk(limited=False)
    for number in range(5):
        one.publish(a_draft(video_id=f"v{number + 10}"), inbox=True)
    with pytest.raises(AskedToWait, match="finish or delete some"):
        one.once(a_draft(video_id="v99"), inbox=True)
    one.server.uploads.pop(0)
    assert one.publish(a_draft(video_id="v99"), inbox=True).notes


@pytest.mark.parametrize("code", sorted(CAPS))
@pytest.mark.parametrize("status", [200, 403])
def test_limits_that_end_are_waited_for_and_all_wait_for_the_same_time(
    desk: Callable[..., Desk], code: str, status: int
) -> None:
    one = desk(faults=[Fault("init", status, code), Fault("info", status, code)])
    for _ in range(2):
        with pytest.raises(AskedToWait, match=r"asked again at \d\d:01 UTC") as wait:
            one.once()
        until = datetime.now(UTC) + timedelta(seconds=wait.value.seconds)
        assert abs(until - next_look(datetime.now(UTC))) < timedelta(seconds=30)
    assert one.publish().post_id


@pytest.mark.parametrize("code", sorted(CAPS))
def test_an_upload_that_failed_for_such_a_limit_is_made_again_however_often(
    desk: Callable[..., Desk], code: str
) -> None:
    one = desk(reasons=[code] * 7, limited=False)
    waits = 0
    while not one.server.posts:
        try:
            one.once()
        except AskedToWait as wait:
            waits += CAPS[code] in str(wait)
    assert waits == 7
    assert one.publish().post_id == str(one.server.posts[0].post_id)


@pytest.mark.parametrize(
    ("now", "then"),
    [((0, 0), (3, 1)), ((2, 59), (3, 1)), ((3, 0), (6, 1)), ((3, 1), (6, 1)), ((20, 59), (21, 1)), ((23, 30), (24, 1))],
)
def test_who_waits_for_the_end_of_a_limit_looks_at_the_same_time_as_all_others(
    now: tuple[int, int], then: tuple[int, int]
) -> None:
    day = datetime(2026, 11, 24, tzinfo=UTC)
    moment = day + timedelta(hours=now[0], minutes=now[1])
    assert next_look(moment) == day + timedelta(hours=then[0], minutes=then[1])
    assert next_look(moment.astimezone(ZoneInfo("Asia/Kathmandu"))) == next_look(moment)


# -- accounts


def allow(consent: Consent) -> None:
    answer = httpx.get(consent.address)
    assert answer.status_code == 302, answer.text
    assert httpx.get(answer.headers["location"]).status_code == 200


def test_an_account_is_connected_and_its_tokens_are_renewed(desk: Callable[..., Desk], tmp_path: Path) -> None:
    one = desk()
    service = tiktok.service({"tiktok": one.server.url})
    consent = Consent(service, one.server.client_key, one.server.client_secret)
    allow(consent)
    secret = consent.secret(10)
    assert secret["scope"] == "user.info.basic,video.publish,video.upload"
    addresses = {"tiktok": one.server.url}
    assert catalogue.own_name("tiktok", secret["access_token"], addresses) == "salty.shorts"
    vault = Credentials(one.database, tmp_path)
    vault.put("tiktok", "main", secret)
    surroundings = Surroundings(one.ledger, vault, tmp_path, addresses={"tiktok": one.server.url})
    one.server.end_tokens()
    with pytest.raises(AskedToWait):
        catalogue.platform_of("tiktok", surroundings).publish(a_draft(), {"video": one.video()}, lambda _share: None)
    renewed = vault.get("tiktok", "main")
    assert renewed is not None
    assert renewed["refresh_token"] != secret["refresh_token"]
    post = catalogue.platform_of("tiktok", surroundings).publish(a_draft(), {"video": one.video()}, lambda _share: None)
    assert post.account == "main"
    vault.put("tiktok", "main", secret | {"expires_at": 0})
    with pytest.raises(PermanentFailure, match="cm connect tiktok"):
        Tokens(service, vault)("main")


def test_the_usual_addresses_are_tiktok_s() -> None:
    service = tiktok.service({})
    assert service.authorize_url == "https://www.tiktok.com/v2/auth/authorize/"
    assert service.token_url == "https://open.tiktokapis.com/v2/oauth/token/"
    assert "tiktok" in catalogue.connectable()


def test_the_mode_comes_from_the_settings(desk: Callable[..., Desk], tmp_path: Path) -> None:
    one = desk(moderation=0)
    settings = Settings(home=tmp_path, tiktok_url=one.server.url, tiktok_mode="inbox")
    vault = Credentials(one.database, tmp_path)
    vault.put("tiktok", "main", {"access_token": one.server.token(), "expires_at": 1e12})
    post = platforms(settings).named("tiktok", one.database)
    assert post.publish(a_draft(), {"video": one.video()}, lambda _share: None).notes
    assert json.dumps(one.asked("init")[0]).find("post_info") < 0


def test_an_account_must_be_named_where_there_are_two(desk: Callable[..., Desk], tmp_path: Path) -> None:
    one = desk()
    vault = Credentials(one.database, tmp_path)
    for name in ("main", "other"):
        vault.put("tiktok", name, {"access_token": one.server.token(name), "expires_at": 1e12})
    surroundings = Surroundings(one.ledger, vault, tmp_path, addresses={"tiktok": one.server.url})
    platform = catalogue.platform_of("tiktok", surroundings)
    with pytest.raises(PermanentFailure, match=r"post\.account"):
        platform.publish(a_draft(), {"video": one.video()}, lambda _share: None)
    with pytest.raises(AskedToWait):
        platform.publish(a_draft(account="other"), {"video": one.video()}, lambda _share: None)
    assert one.server.uploads[0].owner == "other"
    # What was begun with an account is ended with it, whatever is asked for meanwhile.
    assert platform.publish(a_draft(account="main"), {"video": one.video()}, lambda _share: None).account == "other"


def test_an_entry_shows_nobody_the_address_after_the_end(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.publish()
    assert replace(one.entry()).session == ""
