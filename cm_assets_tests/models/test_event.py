"""Events: the same id whenever the same thing is noted, the same body at each attempt."""

from datetime import UTC, datetime

from cm_assets.models.event import ENDED, EVENT_TYPES, Event

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_an_id_is_of_what_happened_and_not_of_when_it_was_noted() -> None:
    one = Event.of("a", "video.rendered", 7, NOW, {"title": "Salt"})
    assert one.id == Event.of("a", "video.rendered", 7, NOW.replace(hour=13), {"title": "Salz"}).id
    others = [
        Event.of("b", "video.rendered", 7, NOW, {}),
        Event.of("a", "video.approved", 7, NOW, {}),
        Event.of("a", "video.rendered", 8, NOW, {}),
    ]
    assert len({one.id, *(other.id for other in others)}) == 4


def test_a_body_is_as_standard_webhooks_wants_it() -> None:
    body = Event.of("a", "video.rendered", 7, NOW, {"title": "Salt"}).body()
    assert body == {
        "type": "video.rendered",
        "timestamp": "2026-11-24T12:00:00.000Z",
        "data": {"id": "a", "title": "Salt"},
    }


def test_every_end_is_an_event() -> None:
    assert set(ENDED.values()) <= set(EVENT_TYPES)
