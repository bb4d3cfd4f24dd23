"""Files that are handed in over HTTP: as they come, within bounds, by whoever may, once."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from cm_assets.web.house import House
from cm_assets_tests.conftest import Mp4, until
from cm_assets_tests.emulators.speech_server import encoded
from cm_assets_tests.web.conftest import Site, served

Serve = Callable[..., TestClient]


@pytest.fixture
def serve(site_with: Callable[..., Site]) -> Serve:
    """Makes a client of an app over this test's home."""
    return lambda **settings: site_with(**settings).http


def house_of(client: TestClient) -> House:
    house: House = client.app.state.house  # type: ignore[attr-defined]
    return house


def in_pieces(content: bytes, size: int = 50_000) -> Iterator[bytes]:
    """A body without Content-Length."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name]


def test_a_clip_is_kept_once_and_shown_and_removed(serve: Serve, mp4: Mp4, tmp_path: Path) -> None:
    http = serve()
    content = mp4()
    made = http.post("/uploads?name=my%20garden.mp4", content=content)
    assert made.status_code == 201, made.text
    upload = made.json()
    assert {name: upload[name] for name in ("kind", "name", "width", "height", "size")} == {
        "kind": "clip",
        "name": "my garden.mp4",
        "width": 270,
        "height": 480,
        "size": len(content),
    }
    assert upload["seconds"] == pytest.approx(2, abs=0.1)
    again = http.post("/uploads?name=another", content=in_pieces(content))
    assert (again.status_code, again.json()) == (200, upload)
    assert http.get("/uploads").json() == {"uploads": [upload], "next": None}
    assert http.get(made.headers["Location"]).json() == upload
    (kept,) = files_of(tmp_path / ".cm" / "artifacts")
    assert kept.read_bytes() == content
    assert files_of(tmp_path / ".cm" / "incoming") == []
    assert http.delete(f"/uploads/{upload['id']}").status_code == 204
    assert http.delete(f"/uploads/{upload['id']}").status_code == 404
    assert http.get("/uploads").json()["uploads"] == []
    assert files_of(tmp_path / ".cm" / "artifacts") == []


def test_pages(serve: Serve, mp4: Mp4) -> None:
    http = serve()
    ids = [http.post("/uploads", content=mp4(colour=colour)).json()["id"] for colour in ("red", "green", "blue")]
    page = http.get("/uploads?limit=2").json()
    assert [one["id"] for one in page["uploads"]] == ids[:0:-1]
    rest = http.get(f"/uploads?limit=2&cursor={page['next']}").json()
    assert ([one["id"] for one in rest["uploads"]], rest["next"]) == (ids[:1], None)
    assert http.get(f"/uploads?cursor={'0' * 32}").status_code == 404


def test_an_upload_that_an_open_request_names_stays(serve: Serve, mp4: Mp4) -> None:
    http = serve()
    upload = http.post("/uploads", content=mp4()).json()["id"]
    http.get("/uploads")
    asked = http.post("/videos", json={"scenes": [{"text": "Look.", "clip": f"upload:{upload}"}]})
    assert asked.status_code == 202, "known at once, whatever the server had looked up before"
    refused = http.delete(f"/uploads/{upload}")
    assert refused.status_code == 409
    assert asked.json()["id"] in refused.json()["detail"]
    http.post(f"/videos/{asked.json()['id']}/cancel")
    assert http.delete(f"/uploads/{upload}").status_code == 204
    gone = http.post("/videos", json={"scenes": [{"text": "Look.", "clip": f"upload:{upload}"}]})
    assert gone.status_code == 422
    assert [one["field"] for one in gone.json()["problems"]] == ["scenes.0.clip"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_large_is_refused_and_gone(serve: Serve, mp4: Mp4, tmp_path: Path, announced: bool) -> None:
    content = mp4(540, 960)
    http = serve(upload_bytes=len(content) - 1)
    refused = http.post("/uploads", content=content if announced else in_pieces(content))
    assert refused.status_code == 413, refused.text
    assert "CM_UPLOAD_BYTES" in refused.json()["detail"]
    assert refused.headers["content-type"] == "application/problem+json"
    assert files_of(tmp_path / ".cm" / "incoming") == []
    assert serve(upload_bytes=len(content)).post("/uploads", content=in_pieces(content)).status_code == 201


def test_only_uploads_may_be_so_large(serve: Serve) -> None:
    http = serve()
    body = {"scenes": [{"text": "x", "search_terms": ["y" * 100] * 10}] * 2000}
    assert http.post("/videos", json=body).status_code == 413


@pytest.mark.parametrize(
    ("content", "status", "why"),
    [
        (b"this is a text", 415, "is no video"),
        (b"#EXTM3U\nhttp://127.0.0.1:1/x.ts\n", 415, "is no video"),
        (b"PK\x03\x04" + b"\0" * 100, 415, "is no video"),
        (b"", 422, "is empty"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 400, 422, "cannot be read|no moving"),
    ],
)
def test_what_is_no_media_is_refused_with_the_reason(
    serve: Serve, tmp_path: Path, content: bytes, status: int, why: str
) -> None:
    import re

    refused = serve().post("/uploads?name=clip.mp4", content=content, headers={"Content-Type": "video/mp4"})
    assert refused.status_code == status, refused.text
    assert re.search(why, refused.json()["detail"])
    assert files_of(tmp_path / ".cm" / "incoming") == files_of(tmp_path / ".cm" / "artifacts") == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/passwd", "../../../etc/passwd"),
        ("/etc/cron.d/x", "/etc/cron.d/x"),
        ("a\0b\nc.mp4", "a b c.mp4"),
        ("-i evil.mp4", "-i evil.mp4"),
        ("file:x|pipe:1", "file:x|pipe:1"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\u202egpj.exe", "gpj.exe"),
        ("x" * 999, "x" * 255),
        ("'; drop table uploads; --", "'; drop table uploads; --"),
    ],
)
def test_a_name_is_text_and_nothing_else(serve: Serve, mp4: Mp4, tmp_path: Path, name: str, shown: str) -> None:
    http = serve()
    made = http.post("/uploads", params={"name": name}, content=mp4())
    assert made.status_code == 201, made.text
    assert made.json()["name"] == shown
    assert http.get("/uploads").json()["uploads"] == [made.json()]
    written = {path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".mp4"}
    assert written == {f"{made.json()['id'][:16]}.mp4"}


def test_a_full_disk_refuses_it_before_a_byte_is_written(serve: Serve, mp4: Mp4, tmp_path: Path) -> None:
    http = serve(min_free=10**18)
    refused = http.post("/uploads", content=mp4())
    assert refused.status_code == 507, refused.text
    assert "CM_MIN_FREE" in refused.json()["detail"]
    assert files_of(tmp_path / ".cm" / "incoming") == []


def test_what_is_handed_in_counts_for_the_bound_of_the_disk(serve: Serve, mp4: Mp4) -> None:
    content = mp4(1080, 1920)
    http = serve(max_disk=len(content))
    assert http.post("/uploads", content=content).status_code == 201
    assert house_of(http).client.disk().parts["uploads"] == len(content)
    house_of(http).client._disk._looked = 0.0
    assert http.post("/uploads", content=mp4(colour="blue")).status_code == 507


def test_scopes(serve: Serve, mp4: Mp4) -> None:
    http = serve()
    house = house_of(http)

    def token(*scopes: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {house.tokens.create('somebody', scopes)}"}

    submit, review = token("submit"), token("review")
    house.doorman.forget()
    assert http.post("/uploads", content=mp4()).status_code == 401
    assert http.post("/uploads", content=mp4(), headers=review).status_code == 403
    made = http.post("/uploads", content=mp4(), headers=submit)
    assert made.status_code == 201
    place = made.headers["Location"]
    assert [http.get(place, headers=one).status_code for one in ({}, review, submit)] == [401, 200, 200]
    assert [http.delete(place, headers=one).status_code for one in ({}, review, submit)] == [401, 403, 204]


def test_a_page_of_another_site_hands_nothing_in(serve: Serve, mp4: Mp4) -> None:
    refused = serve().post("/uploads", content=mp4(), headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403


def test_too_many_at_once_are_told_to_come_back(serve: Serve, mp4: Mp4) -> None:
    http = serve()
    house_of(http).arriving = 16
    refused = http.post("/uploads", content=mp4())
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0


def test_the_openapi_document_has_it(serve: Serve) -> None:
    paths = serve().get("/openapi.json").json()["paths"]
    assert {"post", "get"} == set(paths["/uploads"])
    body = paths["/uploads"]["post"]["requestBody"]["content"]
    assert body["application/octet-stream"]["schema"] == {"type": "string", "format": "binary"}
    assert {"201", "200", "413", "415", "422", "507"} <= set(paths["/uploads"]["post"]["responses"])


@pytest.fixture
def live(site: Site) -> Iterator[str]:
    """The address of a real server: the test client hands bodies over whole."""
    with served(site) as url:
        yield url


def test_what_comes_is_on_the_disk_before_the_rest_has_come(live: str, mp4: Mp4, tmp_path: Path) -> None:
    content = mp4(1080, 1920)
    seen: list[bool] = []

    def body() -> Iterator[bytes]:
        yield content[:1_500_000]
        there = tmp_path / ".cm" / "incoming"
        seen.append(until(lambda: sum(path.stat().st_size for path in files_of(there)) > 1_000_000, 10))
        yield content[1_500_000:]

    made = httpx.post(f"{live}/uploads", content=body(), timeout=60)
    assert made.status_code == 201, made.text
    assert seen == [True]


def test_a_connection_that_breaks_off_leaves_nothing(live: str, mp4: Mp4, tmp_path: Path) -> None:
    host, port = live.removeprefix("http://").split(":")
    content = mp4()
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /uploads HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content[: len(content) // 2])
        assert until(lambda: files_of(tmp_path / ".cm" / "incoming"), 10)
    assert until(lambda: not files_of(tmp_path / ".cm" / "incoming"), 10)
    assert httpx.get(f"{live}/uploads").json()["uploads"] == []


def test_what_a_killed_server_left_goes_when_the_next_file_comes(serve: Serve, mp4: Mp4, tmp_path: Path) -> None:
    http = serve()
    left = tmp_path / ".cm" / "incoming" / "0123.part"
    fresh = left.with_name("4567.part")
    left.parent.mkdir(parents=True)
    for path in (left, fresh):
        path.write_bytes(b"half of a")
    os.utime(left, (time.time() - 7200,) * 2)
    assert http.post("/uploads", content=mp4()).status_code == 201
    assert files_of(left.parent) == [fresh]


def test_a_recording_is_a_narration(serve: Serve) -> None:
    from cm_assets.engines.speech.hibari import Hibari

    speech = Hibari().speak("Good morning.", voice="af_heart", speed=1, language="en")
    made = serve().post("/uploads?name=take%201", content=encoded(speech, "mp3")).json()
    assert (made["kind"], made["width"], made["height"]) == ("narration", None, None)
    assert made["seconds"] == pytest.approx(len(speech.samples) / speech.sample_rate, abs=0.2)
