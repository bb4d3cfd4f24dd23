"""A server on loopback that speaks the parts of the YouTube Data API that a client who uploads needs.

Written from https://developers.google.com/youtube/v3/guides/using_resumable_upload_protocol, /docs/videos/insert,
/docs/captions/insert, /docs/thumbnails/set, /docs/errors and /guides/auth/installed-apps. It holds callers to the
documented rules: bearer tokens, ranges that go on where the stored bytes end, chunks of 256 KiB, limits of texts, the
day's uploads. Faults happen to the requests that they are meant for, in the order given.

`on_event` is called at every event of the network: a request's head was read, half of its body, all of it, it was
processed, it was answered. A test that kills its client there has killed it everywhere.
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

GRAIN = 256 * 1024
"""Bytes are kept in pieces of this size."""

CLIENT_ID, CLIENT_SECRET = "client.apps.example", "client-secret-1"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request.

    Attributes:
        on: which: `open`, `put` (of bytes), `state` (of a session), `captions`, `cover`, `list`, `delete`, `token`.
        status: it is answered so, with `reason`, and not processed.
        cut: it is broken off after this share of its body; what was whole grains of an upload is kept.
        lost: it is processed, and the answer is lost.
        empty: the session has lost its bytes, and answers 308 without a range.
        gone: the session is not known any more, from after this request on.
        unlisted: so many further searches do not find what this request makes.
    """

    on: str
    status: int = 0
    reason: str = "backendError"
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: float | None = None
    lost: bool = False
    empty: bool = False
    gone: bool = False
    unlisted: int = 0


@dataclass
class Session:
    """An upload."""

    account: str
    resource: dict[str, Any]
    total: int
    stored: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    video: str = ""
    gone: bool = False


@dataclass
class Video:
    """What people see."""

    id: str
    account: str
    resource: dict[str, Any]
    sha256: str
    captions: list[bytes] = field(default_factory=list)
    cover: bytes = b""


class YouTubeServer(LoopbackServer):
    """A running server; stopped at the end of the `with` block.

    Attributes:
        url: to be given as CM_YOUTUBE_URL.
        videos: those that there are, by id.
        events: names of the network's events so far.
        opened: how many uploads were begun.
        rotates: whether a renewal gives a new refresh token, and the earlier one is refused from then on.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, uploads_a_day: int = 100) -> None:
        super().__init__(_Handler)
        self.url = self.address
        self.faults = list(faults)
        self.uploads_a_day = uploads_a_day
        self.videos: dict[str, Video] = {}
        self.deleted: list[str] = []
        self.sessions: dict[str, Session] = {}
        self.events: list[str] = []
        self.bodies: list[int] = []
        self.opened = 0
        self.rotates = False
        self.unlisted: dict[str, int] = {}
        self.forbidden: set[str] = set()
        self.on_event: Callable[[int, str], None] = lambda _index, _name: None
        self.access: dict[str, str] = {}
        self.refresh: dict[str, str] = {}
        self.codes: dict[str, tuple[str, str]] = {}
        self.unticked: set[str] = set()

    def connected(self, account: str = "channel") -> dict[str, Any]:
        """What is stored for an account that has given its consent."""
        refresh, access = f"refresh-{secrets.token_hex(8)}", f"access-{secrets.token_hex(8)}"
        self.refresh[refresh], self.access[access] = account, account
        return {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": refresh,
            "access_token": access,
            "expires_at": 4e9,
        }

    def happened(self, name: str) -> None:
        """Note an event."""
        with self.lock:
            index = len(self.events)
            self.events.append(name)
        self.on_event(index, name)

    def fault(self, on: str) -> Fault | None:
        """The next fault that is meant for such a request."""
        with self.lock:
            for fault in self.faults:
                if fault.on == on:
                    self.faults.remove(fault)
                    return fault
        return None


class _Handler(Handler):
    owner: ClassVar[YouTubeServer]

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    # -- one request

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        self._query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._kind = kind = self._kind_of(parts.path)
        self._fault = self.owner.fault(kind)
        self.owner.happened(f"{kind}: head")
        fault = self._fault
        if kind in {"put", "state"}:
            self._session(fault)
            return
        body = self._body()
        if body is None:
            return
        if fault is not None and fault.status:
            self._error(fault.status, fault.reason, fault.message, headers=fault.headers)
            return
        handle = getattr(self, f"_{kind}", None)
        if handle is None:
            self._error(404, "notFound")
            return
        with self.owner.lock:
            answer = handle(body)
        if answer is not None:
            self.owner.happened(f"{kind}: processed")
            if fault is not None and fault.lost:
                self._reset()
                return
            self._answer(*answer)

    def _kind_of(self, path: str) -> str:
        if path == "/upload/youtube/v3/videos":
            if "upload_id" not in self._query:
                return "open"
            return "state" if "*/" in self.headers.get("content-range", "") else "put"
        return {
            "/upload/youtube/v3/captions": "captions",
            "/upload/youtube/v3/thumbnails/set": "cover",
            "/youtube/v3/channels": "channels",
            "/youtube/v3/playlistItems": "list",
            "/youtube/v3/videos": {"GET": "videos", "PUT": "update", "DELETE": "delete"}.get(self.command, "unknown"),
            "/o/oauth2/v2/auth": "consent",
            "/token": "token",
        }.get(path, "unknown")

    def _body(self) -> bytes | None:
        size = int(self.headers.get("content-length", "0"))
        cut = None if self._fault is None else self._fault.cut
        wanted = size if cut is None else int(size * cut)
        body = b""
        while len(body) < wanted:
            piece = self.rfile.read(min(1 << 16, wanted - len(body)))
            if not piece:
                return None
            body += piece
        if cut is not None:
            self._reset()
            return None
        self.owner.happened(f"{self._kind}: body")
        return body

    def _account(self) -> str | None:
        account = self.owner.access.get(self.headers.get("authorization", "").removeprefix("Bearer "))
        if account is None:
            self._error(401, "authError", "Invalid Credentials")
        return account

    # -- uploads

    def _open(self, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        owner, account = self.owner, self._account()
        if account is None:
            return None
        resource = json.loads(body)
        snippet, status = resource["snippet"], resource["status"]
        tags = ",".join(f'"{tag}"' if " " in tag else tag for tag in snippet.get("tags", ()))
        wrong = ""
        if not 0 < len(snippet["title"]) <= 100 or set("<>") & set(snippet["title"]):
            wrong = "invalidTitle"
        elif len(snippet["description"].encode()) > 5000 or set("<>") & set(snippet["description"]):
            wrong = "invalidDescription"
        elif len(tags) > 500:
            wrong = "invalidTags"
        elif not snippet["categoryId"].isdigit():
            wrong = "invalidCategoryId"
        elif status["privacyStatus"] not in {"public", "unlisted", "private"}:
            wrong = "invalidVideoMetadata"
        if wrong:
            self._error(400, wrong)
            return None
        if owner.opened >= owner.uploads_a_day:
            self._error(403, "quotaExceeded")
            return None
        owner.opened += 1
        name = secrets.token_urlsafe(16)
        owner.sessions[name] = Session(account, resource, int(self.headers["x-upload-content-length"]))
        place = urlencode({"uploadType": "resumable", "upload_id": name})
        return 200, {}, {"Location": f"{owner.url}/upload/youtube/v3/videos?{place}"}

    def _session(self, fault: Fault | None) -> None:
        session = self.owner.sessions.get(self._query["upload_id"])
        if session is None or session.gone:
            self.close_connection = True
            self._error(404, "notFound")
            return
        if self.headers.get("authorization", "").removeprefix("Bearer ") not in self.owner.access:
            self.close_connection = True
            self._error(401, "authError", "Invalid Credentials")
            return
        if fault is not None and fault.status:
            self.close_connection = True
            self._error(fault.status, fault.reason, headers=fault.headers)
            return
        if fault is not None and fault.empty and not session.video:
            session.stored, session.digest = 0, hashlib.sha256()
        if self._kind == "put" and not session.video and not self._receive(session, fault):
            return
        with self.owner.lock:
            if session.stored == session.total and not session.video:
                self._finish(session, fault)
        self.owner.happened(f"{self._kind}: processed")
        if fault is not None and fault.gone:
            session.gone = True
        if fault is not None and fault.lost:
            self._reset()
            return
        if session.video:
            self._answer(201, {"id": session.video, "status": {"uploadStatus": "uploaded"}}, {})
        else:
            self._answer(308, None, {"Range": f"bytes=0-{session.stored - 1}"} if session.stored else {})

    def _receive(self, session: Session, fault: Fault | None) -> bool:
        """Store the bytes of a request; whether it came to its end."""
        first, _, last = self.headers["content-range"].removeprefix("bytes ").partition("/")[0].partition("-")
        size = int(self.headers["content-length"])
        whole = int(last) + 1 == session.total
        if int(first) != session.stored or size != int(last) - int(first) + 1 or not (whole or size % GRAIN == 0):
            self.close_connection = True
            self._error(400, "badRequest", "Failed to parse Content-Range header.")
            return False
        limit = int(size * fault.cut) if fault is not None and fault.cut is not None else size
        received, told, pending = 0, False, b""
        while received < limit:
            try:
                piece = self.rfile.read(min(1 << 16, limit - received))
            except OSError:
                piece = b""
            if not piece:
                break
            received += len(piece)
            pending += piece
            if len(pending) >= GRAIN:
                self._store(session, pending[: len(pending) // GRAIN * GRAIN])
                pending = pending[len(pending) // GRAIN * GRAIN :]
            if not told and received >= size / 2:
                told = True
                self.owner.happened("put: half of the body")
        if received < size:
            self._reset()
            return False
        self._store(session, pending)
        self.owner.bodies.append(size)
        self.owner.happened("put: body")
        return True

    @staticmethod
    def _store(session: Session, piece: bytes) -> None:
        session.stored += len(piece)
        session.digest.update(piece)

    def _finish(self, session: Session, fault: Fault | None) -> None:
        session.video = secrets.token_urlsafe(8)
        self.owner.videos[session.video] = Video(
            session.video, session.account, session.resource, session.digest.hexdigest()
        )
        if fault is not None and fault.unlisted:
            self.owner.unlisted[session.video] = fault.unlisted

    # -- what belongs to a video

    def _captions(self, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        if self._account() is None:
            return None
        boundary = self.headers["content-type"].partition("boundary=")[2]
        about, content = (part.partition(b"\r\n\r\n")[2] for part in body.split(f"--{boundary}".encode())[1:3])
        snippet = json.loads(about)["snippet"]
        video = self.owner.videos.get(snippet["videoId"])
        if video is None:
            self._error(404, "videoNotFound")
            return None
        if video.captions:
            self._error(409, "captionExists")
            return None
        video.captions.append(content.removesuffix(b"\r\n"))
        return 200, {"id": "caption", "snippet": snippet}, {}

    def _cover(self, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        if self._account() is None:
            return None
        video = self.owner.videos.get(self._query["videoId"])
        if video is None or len(body) > 2 * 1024 * 1024:
            self._error(404 if video is None else 413, "videoNotFound" if video is None else "mediaBodyTooLarge")
            return None
        if "cover" in self.owner.forbidden:
            self._error(403, "forbidden", "The authenticated user doesn't have permissions to upload thumbnails.")
            return None
        video.cover = body
        return 200, {"items": [{}]}, {}

    def _channels(self, _body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        account = self._account()
        if account is None:
            return None
        channel = {
            "id": f"UC{account}",
            "snippet": {"title": account.title(), "customUrl": f"@{account}"},
            "contentDetails": {"relatedPlaylists": {"uploads": f"UU{account}"}},
        }
        return 200, {"items": [channel]}, {}

    def _list(self, _body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        if self._account() is None:
            return None
        owner, found = self.owner, []
        for video in reversed(owner.videos.values()):
            if owner.unlisted.get(video.id, 0) > 0:
                owner.unlisted[video.id] -= 1
            elif f"UU{video.account}" == self._query["playlistId"]:
                found.append({"contentDetails": {"videoId": video.id}})
        if not owner.videos:
            self._error(404, "playlistNotFound")
            return None
        size, first = int(self._query.get("maxResults", "5")), int(self._query.get("pageToken", "0"))
        more = {"nextPageToken": str(first + size)} if len(found) > first + size else {}
        return 200, {"items": found[first : first + size]} | more, {}

    def _videos(self, _body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        if self._account() is None:
            return None
        wanted = self._query["id"].split(",")
        found = [
            {"id": video.id, "snippet": video.resource["snippet"], "status": video.resource["status"]}
            for video in self.owner.videos.values()
            if video.id in wanted
        ]
        return 200, {"items": found}, {}

    def _update(self, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        if self._account() is None:
            return None
        given = json.loads(body)
        video = self.owner.videos.get(given["id"])
        if video is None:
            self._error(404, "videoNotFound")
            return None
        video.resource["status"] |= given["status"]
        return 200, given, {}

    def _delete(self, _body: bytes) -> tuple[int, None, dict[str, str]] | None:
        if self._account() is None:
            return None
        if "delete" in self.owner.forbidden:
            self._error(403, "forbidden")
            return None
        if self.owner.videos.pop(self._query["id"], None) is None:
            self._error(404, "videoNotFound")
            return None
        self.owner.deleted.append(self._query["id"])
        return 204, None, {}

    # -- accounts

    def _consent(self, _body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        """The person says yes at once."""
        asked = self._query
        if asked["client_id"] != CLIENT_ID or asked["code_challenge_method"] != "S256" or not asked.get("state"):
            self._error(400, "invalid_request")
            return None
        code = secrets.token_urlsafe(8)
        allowed = " ".join(scope for scope in asked["scope"].split() if scope not in self.owner.unticked)
        self.owner.codes[code] = asked["code_challenge"], allowed
        back = urlencode({"code": code, "state": asked["state"]})
        return 302, {}, {"Location": f"{asked['redirect_uri']}?{back}"}

    def _token(self, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        owner = self.owner
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if (asked.get("client_id"), asked.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}, {}
        granted: dict[str, Any] = {}
        if asked["grant_type"] == "refresh_token":
            account = owner.refresh.get(asked["refresh_token"])
            if account is not None and owner.rotates:
                del owner.refresh[asked["refresh_token"]]
                granted["refresh_token"] = f"refresh-{secrets.token_hex(8)}"
                owner.refresh[granted["refresh_token"]] = account
        else:
            digest = hashlib.sha256(asked["code_verifier"].encode()).digest()
            challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
            wanted, granted["scope"] = owner.codes.pop(asked["code"], ("", ""))
            account = "channel" if wanted == challenge else None
            if account is not None:
                granted["refresh_token"] = f"refresh-{secrets.token_hex(8)}"
                owner.refresh[granted["refresh_token"]] = account
        if account is None:
            return 400, {"error": "invalid_grant"}, {}
        access = f"access-{secrets.token_hex(8)}"
        owner.access[access] = account
        return 200, granted | {"access_token": access, "expires_in": 3599, "token_type": "Bearer"}, {}

    # -- answers

    def _answer(self, status: int, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if content:
                self.send_header("Content-Type", "application/json; charset=UTF-8")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
        self.owner.happened(f"{self._kind}: answered")

    def _error(self, status: int, reason: str, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        said = {"message": message or reason, "domain": "youtube", "reason": reason}
        self._answer(status, {"error": {"code": status, "message": said["message"], "errors": [said]}}, headers or {})

    def _reset(self) -> None:
        self.reset()
        self.owner.happened(f"{self._kind}: broken off")
