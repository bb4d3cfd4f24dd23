"""The pages for people name every error after which there is no post, and no other."""

import re
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cm_assets
from cm_assets.engines.http import passing
from cm_assets.engines.platforms import tiktok, youtube
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure

DOCS = Path(cm_assets.__file__).parents[1] / "docs"
HEADING = "## Errors after which there is no post"


@pytest.mark.parametrize(("page", "final"), [("platforms.md", youtube.FINAL), ("tiktok.md", tiktok.FINAL)])
def test_the_page_has_each_final_error_once_and_no_other(page: str, final: Mapping[str, str]) -> None:
    text = (DOCS / page).read_text()
    table = text.partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(final)
    assert re.findall(r"^\| `\w+` \| *\|", table, re.MULTILINE) == [], "each says what to do"


STATUSES = st.sampled_from([200, 302, 400, 401, 403, 404, 409, 410, 413, 422, 429, 451, 500, 503])
SAID = st.text(max_size=100) | st.sampled_from(["badRequest", "invalid_publish_id", "<b>", "mediaBodyRequired"])


@given(status=STATUSES, reason=SAID)
def test_no_other_answer_is_final(status: int, reason: str) -> None:
    said = {"error": {"errors": [{"reason": reason}]}}
    if reason not in youtube.FINAL:
        assert not isinstance(youtube._failure(httpx.Response(status, json=said)), PermanentFailure)
    if reason not in tiktok.FINAL:
        assert not isinstance(tiktok._failure(httpx.Response(status), reason), PermanentFailure)


def test_what_waits_says_status_and_reason_and_nothing_else_of_a_server() -> None:
    failure = passing(httpx.Response(418), "YouTube", "teapotRequired")
    assert (type(failure), str(failure)) == (TransientFailure, "YouTube answers 418: teapotRequired")
    for said in ("<script>", "two words", "naïve", "x" * 81, ""):
        assert str(passing(httpx.Response(418), "YouTube", said)) == "YouTube answers 418"
    asked = passing(httpx.Response(503, headers={"Retry-After": "9"}), "YouTube", "busy")
    assert isinstance(asked, AskedToWait)
    assert asked.seconds == 9
