import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cm_assets.lifecycle.catalogue import Catalogue, catalogue
from cm_assets.lifecycle.documents import RequestError, parse
from cm_assets.lifecycle.intake import Accepted, accept, fresh_key, new_id
from cm_assets.models.disk import DiskFull
from cm_assets.partitions import is_video_id
from cm_assets.settings import Settings
from cm_assets.storage.database import Database

HERE = Catalogue(voices=("af_heart",), music=("chill", "none"), clips=("dog.mp4",), topics=None)
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"voice": "af_nobody"}, "voice"),
        ({"music": "polka"}, "music"),
        ({"platforms": ["myspace"]}, "platforms"),
        ({"post": {"per_platform": {"myspace": {"title": "x"}}}}, "post.per_platform"),
        ({"publish_at": "2026-11-23T00:00:00Z"}, "publish_at"),
        ({"scenes": [{"text": "x", "clip": "cat.mp4"}]}, "scenes.0.clip"),
        ({"language": "ja"}, "language"),
        ({"tone": "dry"}, "tone: is for the writer of a topic"),
        ({"audience": "climbers"}, "audience: is for"),
        ({"brand": {"avoid": ["cheap"]}}, "brand: is for"),
        ({"platforms": ["youtube"], "post": {"title": "1 < 2"}}, "post.title: has < or >, which youtube refuses"),
        ({"platforms": ["tiktok"], "post": {"description": "x" * 2201}}, "post.description: .*tiktok takes 2200"),
        (
            {"platforms": ["youtube"], "post": {"per_platform": {"youtube": {"title": "1 < 2"}}}},
            r"post\.per_platform\.youtube\.title: has <",
        ),
        ({"platforms": ["youtube"], "post": {"category": "Cookery"}}, "post.category: 'Cookery' is none of youtube's"),
        ({"platforms": ["outbox", "youtube"], "post": {"category": "²"}}, "post.category: "),
        (
            {"platforms": ["youtube"], "post": {"category": "27", "per_platform": {"youtube": {"category": "x"}}}},
            r"post\.per_platform\.youtube\.category: 'x'",
        ),
        ({"platforms": ["tiktok"], "post": {"privacy": "unlisted"}}, "post.privacy: tiktok has no unlisted posts"),
        (
            {"platforms": ["tiktok"], "post": {"per_platform": {"tiktok": {"privacy": "unlisted"}}}},
            r"post\.per_platform\.tiktok\.privacy: tiktok has no unlisted posts",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_stored(
    database: Database, change: dict[str, object], field: str
) -> None:
    request = parse({"scenes": [{"text": "Hello"}]} | change)
    with pytest.raises(RequestError, match=field):
        accept(database, HERE, request, source="file", now=NOW)
    assert database.newest(limit=9, wanted=True) == []


@pytest.mark.parametrize(
    "change",
    [
        {"platforms": ["youtube"], "post": {"category": " science & Technology "}},
        {"platforms": ["youtube"], "post": {"category": "27", "privacy": "unlisted"}},
        {"platforms": ["youtube", "outbox"], "post": {"per_platform": {"outbox": {"category": "Cookery"}}}},
        {"platforms": ["youtube"], "post": {"category": "x", "per_platform": {"youtube": {"category": "Comedy"}}}},
        {"platforms": ["outbox"], "post": {"category": "Cookery", "privacy": "unlisted"}},
        {
            "platforms": ["tiktok", "youtube"],
            "post": {"privacy": "unlisted", "per_platform": {"tiktok": {"privacy": "private"}}},
        },
        {"platforms": ["tiktok"], "post": {"category": "Cookery", "privacy": "private"}},
    ],
)
def test_what_each_platform_takes_is_its_own_matter(database: Database, change: dict[str, object]) -> None:
    request = parse({"scenes": [{"text": "Hello"}]} | change)
    assert accept(database, HERE, request, source="file", now=NOW).stored.id


def test_who_sees_a_draft_is_chosen_in_the_app(database: Database, tmp_path: Path) -> None:
    request = parse({"scenes": [{"text": "Hello"}], "platforms": ["tiktok"], "post": {"privacy": "unlisted"}})
    assert catalogue(Settings(home=tmp_path)).drafts == ()
    inbox = replace(HERE, drafts=catalogue(Settings(home=tmp_path, tiktok_mode="inbox")).drafts)
    assert accept(database, inbox, request, source="file", now=NOW).stored.id


WITH_SERVERS = replace(HERE, engines={"hibari": ("af_heart",), "openai_speech": None, "opentts": None})


@pytest.mark.parametrize("voice", ["af_heart", "hibari:af_heart", "openai_speech:am_adam", "larynx:harvard"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_the_voices_of_a_configured_server_are_taken_at_their_word(
    database: Database, voice: str, language: str
) -> None:
    request = parse({"scenes": [{"text": "Hello"}], "voice": voice, "language": language})
    assert accept(database, WITH_SERVERS, request, source="file", now=NOW).stored.id


@pytest.mark.parametrize("voice", ["am_adam", "hibari:am_adam", "nobody"])
def test_a_bare_name_that_nobody_is_known_to_have_is_refused_with_the_way_to_say_it(
    database: Database, voice: str
) -> None:
    request = parse({"scenes": [{"text": "Hello"}], "voice": voice})
    catalogue = replace(WITH_SERVERS, engines={"hibari": ("af_heart",), "openai_speech": None})
    with pytest.raises(RequestError, match="a server is named openai_speech:NAME"):
        accept(database, catalogue, request, source="file", now=NOW)


def test_the_catalogue_asks_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_SPEECH_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("CM_OPENTTS_URL", raising=False)
    settings = Settings(home=tmp_path, voices=("openai_speech", "opentts", "hibari"), speech_voice="am_adam")
    found = catalogue(settings)
    assert found.engines == {"openai_speech": None, "hibari": ("af_heart",)}, "opentts is not configured"
    assert {"am_adam", "nova", "af_heart"} <= set(found.voices)


def test_a_topic_without_a_model_says_the_ways_on(database: Database) -> None:
    nowhere = Catalogue(voices=HERE.voices, music=HERE.music, clips=(), topics="no model; set OPENAI_BASE_URL")
    with pytest.raises(RequestError, match="OPENAI_BASE_URL"):
        accept(database, nowhere, parse({"topic": "tides"}), source="text", now=NOW)


def test_wishes_for_the_writer_of_a_topic_are_taken(database: Database) -> None:
    wishes = {"tone": "dry", "audience": "climbers", "brand": {"use": ["Alpina"]}, "budget": 0.05}
    stored = accept(database, HERE, parse({"topic": "tides"} | wishes), source="text", now=NOW).stored
    assert parse(stored.document).budget == 0.05


def test_a_budget_that_cannot_be_kept_is_refused_before_anything_is_spent(database: Database) -> None:
    unknown = replace(HERE, unpriced="the price of m is not known: set CM_PRICES")
    with pytest.raises(RequestError, match=r"budget: .*CM_PRICES"):
        accept(database, unknown, parse({"topic": "tides", "budget": 0.05}), source="text", now=NOW)
    accept(database, unknown, parse({"topic": "tides"}), source="text", now=NOW)
    accept(database, unknown, parse({"scenes": [{"text": "Hi."}], "budget": 0.05}), source="text", now=NOW)


def test_budgets_of_the_home_need_a_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:11434/v1")
    bounded = {"home": tmp_path, "openai_model": "qwen3:8b", "budget_per_day": 1}
    refused = catalogue(Settings.model_validate(bounded)).topics
    assert refused is not None
    assert 'CM_PRICES="qwen3:8b=0.25/2.00"' in refused
    assert catalogue(Settings.model_validate(bounded | {"prices": "qwen3:8b=0/0"})).topics is None
    assert catalogue(Settings.model_validate(bounded | {"budget_per_day": None})).topics is None


def test_a_repeat_finds_its_video(database: Database) -> None:
    request = parse({"topic": "tides"})
    first = accept(database, HERE, request, source="file")
    again = accept(database, HERE, request, source="file")
    assert (first.repeated, again.repeated) == (False, True)
    assert first.stored.id == again.stored.id
    other = accept(database, HERE, request, source="file", key=fresh_key())
    assert other.stored.id != first.stored.id


def test_other_content_under_the_same_key_or_id_is_refused(database: Database) -> None:
    accept(database, HERE, parse({"topic": "tides", "id": "tides"}), source="api", key="k1")
    with pytest.raises(RequestError) as caught:
        accept(database, HERE, parse({"topic": "moons"}), source="api", key="k1")
    assert caught.value.conflict
    with pytest.raises(RequestError, match="id: video tides"):
        accept(database, HERE, parse({"topic": "moons", "id": "tides"}), source="file")


def test_a_repeat_is_recognised_after_its_time_has_passed(database: Database) -> None:
    request = parse({"topic": "tides", "publish_at": "2026-11-25T00:00:00Z"})
    first = accept(database, HERE, request, source="file", now=NOW)
    later = accept(database, HERE, request, source="file", now=NOW + timedelta(days=3))
    assert later.stored.id == first.stored.id


def test_a_race_of_equal_requests_makes_one_video(database: Database) -> None:
    request = parse({"topic": "tides"})
    found: list[Accepted] = []
    start = threading.Barrier(8)

    def submit() -> None:
        start.wait()
        found.append(accept(database, HERE, request, source="file"))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.stored.id for one in found}) == 1
    assert [one.repeated for one in found].count(False) == 1
    assert len(database.newest(limit=9, wanted=True)) == 1


@pytest.mark.parametrize(
    "topic", ["AI trends 2026", "日本の歴史", "🚀🚀🚀", "../../etc/passwd", "x" * 500, "Ünïcödé & Co."]
)
def test_a_new_id_is_always_an_id(topic: str) -> None:
    assert is_video_id(new_id(parse({"topic": topic}), NOW))


def test_a_new_id_tells_what_it_is() -> None:
    assert new_id(parse({"topic": "AI trends"}), NOW).startswith("2026-11-24-ai-trends-")


def test_who_is_to_be_told_must_be_known(database: Database) -> None:
    request = parse({"topic": "tides", "notify": ["team", "ops"]})
    with pytest.raises(RequestError, match="notify: 'team' is not known; known: none, set CM_NOTIFY"):
        accept(database, HERE, request, source="file", now=NOW)
    told = replace(HERE, endpoints=("team",))
    with pytest.raises(RequestError, match="notify: 'ops' is not known; known: team"):
        accept(database, told, request, source="file", now=NOW)
    assert accept(database, replace(HERE, endpoints=("ops", "team")), request, source="file").stored.wanted
    with pytest.raises(RequestError, match="notify"):
        parse({"topic": "tides", "notify": ["No Slug"]})
    assert "notify" not in parse({"topic": "tides"}).canonical()


def test_a_full_disk_refuses_what_is_new_and_finds_what_is_there(database: Database) -> None:
    def room() -> None:
        raise DiskFull("there is no room")

    request = parse({"topic": "tides"})
    with pytest.raises(DiskFull):
        accept(database, HERE, request, source="file", room=room)
    assert database.newest(limit=9) == []
    accept(database, HERE, request, source="file")
    assert accept(database, HERE, request, source="file", room=room).repeated
    with pytest.raises(RequestError, match="voice"):  # what is wrong is said first
        accept(database, HERE, parse({"topic": "tides", "voice": "nobody"}), source="file", room=room)
