"""YouTube's client: what it says, what it refuses before anything is sent, what errors mean."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine

from cm_assets.engines.platforms.catalogue import own_name, service_of
from cm_assets.engines.platforms.oauth import Consent, Tokens, chosen
from cm_assets.engines.platforms.texts import described, hashtag
from cm_assets.engines.platforms.youtube import FINAL, LOOKS, YouTube, mark
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.clips import Credit
from cm_assets.models.days import PACIFIC, over
from cm_assets.models.post import Post, PostDraft
from cm_assets.storage.credentials import Credentials
from cm_assets.storage.database import Database
from cm_assets.storage.ledger import PostLedger
from cm_assets_tests.emulators.youtube_server import CLIENT_ID, CLIENT_SECRET, Fault, Video, YouTubeServer
from cm_assets_tests.posting import SIZE, Place


@pytest.fixture
def server() -> Iterator[YouTubeServer]:
    with YouTubeServer() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, server: YouTubeServer) -> Place:
    place = Place(tmp_path, {"youtube": server.url})
    place.connect("youtube", server.connected())
    return place


class Posting:
    """YouTube on a database of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.database = Database(place.url)
        self.taken: list[str] = []
        service = service_of("youtube", place.addresses)
        assert service is not None
        tokens = Tokens(service, Credentials(self.database, place.folder))
        self.youtube = YouTube(
            PostLedger(self.database), tokens, before_open=self.taken.append, api=place.addresses["youtube"]
        )

    def publish(self, draft: PostDraft | None = None, content: int = 1) -> Post:
        draft = draft or self.place.draft(content)
        return self.youtube.publish(draft, self.place.files(content), lambda _: None)

    def place_another_account(self, server: YouTubeServer) -> None:
        Credentials(self.database, self.place.folder).put("youtube", "another", server.connected("another"))

    def publish_in_the_end(self, content: int = 1, failures: tuple[type[Exception], ...] = (TransientFailure,)) -> Post:
        """Try again after each failure that passes, as the stage does."""
        for _ in range(8):
            with suppress(*failures):
                return self.publish(content=content)
        raise AssertionError("it does not get through")


@pytest.fixture
def posting(place: Place) -> Iterator[Posting]:
    posting = Posting(place)
    yield posting
    posting.database.dispose()


def test_the_post_says_what_the_draft_says(posting: Posting, server: YouTubeServer) -> None:
    shares: list[float] = []
    draft = posting.place.draft(privacy="unlisted", category="Education", made_for_kids=True)
    post = posting.youtube.publish(draft, posting.place.files(), shares.append)
    (video,) = server.videos.values()
    assert post.url == f"https://www.youtube.com/shorts/{video.id}"
    assert post.notes == ()
    snippet, status = video.resource["snippet"], video.resource["status"]
    assert snippet["title"] == "A robot waters the garden"
    assert snippet["description"] == (
        "It does so every morning.\n\nVideo by Ana Lima on Pexels: https://www.pexels.com/video/1/\n\n"
        "#robots #gardenWork"
    )
    assert snippet["tags"] == [mark("v", draft.video.sha256), "robots", "gardenWork"]
    assert snippet["categoryId"] == "27"
    assert status == {"privacyStatus": "unlisted", "selfDeclaredMadeForKids": True, "containsSyntheticMedia": True}
    assert video.captions == [posting.place.files()["srt"].read_bytes()]
    assert video.cover == posting.place.files()["cover"].read_bytes()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_long_and_wide_videos_are_no_shorts(posting: Posting) -> None:
    draft = posting.place.draft(width=1920, height=1080)
    assert "/watch?v=" in posting.publish(draft).url


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": "x" * 101}, "post.title"),
        ({"title": "a <b> c"}, "post.title"),
        ({"title": " "}, "post.title"),
        ({"category": "cookery"}, "post.category"),
    ],
)
def test_what_is_not_within_the_limits_is_refused_before_anything_is_sent(
    posting: Posting, server: YouTubeServer, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(PermanentFailure, match=field):
        posting.publish(posting.place.draft(**changes))
    assert server.events == []
    assert posting.taken == []


def test_texts_give_way_to_the_credits(posting: Posting, server: YouTubeServer) -> None:
    authors = tuple(
        Credit(source="pexels", author=f"Author {n}", licence="Pexels", url=f"https://www.pexels.com/video/{n}/")
        for n in range(20)
    )
    draft = posting.place.draft(
        description="é<script>" * 900, hashtags=tuple(f"tag number {n}" for n in range(60)), credits=authors
    )
    posting.publish(draft)
    (video,) = server.videos.values()
    said = video.resource["snippet"]["description"]
    assert all(credit.url in said for credit in authors if credit.url)
    assert len(said.encode()) <= 5000
    assert "é" in said
    assert not {"<", ">"} & set(said)
    assert 400 < len(",".join(video.resource["snippet"]["tags"])) <= 500


def test_hashtags_are_what_platforms_read_as_such() -> None:
    assert [hashtag(text) for text in ("AI", "#ai", "machine learning", "<b>", "2026", "Čaj o páté")] == [
        "#AI", "#ai", "#machineLearning", "#b", "", "#ČajOPáté",
    ]  # fmt: skip


def test_a_description_fits_any_limit(place: Place) -> None:
    draft = place.draft()
    for limit in range(40, 200, 7):
        assert len(described(draft, limit)) <= limit


def test_a_broken_upload_goes_on_where_it_was(posting: Posting, server: YouTubeServer) -> None:
    server.faults = [Fault("put", cut=0.7), Fault("state", status=500)]
    posting.publish_in_the_end()
    assert server.opened == 1
    assert sum(server.bodies) < SIZE / 2
    assert len(server.videos) == 1


def test_an_access_token_is_renewed_when_it_ended_or_is_refused(posting: Posting, server: YouTubeServer) -> None:
    server.access.clear()
    posting.publish()
    assert "token: answered" in server.events
    server.events.clear()
    vault = Credentials(posting.database, posting.place.folder)
    secret = vault.get("youtube", "channel")
    assert secret is not None
    vault.put("youtube", "channel", secret | {"expires_at": time.time() + 5})
    posting.publish()
    assert "token: answered" not in server.events  # the post is there: nobody has to be asked
    posting.youtube.take_down(posting.publish())
    assert "token: answered" in server.events


def test_a_token_that_ends_during_an_upload_is_renewed(posting: Posting, server: YouTubeServer) -> None:
    server.on_event = lambda _index, name: server.access.clear() if name == "open: answered" else None
    posting.publish_in_the_end()
    assert server.opened == 1
    assert len(server.videos) == 1


def test_a_withdrawn_consent_says_how_to_give_it_again(posting: Posting, server: YouTubeServer) -> None:
    server.access.clear()
    server.refresh.clear()
    with pytest.raises(PermanentFailure, match="cm connect youtube"):
        posting.publish()


def test_which_account_is_meant(posting: Posting) -> None:
    assert chosen("youtube", ["a"], "") == "a"
    assert chosen("youtube", ["a", "b"], "b") == "b"
    for accounts, wanted in ((["a", "b"], ""), (["a"], "b"), ([], "")):
        with pytest.raises(PermanentFailure):
            chosen("youtube", accounts, wanted)
    with pytest.raises(PermanentFailure, match=r"post\.account"):
        posting.publish(posting.place.draft(account="other"))


@pytest.mark.parametrize("reason", sorted(FINAL))
def test_final_errors_are_said_once_with_what_to_do(posting: Posting, server: YouTubeServer, reason: str) -> None:
    server.faults = [Fault("open", status=400, reason=reason)]
    with pytest.raises(PermanentFailure, match=reason):
        posting.publish()
    assert server.videos == {}


@pytest.mark.parametrize("on", ["open", "put", "state", "token"])
@pytest.mark.parametrize("status", [400, 402, 403, 413, 422])
def test_what_nobody_has_heard_of_is_tried_again(posting: Posting, server: YouTubeServer, on: str, status: int) -> None:
    if on == "token":
        server.access.clear()
    server.faults = [Fault("put", cut=0.5)] if on == "state" else []
    server.faults += [Fault(on, status=status, reason="neverHeardOf", message="<b>of</b> it")]
    failures = []
    for _ in range(3):
        try:
            posting.publish()
        except TransientFailure as failure:
            failures.append(str(failure))
    # What is answered in the middle of an upload can be met in the same call, which asks how far it got.
    assert len(failures) == 1 or (on == "put" and not failures)
    assert all(said.startswith(f"YouTube answers {status}") for said in failures)
    assert len(server.videos) == 1
    assert server.faults == []


def test_what_a_server_says_is_shown_if_it_is_a_word(posting: Posting, server: YouTubeServer) -> None:
    server.faults = [Fault("open", status=400, reason="<script>", message="the token is abc")]
    with pytest.raises(TransientFailure) as failure:
        posting.publish()
    assert str(failure.value) == "YouTube answers 400"


def test_a_used_up_quota_is_waited_for_until_midnight_in_california(posting: Posting, server: YouTubeServer) -> None:
    server.uploads_a_day = 0
    with pytest.raises(AskedToWait) as waits:
        posting.publish()
    assert 60 <= waits.value.seconds <= 25 * 3600 + 60
    until = datetime.now(UTC) + timedelta(seconds=waits.value.seconds)
    assert abs(until - over(datetime.now(UTC), PACIFIC)) < timedelta(seconds=30)
    server.uploads_a_day = 1
    said = "Quota exceeded for quota metric 'Video Uploads' and limit 'Video Uploads per day'"
    server.faults = [Fault("open", status=429, reason="rateLimitExceeded", message=said)]
    with pytest.raises(AskedToWait, match="midnight"):
        posting.publish()
    assert posting.publish().post_id in server.videos


def test_captions_and_cover_fail_no_post(posting: Posting, server: YouTubeServer) -> None:
    server.forbidden.add("cover")
    server.faults = [Fault("captions", status=500) for _ in range(3)]
    for _ in range(2):
        with pytest.raises(TransientFailure):
            posting.publish()
    post = posting.publish()
    assert [note.split(":")[0] for note in post.notes] == ["captions", "cover"]
    assert len(server.videos) == 1
    assert posting.publish() == post


def test_captions_wait_for_a_minute_but_not_for_midnight(posting: Posting, server: YouTubeServer) -> None:
    server.faults = [
        Fault("captions", status=429, reason="rateLimitExceeded", headers={"Retry-After": "20"}),
        Fault("cover", status=403, reason="quotaExceeded"),
    ]
    with pytest.raises(AskedToWait) as wait:
        posting.publish()
    assert wait.value.seconds == 20
    post = posting.publish()
    (video,) = server.videos.values()
    assert video.captions
    assert [note.split(":")[0] for note in post.notes] == ["cover"]
    assert "midnight in California" in post.notes[0]


def test_another_render_of_a_posted_video_is_not_posted_beside_it(posting: Posting, server: YouTubeServer) -> None:
    posting.publish()
    with pytest.raises(PermanentFailure, match="shows an earlier render"):
        posting.publish(content=2)
    assert len(server.videos) == 1


def test_an_upload_of_an_earlier_render_is_given_up_unless_it_was_whole(tmp_path: Path) -> None:
    for number, (fault, posted) in enumerate([(Fault("put", cut=0.5), 2), (Fault("put", lost=True), 1)]):
        with YouTubeServer([fault, Fault("state", status=500)]) as server:
            folder = tmp_path / str(number)
            folder.mkdir()
            place = Place(folder, {"youtube": server.url})
            place.connect("youtube", server.connected())
            posting = Posting(place)
            with pytest.raises(TransientFailure):
                posting.publish()
            if posted == 1:
                with pytest.raises(PermanentFailure, match="shows an earlier render"):
                    posting.publish_in_the_end(content=2)
            else:
                posting.publish_in_the_end(content=2, failures=(TransientFailure, AskedToWait))
            (video,) = server.videos.values()
            assert video.sha256 == place.draft(posted).video.sha256
            posting.database.dispose()


def test_an_account_without_a_channel_is_told_so(posting: Posting, server: YouTubeServer) -> None:
    server.faults = [Fault("open", status=401, reason="youtubeSignupRequired")]
    with pytest.raises(PermanentFailure, match="has no channel"):
        posting.publish()


def test_the_first_upload_of_a_channel_that_was_lost_whole_is_looked_for(
    posting: Posting, server: YouTubeServer
) -> None:
    server.faults = [Fault("put", lost=True, gone=True)]
    server.on_event = lambda _index, name: server.videos.clear() if name == "put: processed" else None
    with pytest.raises(AskedToWait):
        posting.publish_in_the_end()


def test_a_row_whose_holders_clock_was_ahead_is_free(posting: Posting) -> None:
    with posting.database.writing() as connection:
        connection.exec_driver_sql(
            "insert into posts (video_id, platform, holder, held_until) values ('v', 'youtube', 'dead', 9e9)"
        )
    posting.publish()


def test_taking_down_deletes_or_hides(posting: Posting, server: YouTubeServer) -> None:
    post = posting.publish()
    server.forbidden.add("delete")
    posting.youtube.take_down(post)
    assert server.videos[post.post_id].resource["status"]["privacyStatus"] == "private"
    server.forbidden.clear()
    posting.youtube.take_down(post)
    assert server.deleted == [post.post_id]
    posting.youtube.take_down(post)


def test_what_was_begun_comes_to_its_end_before_it_is_taken_down(posting: Posting, server: YouTubeServer) -> None:
    ledger = PostLedger(posting.database)
    assert posting.youtube.settle("v") is None
    assert ledger.begun(["v"]) == {}
    server.faults = [Fault("put", cut=0.5), Fault("state", status=500)]
    with pytest.raises(TransientFailure):
        posting.publish()
    assert ledger.begun(["v", "another"]) == {"v": ("youtube",)}
    # Bytes that were sent may still be under way.
    with pytest.raises(AskedToWait):
        posting.youtube.settle("v")
    for _ in range(5):
        with suppress(AskedToWait):
            assert posting.youtube.settle("v") is None
            break
    assert ledger.begun(["v"]) == {}


def test_a_post_that_nobody_heard_of_is_found_before_it_is_taken_down(posting: Posting, server: YouTubeServer) -> None:
    server.faults = [Fault("put", lost=True), Fault("state", status=500)]
    with pytest.raises(TransientFailure):
        posting.publish()
    post = posting.youtube.settle("v")
    assert post is not None
    assert list(server.videos) == [post.post_id]
    with PostLedger(posting.database).hold("v", "youtube") as held:
        held.note(taken_down=True)
    assert PostLedger(posting.database).begun(["v"]) == {}


def test_what_was_taken_down_is_not_posted_again(posting: Posting, server: YouTubeServer) -> None:
    posting.publish()
    with PostLedger(posting.database).hold("v", "youtube") as held:
        held.note(taken_down=True)
    with pytest.raises(PermanentFailure, match="taken down"):
        posting.publish()
    assert len(server.videos) == 1


def test_an_upload_is_counted_once_and_may_have_to_wait(posting: Posting, server: YouTubeServer) -> None:
    def full(account: str) -> None:
        raise AskedToWait(f"no upload is left for {account!r}", 3600)

    posting.youtube._before_open = full
    with pytest.raises(AskedToWait):
        posting.publish()
    assert server.events == []
    posting.youtube._before_open = posting.taken.append
    server.faults = [Fault("put", cut=0.5), Fault("state", status=500)]
    posting.publish_in_the_end()
    assert posting.taken == ["channel"]


def test_the_row_of_a_post_is_one_persons_at_a_time(posting: Posting) -> None:
    ledger = PostLedger(posting.database)
    with ledger.hold("v", "youtube") as held:
        held.note(session="https://example.org/1")
        with pytest.raises(AskedToWait) as waits, ledger.hold("v", "youtube"):
            pass
        assert waits.value.seconds <= 15
        with ledger.hold("v", "tiktok"):
            pass
        with posting.database.writing() as connection:
            connection.exec_driver_sql("update posts set held_until = 0")
        with ledger.hold("v", "youtube") as other:
            assert other.entry.session == "https://example.org/1"
            other.note(session="https://example.org/2")
            with pytest.raises(AskedToWait):
                held.note(session="https://example.org/3")
    entry = ledger.entry("v", "youtube")
    assert entry is not None
    assert entry.session == "https://example.org/2"


def test_who_read_the_time_before_the_holder_did_does_not_take_its_row(posting: Posting) -> None:
    ledger = PostLedger(posting.database)
    with ledger.hold("v", "youtube") as held, time_machine.travel(timedelta(seconds=-5), tick=True):
        with pytest.raises(AskedToWait), ledger.hold("v", "youtube"):
            pass
        held.note(session="https://example.org/1")


def test_a_person_connects_an_account_in_a_browser(posting: Posting, server: YouTubeServer) -> None:
    service = service_of("youtube", posting.place.addresses)
    assert service is not None
    consent = Consent(service, CLIENT_ID, CLIENT_SECRET)
    assert consent.redirect.startswith("http://127.0.0.1:")
    strange = httpx.get(consent.redirect, params={"code": "stolen", "state": "guessed"})
    assert "not the answer" in strange.text
    browser = threading.Thread(target=lambda: httpx.get(consent.address, follow_redirects=True))
    browser.start()
    secret = consent.secret(20)
    browser.join()
    name = own_name("youtube", secret["access_token"], posting.place.addresses)
    assert name == "@channel"
    vault = Credentials(posting.database, posting.place.folder)
    vault.put("youtube", name, secret)
    assert vault.accounts("youtube") == ["@channel", "channel"]
    posting.publish(posting.place.draft(account=name))
    assert len(server.videos) == 1


def test_a_consent_to_less_than_all_is_none(posting: Posting, server: YouTubeServer) -> None:
    service = service_of("youtube", posting.place.addresses)
    assert service is not None
    server.unticked.add(service.scopes[1])
    consent = Consent(service, CLIENT_ID, CLIENT_SECRET)
    browser = threading.Thread(target=lambda: httpx.get(consent.address, follow_redirects=True))
    browser.start()
    with pytest.raises(PermanentFailure, match="not all was allowed") as refused:
        consent.secret(20)
    browser.join()
    assert service.scopes[1] in str(refused.value)


def test_what_was_begun_with_the_only_account_stays_its_own(posting: Posting, server: YouTubeServer) -> None:
    server.faults = [Fault("put", cut=0.5), Fault("state", status=500), Fault("state", status=500)]
    with pytest.raises(TransientFailure):
        posting.publish()
    posting.place_another_account(server)
    post = posting.publish_in_the_end()
    assert post.account == "channel"
    (video,) = server.videos.values()
    assert video.account == "channel"
    posting.youtube.take_down(post)
    assert server.deleted == [video.id]


def test_an_upload_that_may_be_whole_and_is_forgotten_is_a_persons_to_look_for(
    posting: Posting, server: YouTubeServer
) -> None:
    server.faults = [Fault("put", lost=True, gone=True, unlisted=1000)]
    pauses = []
    for _ in range(LOOKS):
        with pytest.raises(AskedToWait) as waits:
            posting.publish_in_the_end()
        pauses.append(waits.value.seconds)
    assert pauses == sorted(pauses)
    assert sum(pauses) > 12 * 3600
    for _ in range(2):
        with pytest.raises(PermanentFailure, match="look in YouTube Studio"):
            posting.publish()
    assert len(server.videos) == 1
    assert server.opened == 1
    PostLedger(posting.database).begin_anew("v")
    posting.publish()
    assert server.opened == 2


def test_what_is_found_on_a_later_page_is_the_post(posting: Posting, server: YouTubeServer) -> None:
    server.faults = [Fault("put", lost=True, gone=True, unlisted=1)]
    with pytest.raises(AskedToWait):
        posting.publish_in_the_end()
    (mine,) = server.videos
    for number in range(70):
        other = {"snippet": {"tags": ["other"]}, "status": {}}
        server.videos[f"later-{number}"] = Video(f"later-{number}", "channel", other, "")
    assert posting.publish_in_the_end().post_id == mine


def test_tokens_are_sealed_and_keys_can_be_renewed(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    Credentials(database, tmp_path, old).put("youtube", "a", {"refresh_token": "of-great-value"})
    assert b"of-great-value" not in (tmp_path / "cm.sqlite").read_bytes()
    assert Credentials(database, tmp_path, f"{new},{old}").get("youtube", "a") == {"refresh_token": "of-great-value"}
    with pytest.raises(PermanentFailure, match="CM_SECRET_KEY"):
        Credentials(database, tmp_path, new).get("youtube", "a")
    with pytest.raises(PermanentFailure, match="CM_SECRET_KEY"):
        Credentials(database, tmp_path, "no key").put("youtube", "a", {})
    Credentials(database, tmp_path).put("youtube", "b", {"x": 1})
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    assert Credentials(database, tmp_path).get("youtube", "b") == {"x": 1}
    assert Credentials(database, tmp_path).remove("youtube", "b")
    assert Credentials(database, tmp_path).get("youtube", "b") is None
    database.dispose()
