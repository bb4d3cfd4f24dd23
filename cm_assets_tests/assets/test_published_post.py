from datetime import UTC, datetime, timedelta

import pytest

from cm_assets.assets.published_post import _late
from cm_assets.lifecycle.documents import parse
from cm_assets.models.brief import Brief
from cm_assets.models.post import Post

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("due", "late"),
    [(None, {}), (NOON, {}), (NOON - timedelta(hours=2), {"late by": "120 minutes"})],
)
def test_a_post_that_missed_its_time_says_by_how_much(due: datetime | None, late: dict[str, str]) -> None:
    request = parse({"topic": "tides"} | ({} if due is None else {"publish_at": due.isoformat()}))
    post = Post(platform="outbox", post_id="v", url="file:///v", render_sha256="a" * 64, published_at=NOON)
    assert _late(Brief(video_id="v", request=request), post) == late
