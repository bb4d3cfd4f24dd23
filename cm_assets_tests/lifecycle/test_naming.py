"""What requests may say of uploads, judged before anything is stored or spent."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.lifecycle.documents import RequestError, parse
from cm_assets.lifecycle.intake import accept, judge
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.upload import Upload, uploads_in
from cm_assets.storage.database import Database

NOW = datetime(2026, 11, 24, tzinfo=UTC)
REF = ArtifactRef(key="_uploads/x/y.mp4", sha256="0" * 64, size=1, media_type="video/mp4")


def an_upload(letter: str, kind: Any, seconds: float | None) -> Upload:
    side = 100 if kind == "clip" else None
    return Upload(
        id=letter * 32, kind=kind, name="", seconds=seconds, width=side, height=side, uploaded_at=NOW, file=REF
    )


KNOWN = {one.id: one for one in (an_upload("a", "clip", 4.0), an_upload("b", "narration", 6.0))}
CLIP, NARRATION, UNKNOWN = f"upload:{'a' * 32}", f"upload:{'b' * 32}", f"upload:{'c' * 32}"


def find(ids: Collection[str]) -> Mapping[str, Upload]:
    return {one: KNOWN[one] for one in ids if one in KNOWN}


HERE = Catalogue(
    voices=("af_heart", "am_adam"),
    music=("chill",),
    clips=("dog.mp4", "upload: cat.mp4"),
    topics=None,
    engines={"hibari": ("af_heart", "am_adam")},
    uploads=find,
)
WORDS = "Robots water the garden at night while everyone sleeps, and nobody has ever seen them."


def problems(**request: Any) -> list[str]:
    return [f"{one.field}: {one.message}" for one in judge(parse(request), HERE, NOW)]


@pytest.mark.parametrize(
    "request_",
    [
        {"scenes": [{"text": WORDS, "clip": CLIP}, {"text": "x", "clip": "dog.mp4"}]},
        {"scenes": [{"text": "A name of the folder's stays one.", "clip": "upload: cat.mp4"}]},
        {"scenes": [{"text": WORDS}], "narration": NARRATION},
        {"scenes": [{"text": WORDS, "clip": CLIP}], "narration": NARRATION},
        {"source_text": WORDS, "narration": NARRATION},
        {"scenes": [{"text": WORDS}], "narration": NARRATION, "voice": "af_heart", "speed": 1.0},
        # Whoever records speaks what no voice here does.
        {"scenes": [{"text": "Die Roboter gießen nachts den Garten, während alle schlafen."}]}
        | {"narration": NARRATION, "language": "de"},
    ],
)
def test_what_is_there_is_taken(request_: dict[str, Any]) -> None:
    assert problems(**request_) == []


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"scenes": [{"text": "x"}, {"text": "x", "clip": UNKNOWN}]}, "scenes.1.clip: there is no upload:cccc"),
        ({"scenes": [{"text": "x", "clip": NARRATION}]}, "is a narration and not a clip"),
        ({"scenes": [{"text": WORDS}], "narration": UNKNOWN}, "narration: there is no upload:cccc"),
        ({"scenes": [{"text": WORDS}], "narration": CLIP}, "is a clip and not a narration"),
        ({"topic": "tides", "narration": NARRATION}, "narration: needs the words that it says"),
        ({"scenes": [{"text": WORDS}], "narration": NARRATION, "voice": "am_adam"}, "voice: is heard of nobody"),
        ({"scenes": [{"text": WORDS}], "narration": NARRATION, "speed": 1.2}, "speed: changes a voice"),
        ({"source_text": WORDS, "narration": NARRATION, "target_seconds": 60}, "target_seconds: chooses"),
        ({"scenes": [{"text": WORDS}, {"text": "🎉 !"}], "narration": NARRATION}, "scenes.1.text: has no word"),
        (
            {"source_text": "夜にロボットが庭に水をやる。" * 5, "narration": NARRATION, "language": "ja"},
            "source_text: has no",
        ),
        ({"scenes": [{"text": f"{WORDS} " * 20}], "narration": NARRATION}, "narration: .*it does not say all"),
        ({"scenes": [{"text": "Hi."}], "narration": NARRATION}, "narration: .*it says more"),
    ],
)
def test_what_cannot_be_served_names_its_field(request_: dict[str, Any], said: str) -> None:
    import re

    found = problems(**request_)
    assert len(found) == 1, found
    assert re.search(said, found[0])


@pytest.mark.parametrize(
    "narration", ["upload:", "upload:../../x", f"upload:{'A' * 32}", "b" * 32, f"{NARRATION}\n", "http://x/y.mp3", 5]
)
def test_a_narration_is_an_upload_and_nothing_else(narration: object) -> None:
    with pytest.raises(RequestError, match="narration"):
        parse({"scenes": [{"text": "x"}], "narration": narration})


def test_an_upload_that_goes_between_the_look_and_the_write_is_named(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    request = parse({"scenes": [{"text": "x", "clip": CLIP}]})
    with pytest.raises(RequestError, match=r"scenes\.0\.clip: there is no upload:aaaa"):
        accept(database, HERE, request, source="test", now=NOW)
    assert database.newest(limit=9) == []
    database.dispose()


def test_nobody_is_asked_where_no_upload_is_named() -> None:
    def nobody(_ids: Collection[str]) -> Mapping[str, Upload]:
        raise AssertionError("asked")

    assert judge(parse({"scenes": [{"text": "x"}]}), replace(HERE, uploads=nobody), NOW) == []


def test_the_uploads_of_a_document_are_found_in_its_stored_form() -> None:
    request = parse({"scenes": [{"text": "x", "clip": CLIP}, {"text": "upload:" + "d" * 32}], "narration": NARRATION})
    assert uploads_in(request.canonical()) == {"a" * 32, "b" * 32}
    assert uploads_in({"title": "a tombstone", "links": {}}) == frozenset()
