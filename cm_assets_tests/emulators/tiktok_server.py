"""A server on loopback that speaks TikTok's Content Posting API and OAuth as documented, with their limits and faults.

Written from https://developers.tiktok.com/doc/: content-posting-api-reference-direct-post, -upload-video,
-query-creator-info and -get-video-status, content-posting-api-media-transfer-guide, tiktok-api-v2-error-handling,
login-kit-desktop and oauth-user-access-token-management.

    with TikTokServer(faults=[Fault("init", 500, "internal_error"), Fault("upload", lost=True)]) as server:
        TikTok(ledger, lambda account, renewed: server.token(), api=server.url)

What happens on the network is told to `on_event` in the moment that it happens, so that a test can end the caller
there: `head`, `half` and `read` of a request, `processed` before the answer goes, `answered`.
"""

import hashlib
import itertools
import json
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from cm_assets_tests.emulators.loopback import Handler, Listener, LoopbackServer

MB = 1_000_000
LEAST, MOST, MOST_LAST, MOST_CHUNKS = 5 * 1024 * 1024, 64 * MB, 128 * MB, 1000
"""Bytes of a chunk but the last, of the last, and how many there may be: the stricter meanings of 5, 64 and 128 MB."""

RATES: Mapping[str, int] = {"init": 6, "info": 20, "status": 30}
"""Calls a minute for each access token."""

POSTS_A_DAY, PENDING_SHARES = 15, 5

_STATUS = {
    "rate_limit_exceeded": 429,
    "access_token_invalid": 401,
    "scope_not_authorized": 401,
    "invalid_params": 400,
    "invalid_publish_id": 400,
    "internal_error": 500,
}
_PATHS = {
    "/v2/post/publish/creator_info/query/": "info",
    "/v2/post/publish/video/init/": "init",
    "/v2/post/publish/inbox/video/init/": "init",
    "/v2/post/publish/status/fetch/": "status",
    "/v2/oauth/token/": "token",
    "/v2/auth/authorize/": "authorize",
}


@dataclass(frozen=True)
class Fault:
    """One answer that is not the usual one.

    Attributes:
        at: the kind of request: `info`, `init`, `upload`, `status`, `token`; empty for any.
        status, code: answered instead of doing it.
        headers: of that answer.
        lost: it is done, and the connection is reset instead of an answer.
        cut: the connection is reset when half of the request has come, and nothing is done.
    """

    at: str = ""
    status: int = 0
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    cut: bool = False


@dataclass
class Upload:
    """What was begun."""

    id: str
    owner: str
    key: str
    size: int
    chunk: int
    count: int
    info: Mapping[str, Any] | None
    stored: int = 0
    expired: bool = False
    failed: str = ""
    looks: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    @property
    def whole(self) -> bool:
        """Whether all bytes came, which is what makes it a post."""
        return self.stored == self.size

    @property
    def post_id(self) -> int:
        return 7_000_000_000_000_000_000 + int(hashlib.sha256(self.id.encode()).hexdigest()[:12], 16)


class _Refused(Exception):
    def __init__(self, code: str, status: int | None = None) -> None:
        super().__init__(code)
        self.code, self.status = code, status or _STATUS.get(code, 403)


class TikTokServer(LoopbackServer):
    """A running server; stopped at the end of the `with` block.

    Attributes:
        url: takes the place of all of TikTok's addresses.
        uploads: that were begun.
        creator: what creator_info says.
        moderation: status calls until a whole upload is posted.
        id_after: status calls from then on until the public id is told.
        reasons: with which the next whole uploads fail.
        counts: whether the status says how many bytes came.
        lag: status calls that still tell the state before the newest chunk.
        events: what happened on the network.
        access, refresh: the tokens that are taken. A refresh token is taken once: its renewal gives another one.
        expires_in: seconds for which an access token is given.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        on_event: Callable[[int, str], None] = lambda _index, _name: None,
        moderation: int = 1,
        id_after: int = 0,
        reasons: Iterable[str] = (),
        limited: bool = True,
        audited: bool = True,
    ) -> None:
        super().__init__(_Handler, _Listener)
        self.url = self.address
        self.faults = list(faults)
        self.on_event = on_event
        self.moderation, self.id_after = moderation, id_after
        self.reasons = list(reasons)
        self.limited, self.audited = limited, audited
        self.counts = True
        self.lag = 0
        self.expires_in = 86400
        self.uploads: list[Upload] = []
        self.events: list[str] = []
        self.requests: list[tuple[str, Any]] = []
        self.client_key, self.client_secret = "awkey", "s3cret"
        self.creator: dict[str, Any] = {
            "creator_avatar_url": "https://p16.tiktokcdn.com/a.jpeg",
            "creator_username": "salty.shorts",
            "creator_nickname": "Salty Shorts",
            "privacy_level_options": ["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"],
            "comment_disabled": False,
            "duet_disabled": False,
            "stitch_disabled": True,
            "max_video_post_duration_sec": 300,
        }
        self._numbers = itertools.count()
        self.access: dict[str, tuple[str, set[str]]] = {}
        self.refresh: dict[str, tuple[str, str]] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._calls: dict[tuple[str, str], deque[float]] = {}

    @property
    def posts(self) -> list[Upload]:
        """What people see, or will see after moderation."""
        return [upload for upload in self.uploads if upload.whole and not upload.failed]

    def token(self, owner: str = "someone", scopes: str = "user.info.basic,video.publish,video.upload") -> str:
        """An access token of an account."""
        found = "act." + hashlib.sha256(f"{owner} {scopes}".encode()).hexdigest()[:24]
        self.access[found] = owner, set(scopes.split(","))
        return found

    def consent(
        self, owner: str = "someone", scopes: str = "user.info.basic,video.publish,video.upload"
    ) -> dict[str, str]:
        """The tokens of an account that has given its consent."""
        access, refresh = "act." + secrets.token_hex(12), "rft." + secrets.token_hex(12)
        self.access[access] = owner, set(scopes.split(","))
        self.refresh[refresh] = owner, scopes
        return {"access_token": access, "refresh_token": refresh}

    def end_tokens(self) -> None:
        """All access tokens end."""
        self.access.clear()

    def end_addresses(self) -> None:
        """All upload addresses end, as they do after an hour."""
        for upload in self.uploads:
            upload.expired = True

    # -- what happens

    def event(self, name: str) -> None:
        with self.lock:
            index = len(self.events)
            self.events.append(name)
        self.on_event(index, name)

    def fault(self, kind: str) -> Fault:
        with self.lock:
            for place, fault in enumerate(self.faults):
                if fault.at in {"", kind}:
                    return self.faults.pop(place)
        return Fault()

    def called(self, kind: str, authorization: str, body: Any, *, inbox: bool) -> dict[str, Any]:
        """The data of a call of the API.

        Raises:
            _Refused: with the error's code.
        """
        with self.lock:
            self.requests.append((kind, body))
            token = authorization.removeprefix("Bearer ")
            if token not in self.access:
                raise _Refused("access_token_invalid")
            owner, scopes = self.access[token]
            self._count(kind, token)
            if kind == "status":
                return self._status(owner, body)
            if ("video.upload" if inbox else "video.publish") not in scopes:
                raise _Refused("scope_not_authorized")
            if kind == "init":
                return self._init(owner, body, inbox=inbox)
            self._refuse_too_many(owner)
            return dict(self.creator)

    def _count(self, kind: str, token: str) -> None:
        calls = self._calls.setdefault((kind, token), deque())
        while calls and calls[0] < time.monotonic() - 60:
            calls.popleft()
        if self.limited and len(calls) >= RATES[kind]:
            raise _Refused("rate_limit_exceeded")
        calls.append(time.monotonic())

    def _refuse_too_many(self, owner: str) -> None:
        if len([one for one in self.posts if one.owner == owner and one.info is not None]) >= POSTS_A_DAY:
            raise _Refused("spam_risk_too_many_posts")

    def _init(self, owner: str, body: Mapping[str, Any], *, inbox: bool) -> dict[str, Any]:
        source, info = body.get("source_info") or {}, None if inbox else body.get("post_info")
        if not inbox:
            self._refuse_too_many(owner)
            self._check_info(info or {})
        elif len([one for one in self.posts if one.owner == owner and one.info is None]) >= PENDING_SHARES:
            raise _Refused("spam_risk_too_many_pending_share")
        size, chunk, count = (source.get(name, 0) for name in ("video_size", "chunk_size", "total_chunk_count"))
        last = size - chunk * (count - 1)
        fits = (
            source.get("source") == "FILE_UPLOAD"
            and chunk > 0
            and count == size // chunk
            and 1 <= count <= MOST_CHUNKS
            and chunk <= MOST
            and last <= MOST_LAST
            and (chunk >= LEAST or (chunk == size and count == 1))
        )
        if not fits:
            raise _Refused("invalid_params")
        id_ = ("v_inbox_file~v2." if inbox else "v_pub_file~v2-1.") + str(7_100_000_000 + next(self._numbers))
        upload = Upload(id_, owner, secrets.token_urlsafe(9), size, chunk, count, info)
        self.uploads.append(upload)
        address = f"{self.url}/video/?upload_id={len(self.uploads)}&upload_token={upload.key}"
        return {"publish_id": upload.id, "upload_url": address}

    def _check_info(self, info: Mapping[str, Any]) -> None:
        title, privacy = info.get("title", ""), info.get("privacy_level")
        flags = ("disable_comment", "disable_duet", "disable_stitch", "is_aigc")
        if not isinstance(title, str) or len(title.encode("utf-16-le")) > 2 * 2200 or privacy is None:
            raise _Refused("invalid_params")
        if not all(isinstance(info.get(flag, False), bool) for flag in flags):
            raise _Refused("invalid_params")
        if privacy not in self.creator["privacy_level_options"]:
            raise _Refused("privacy_level_option_mismatch")
        if not self.audited and privacy != "SELF_ONLY":
            raise _Refused("unaudited_client_can_only_post_to_private_accounts")

    def _status(self, owner: str, body: Mapping[str, Any]) -> dict[str, Any]:
        upload = next((one for one in self.uploads if one.id == body.get("publish_id")), None)
        if upload is None:
            raise _Refused("invalid_publish_id")
        if upload.owner != owner:
            raise _Refused("token_not_authorized_for_specified_publish_id", 403)
        data: dict[str, Any] = {"status": "PROCESSING_UPLOAD", "publicaly_available_post_id": []}
        if self.counts:
            data["uploaded_bytes"] = upload.stored
        if upload.failed:
            return data | {"status": "FAILED", "fail_reason": upload.failed}
        if not upload.whole:
            return data
        upload.looks += 1
        if self.counts and upload.looks <= self.lag:
            return data | {"uploaded_bytes": 0}
        if upload.looks <= self.moderation + self.lag:
            return data
        if upload.info is None:
            return data | {"status": "SEND_TO_USER_INBOX"}
        is_told = upload.info["privacy_level"] == "PUBLIC_TO_EVERYONE" and (
            upload.looks > self.moderation + self.lag + self.id_after
        )
        return data | {
            "status": "PUBLISH_COMPLETE",
            "publicaly_available_post_id": [upload.post_id] if is_told else [],
        }

    def put(self, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Take a chunk; the status and the range that is there."""
        with self.lock:
            self.requests.append(("upload", headers.get("Content-Range")))
            number = int(query.get("upload_id", ["0"])[0])
            upload = self.uploads[number - 1] if 1 <= number <= len(self.uploads) else None
            if upload is None or query.get("upload_token") != [upload.key]:
                return 404, ""
            if upload.expired:
                return 403, ""
            try:
                span, total = headers["Content-Range"].removeprefix("bytes ").split("/")
                first, last = map(int, span.split("-"))
            except (KeyError, ValueError):
                return 400, ""
            if int(total) != upload.size or last - first + 1 != len(body) or headers.get("Authorization"):
                return 400, ""
            number = first // upload.chunk
            end = upload.size if number >= upload.count - 1 else first + upload.chunk
            if first != upload.stored or last + 1 != end:
                return 416, f"bytes 0-{upload.stored - 1}/{upload.size}"
            upload.digest.update(body)
            upload.stored = end
            if upload.whole and self.reasons:
                upload.failed = self.reasons.pop(0)
            return (201 if upload.whole else 206), f"bytes 0-{upload.stored - 1}/{upload.size}"

    # -- OAuth

    def authorize(self, query: Mapping[str, list[str]]) -> str:
        """Where the browser goes next: the person says yes at once.

        Raises:
            _Refused: the page would show an error.
        """
        asked = {name: values[0] for name, values in query.items()}
        back = urlsplit(asked.get("redirect_uri", ""))
        right = (
            asked.get("client_key") == self.client_key
            and asked.get("response_type") == "code"
            and back.hostname in {"127.0.0.1", "localhost"}
            and back.port
            and not back.query
            and asked.get("code_challenge_method") == "S256"
            and len(asked.get("code_challenge", "")) == 64
            and asked.get("scope")
            and " " not in asked["scope"]
        )
        if not right:
            raise _Refused("invalid_params")
        code = secrets.token_urlsafe(12)
        self._codes[code] = asked
        answer = {"code": code, "scopes": asked["scope"], "state": asked.get("state", "")}
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def grant(self, form: Mapping[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """What the token endpoint answers."""
        asked = {name: values[0] for name, values in form.items()}
        with self.lock:
            if (asked.get("client_key"), asked.get("client_secret")) != (self.client_key, self.client_secret):
                return 400, {"error": "invalid_client", "error_description": "Client key or secret is incorrect."}
            if asked.get("grant_type") == "authorization_code":
                known = self._codes.pop(asked.get("code", ""), None)
                challenge = hashlib.sha256(asked.get("code_verifier", "").encode()).hexdigest()
                if known is None or known["code_challenge"] != challenge:
                    return 400, {"error": "invalid_grant", "error_description": "Code verifier is invalid."}
                if known["redirect_uri"] != asked.get("redirect_uri"):
                    return 400, {"error": "invalid_request", "error_description": "Redirect_uri is not matched."}
                owner, scopes = "someone", known["scope"]
            elif asked.get("grant_type") == "refresh_token" and asked.get("refresh_token") in self.refresh:
                owner, scopes = self.refresh.pop(asked["refresh_token"])
            else:
                return 400, {"error": "invalid_grant", "error_description": "Refresh token is invalid or expired."}
            granted = self.consent(owner, scopes)
        return 200, granted | {
            "expires_in": self.expires_in,
            "open_id": f"open-{owner}",
            "refresh_expires_in": 31536000,
            "scope": scopes,
            "token_type": "Bearer",
        }


class _Listener(Listener):
    def server_bind(self) -> None:
        # Little is on its way: when half of a chunk has come, its sender is still at it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        super().server_bind()


class _Handler(Handler):
    owner: ClassVar[TikTokServer]
    # An answer goes out in one piece: in two, each would wait for the caller's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        kind = "upload" if self.command == "PUT" and parts.path == "/video/" else _PATHS.get(parts.path, "")
        fault = self.owner.fault(kind)
        self.owner.event(f"{kind} head")
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length // 2)
        self.owner.event(f"{kind} half")
        if fault.cut:
            self.reset()
            return
        body += self.rfile.read(length - len(body))
        if len(body) < length:
            self.close_connection = True  # the caller died
            return
        self.owner.event(f"{kind} read")
        if fault.status:
            self._error(fault.code or "internal_error", fault.status, fault.headers)
            self.owner.event(f"{kind} answered")
            return
        answer = self._processed(kind, parts.path, parse_qs(parts.query), body)
        self.owner.event(f"{kind} processed")
        if fault.lost:
            self.reset()
            return
        answer()
        self.owner.event(f"{kind} answered")

    def _processed(self, kind: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Callable[[], None]:
        """Do what is asked; what sends the answer."""
        owner = self.owner
        try:
            if kind == "upload":
                status, there = owner.put(query, dict(self.headers.items()), body)
                return lambda: self._send(status, b"", {"Content-Range": there} if there else {})
            if kind == "authorize" and self.command == "GET":
                where = owner.authorize(query)
                return lambda: self._send(302, b"", {"Location": where})
            if self.command != "POST" or not kind:
                raise _Refused("invalid_params", 404)
            if kind == "token":
                status, granted = owner.grant(parse_qs(body.decode()))
                return lambda: self._json(status, granted)
            if not self.headers.get("Content-Type", "").startswith("application/json"):
                raise _Refused("invalid_params")
            data = owner.called(
                kind, self.headers.get("Authorization", ""), json.loads(body or b"{}"), inbox="/inbox/" in path
            )
        except _Refused as refusal:
            code, refused = refusal.code, refusal.status
            return lambda: self._error(code, refused, {})
        return lambda: self._json(200, {"data": data, "error": {"code": "ok", "message": "", "log_id": "2026"}})

    def _error(self, code: str, status: int, headers: Mapping[str, str]) -> None:
        said = {"code": code, "message": f"It is {code}.", "log_id": "2026"}
        self._json(status, {"data": {}, "error": said}, headers)

    def _json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send(status, content, headers)
        self.wfile.flush()
