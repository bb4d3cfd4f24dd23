"""The platform `youtube`: resumable uploads that survive a crash at any moment and make one video.

Protocol: https://developers.google.com/youtube/v3/guides/using_resumable_upload_protocol. Google's own client keeps the
session's address in memory only; here it is in the ledger before a byte is sent. One session makes at most one video,
so whatever happens, the same session is asked first how far it got.

A session can be gone while nobody knows whether it was finished. So every video carries a tag of its own, by which a
finished one is found among the channel's uploads before anything is begun anew.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from cm_assets.engines.http import connected, passing
from cm_assets.engines.platforms.catalogue import Surroundings
from cm_assets.engines.platforms.oauth import Service, Tokens
from cm_assets.engines.platforms.texts import described, hashtag
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, Seconds, TransientFailure
from cm_assets.models.days import PACIFIC, over
from cm_assets.models.limits import LIMITS, category_number, not_offered, tags_length, too_much
from cm_assets.models.post import LOST, LedgerEntry, Post, PostDraft
from cm_assets.models.protocols import Held, Ledger, Progress

if TYPE_CHECKING:
    import httpx

API = "https://www.googleapis.com"

BLOCK = 1 << 20
"""Bytes that are read and sent at a time."""

QUICK: Seconds = 10.0
"""How long YouTube may be silent while somebody waits to hear whose account it is."""

NOTED_EVERY: Seconds = 3.0
"""How often the ledger is told how far the upload is, and that it is still being worked on."""

LOOKS = 10
"""How often a channel is searched for what may have been finished in a lost session, before a person is asked."""

LOOK_AGAIN: Seconds = 60.0
LONGEST_PAUSE: Seconds = 6 * 3600.0
"""Between the first two searches, and between the last: a new video takes a while to be listed."""

LATE_LOOKS = 3
"""How often an upload that is given up is looked at before: bytes can come late."""

PAGES = 4
"""Of 50 uploads each, the newest first, that are searched."""

FORGOTTEN = (
    "YouTube has forgotten an upload that may have been whole, and the channel does not show it: look in YouTube "
    "Studio; if the video is not there, cm retry uploads it again"
)

EXTRA_TRIES = 3
"""How often captions and cover are tried; the video is there without them."""

EXTRA_PATIENCE: Seconds = 60.0
"""The longest wait that YouTube may ask for before another of these tries."""

TAKEN = LIMITS["youtube"]

MAX_COVER = 2_000_000
"""Bytes of a cover."""

SCOPES = ("https://www.googleapis.com/auth/youtube.upload", "https://www.googleapis.com/auth/youtube.force-ssl")

FINAL: Mapping[str, str] = {
    "invalidTitle": "post.title is not what it takes: 1 to 100 characters, no < or >",
    "invalidDescription": "post.description is not what it takes: 5,000 bytes, no < or >",
    "invalidTags": "post.hashtags are not what it takes: 500 characters in all",
    "invalidCategoryId": "post.category is none that this channel can choose",
    "invalidVideoMetadata": "something of post is not what it takes: look at title, description, hashtags and category",
    "forbiddenPrivacySetting": "post.privacy is none that this channel can choose",
    "youtubeSignupRequired": "the account has no channel: make one on youtube.com, then cm retry",
    "authenticatedUserNotChannel": "the account has no channel: make one on youtube.com, then cm retry",
    "accessNotConfigured": "the project may not: switch on the YouTube Data API v3 in the Google Cloud console, then "
    "cm retry",
    "insufficientPermissions": "not all was allowed that is asked for: run cm connect youtube again, and allow all",
    "forbidden": "it does not let this account do that: look at the channel's status in YouTube Studio",
    "accountSuspended": "the account is suspended",
    "accountClosed": "the account is closed",
    "authenticatedUserAccountSuspended": "the account is suspended",
    "authenticatedUserAccountClosed": "the account is closed",
    "channelSuspended": "the channel is suspended",
    "channelClosed": "the channel is closed",
}
"""The errors after which there is no post, by Google's reason (https://developers.google.com/youtube/v3/docs/errors).

All others are tried again or waited for. The page for people is docs/platforms.md.
"""

_BUSY = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError", "processingFailure"})


def platform(surroundings: Surroundings) -> "YouTube":
    """YouTube in these surroundings."""
    return YouTube(
        surroundings.ledger,
        Tokens(service(surroundings.addresses), surroundings.vault),
        # The limit is one of the project, whichever of its accounts posts.
        before_open=lambda _account: surroundings.take(YouTube.name, ""),
        api=surroundings.addresses.get("youtube") or API,
    )


def service(addresses: Mapping[str, str]) -> Service:
    """How accounts are connected: https://developers.google.com/youtube/v3/guides/auth/installed-apps."""
    elsewhere = addresses.get("youtube", "").rstrip("/")
    return Service(
        platform=YouTube.name,
        title="YouTube",
        authorize_url=f"{elsewhere}/o/oauth2/v2/auth" if elsewhere else "https://accounts.google.com/o/oauth2/v2/auth",
        token_url=f"{elsewhere}/token" if elsewhere else "https://oauth2.googleapis.com/token",
        scopes=SCOPES,
        separator=" ",
        client_field="client_id",
        challenge=lambda verifier: urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        extra={"access_type": "offline", "prompt": "consent"},
    )


def own_name(token: str, addresses: Mapping[str, str]) -> str:
    """The handle or title of the channel that a token is for.

    Raises:
        Failure: it has none, or cannot be asked.
    """
    with _client(QUICK) as client:
        call = _Calls(client, (addresses.get("youtube") or API).rstrip("/"), lambda _account, _renewed: token, "")
        for channel in call.found("/youtube/v3/channels", {"part": "snippet", "mine": "true"})["items"]:
            snippet = channel["snippet"]
            return str(snippet.get("customUrl") or snippet["title"])
    raise PermanentFailure(FINAL["youtubeSignupRequired"])


class YouTube:
    """Posts to the channels of connected accounts.

    Args:
        ledger: what was begun.
        tokens: the access tokens of the accounts.
        before_open: called with the account before an upload is begun; may raise AskedToWait.
        api: address of the service.
    """

    name = "youtube"

    def __init__(
        self,
        ledger: Ledger,
        tokens: Tokens,
        *,
        before_open: Callable[[str], None] = lambda _account: None,
        api: str = API,
    ) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._before_open = before_open
        self._api = api.rstrip("/")

    def publish(self, draft: PostDraft, files: Mapping[str, Path], progress: Progress) -> Post:
        """The video's post: the one that there is, the one whose upload was begun, or a new one.

        Raises:
            AskedToWait: the quota is used up, or somebody else is posting this video.
            TransientFailure: the upload broke off; the next call goes on where it did.
            PermanentFailure: YouTube does not take it, or shows another render of this video already.
        """
        resource = _resource(draft)
        with self._ledger.hold(draft.video_id, self.name) as held, _client() as client:
            # By its name from the first: another one may be connected later.
            account = self._tokens.account(held.entry.account or draft.account)
            call = _Calls(client, self._api, self._tokens, account)
            if held.entry.taken_down:
                raise PermanentFailure(f"{draft.video_id} was taken down from YouTube, and is not posted there again")
            if held.entry.post is None:
                self._settle_earlier(call, held, draft)
            while held.entry.post is None:
                is_new = not held.entry.session
                if is_new:
                    self._open(call, held, draft, resource, files["video"])
                before = held.entry.bytes_sent
                try:
                    self._send(call, held, draft, files["video"], progress, is_new=is_new)
                except TransientFailure:
                    if held.entry.bytes_sent <= before:
                        raise
            post = held.entry.post
            if post.render_sha256 != draft.video.sha256:
                raise PermanentFailure(
                    f"{post.url} shows an earlier render of {draft.video_id}, and a video on YouTube cannot be "
                    f"exchanged: keep it, or make the new one under another id"
                )
            self._send_extras(call, held, post, draft, files)
            progress(1.0)
            return post.model_copy(update={"notes": held.entry.notes})

    def settle(self, video_id: str) -> Post | None:
        """The post that came of what was begun for a video; None if none did, and none can any more.

        Raises:
            Failure: one of its three classes.
        """
        with self._ledger.hold(video_id, self.name) as held, _client() as client:
            if held.entry.session:
                account = self._tokens.account(held.entry.account)
                self._settle(_Calls(client, self._api, self._tokens, account), held)
            return held.entry.post

    def take_down(self, post: Post) -> None:
        """Delete a video; where the account may not, make it private.

        Raises:
            Failure: one of its three classes.
        """
        with _client() as client:
            call = _Calls(client, self._api, self._tokens, post.account)
            answer = call("DELETE", "/youtube/v3/videos", params={"id": post.post_id})
            if answer.status_code == 403 and _reason(answer) not in {*_BUSY, "quotaExceeded"}:
                body = {"id": post.post_id, "status": {"privacyStatus": "private"}}
                answer = call("PUT", "/youtube/v3/videos", params={"part": "status"}, json=body)
            if not answer.is_success and answer.status_code != 404:
                raise _failure(answer)

    # -- the steps of an upload

    def _settle_earlier(self, call: "_Calls", held: Held, draft: PostDraft) -> None:
        """See to what an upload of an earlier render came to, before anything of this one is sent."""
        if held.entry.session and held.entry.render_sha256 != draft.video.sha256:
            self._settle(call, held)

    def _settle(self, call: "_Calls", held: Held) -> None:
        """See to what an upload came to that nobody goes on with: there is its post afterwards, or nothing of it."""
        entry = held.entry
        stored, video = self._state_of(call, held, total=None)
        if video is not None:
            held.note(session="", post=_post(video, entry, None), tries=0)
        elif stored is not None and entry.bytes_sent > stored and entry.tries < LATE_LOOKS:
            # Its last bytes can still be on their way: whoever sent them may be dead, and the network not.
            held.note(tries=entry.tries + 1)
            raise AskedToWait("an earlier upload is still coming to its end", LOOK_AGAIN)
        elif stored is not None:
            held.note(session="", bytes_sent=0, tries=0)  # without its last bytes it makes no video
        else:
            self._end_lost(call, held, None, may_be_whole=entry.bytes_sent > 0)

    def _open(self, call: "_Calls", held: Held, draft: PostDraft, resource: dict[str, Any], video: Path) -> None:
        self._before_open(call.account)
        answer = call(
            "POST",
            "/upload/youtube/v3/videos",
            params={"uploadType": "resumable", "part": "snippet,status", "notifySubscribers": "true"},
            json=resource,
            headers={
                "X-Upload-Content-Length": str(video.stat().st_size),
                "X-Upload-Content-Type": draft.video.media_type,
            },
        )
        session = answer.headers.get("location", "")
        if not answer.is_success:
            raise _failure(answer)
        if not session.startswith(("https://", self._api + "/")):
            raise TransientFailure("YouTube began an upload without saying where to")
        # Until this is written nobody can send a byte, and an upload without bytes makes no video.
        held.note(
            session=session,
            account=call.account,
            render_sha256=draft.video.sha256,
            opened=held.entry.opened + 1,
            bytes_sent=0,
            tries=0,
        )

    def _send(
        self, call: "_Calls", held: Held, draft: PostDraft, path: Path, progress: Progress, *, is_new: bool
    ) -> None:
        """Send what is missing; notes the post, or that the session is gone."""
        size = path.stat().st_size
        stored, video = (0, None) if is_new else self._state_of(call, held, total=size)
        if video is None and stored is not None:
            video = self._put(call, held, path, stored, size, progress)
        if video is not None:
            held.note(session="", post=_post(video, held.entry, draft), bytes_sent=size, tries=0)
        else:
            self._end_lost(call, held, draft, may_be_whole=held.entry.bytes_sent >= size)

    def _put(
        self, call: "_Calls", held: Held, path: Path, offset: int, size: int, progress: Progress
    ) -> dict[str, Any] | None:
        """Send the bytes from an offset on; the video, or None if the session is gone.

        Raises:
            TransientFailure: it broke off.
        """
        headers = {"Content-Length": str(size - offset), "Content-Range": f"bytes {offset}-{size - 1}/{size}"}

        sent = offset

        def blocks() -> Iterator[bytes]:
            nonlocal sent
            noted_at = monotonic()
            with path.open("rb") as file:
                file.seek(offset)
                while block := file.read(BLOCK):
                    if sent + len(block) >= size or monotonic() - noted_at >= NOTED_EVERY:
                        # Before the last byte goes: from then on there may be a video.
                        held.note(bytes_sent=sent + len(block))
                        noted_at = monotonic()
                    yield block
                    sent += len(block)
                    progress(sent / size)

        try:
            answer = call.session(held.entry.session, blocks(), headers)
        except TransientFailure:
            held.note(bytes_sent=max(sent, held.entry.bytes_sent))
            raise
        if answer.status_code == 308:
            raise TransientFailure("YouTube has not got all of the upload yet")
        return self._video_in(answer)

    def _state_of(self, call: "_Calls", held: Held, *, total: int | None) -> tuple[int | None, dict[str, Any] | None]:
        """How many bytes a session has, or the video that it made; neither if it is gone."""
        headers = {"Content-Length": "0", "Content-Range": f"bytes */{'*' if total is None else total}"}
        answer = call.session(held.entry.session, b"", headers)
        if answer.status_code == 308:
            last = answer.headers.get("range", "").rpartition("-")[2]
            return (int(last) + 1 if last.isdigit() else 0), None
        return None, self._video_in(answer)

    def _video_in(self, answer: "httpx.Response") -> dict[str, Any] | None:
        """The video that a finished session answers with; None if the session is gone.

        Raises:
            Failure: any other answer.
        """
        if answer.status_code in {404, 410}:
            return None
        if answer.status_code not in {200, 201}:
            raise _failure(answer)
        video = _json(answer)
        if not isinstance(video.get("id"), str):
            raise TransientFailure("YouTube finished the upload without saying what it made")
        return video

    def _end_lost(self, call: "_Calls", held: Held, draft: PostDraft | None, *, may_be_whole: bool) -> None:
        """End a session that YouTube has forgotten: with the post that it made, if it had all bytes and made one.

        Raises:
            AskedToWait: the post may be there and not be listed yet.
            PermanentFailure: it may be there and was not found; a person has to look.
        """
        entry = held.entry
        if may_be_whole:
            video = self._search(call, mark(entry.video_id, entry.render_sha256))
            if video is not None:
                held.note(session="", post=_post(video, entry, draft), tries=0)
                return
            if entry.tries < LOOKS:
                held.note(tries=entry.tries + 1)
                pause = min(LOOK_AGAIN * 2**entry.tries, LONGEST_PAUSE)
                raise AskedToWait("YouTube has forgotten the upload; its channel is searched for it again", pause)
            held.note(done=(LOST,))
            raise PermanentFailure(FORGOTTEN)
        held.note(session="", bytes_sent=0, tries=0)

    def _search(self, call: "_Calls", marked: str) -> dict[str, Any] | None:
        """Among the newest uploads the one with a mark."""
        channels = call.found("/youtube/v3/channels", {"part": "contentDetails", "mine": "true"})["items"]
        for channel in channels:
            asked = {"playlistId": channel["contentDetails"]["relatedPlaylists"]["uploads"], "maxResults": "50"}
            for _ in range(PAGES):
                listed = call.found(
                    "/youtube/v3/playlistItems", {"part": "contentDetails", **asked}, "playlistNotFound"
                )
                ids = ",".join(item["contentDetails"]["videoId"] for item in listed["items"])
                videos = call.found("/youtube/v3/videos", {"part": "snippet,status", "id": ids})["items"] if ids else ()
                for video in videos:
                    if marked in video["snippet"].get("tags", ()):
                        return dict(video)
                if not listed.get("nextPageToken"):
                    break
                asked["pageToken"] = listed["nextPageToken"]
        return None

    def _send_extras(self, call: "_Calls", held: Held, post: Post, draft: PostDraft, files: Mapping[str, Path]) -> None:
        """Captions and cover. The video is posted, so that none of them may fail it."""
        for name, send in (("captions", self._send_captions), ("cover", self._send_cover)):
            if name in held.entry.done:
                continue
            tried = held.entry.tries + 1
            held.note(tries=tried)
            try:
                send(call, post, draft, files)
            except PermanentFailure as failure:
                held.note(notes=(*held.entry.notes, f"{name}: {failure}"))
            except Failure as failure:
                if tried < EXTRA_TRIES and getattr(failure, "seconds", 0.0) <= EXTRA_PATIENCE:
                    raise
                held.note(notes=(*held.entry.notes, f"{name}: {failure}"))
            held.note(done=(*held.entry.done, name), tries=0)

    def _send_captions(self, call: "_Calls", post: Post, draft: PostDraft, files: Mapping[str, Path]) -> None:
        import json

        about = {"snippet": {"videoId": post.post_id, "language": draft.language, "name": ""}}
        boundary = hashlib.sha256(post.post_id.encode()).hexdigest()
        head = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(about)}\r\n"
        head += f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        answer = call(
            "POST",
            "/upload/youtube/v3/captions",
            params={"uploadType": "multipart", "part": "snippet"},
            content=head.encode() + files["srt"].read_bytes() + f"\r\n--{boundary}--\r\n".encode(),
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
        )
        if not answer.is_success and _reason(answer) != "captionExists":
            raise _failure(answer)

    def _send_cover(self, call: "_Calls", post: Post, draft: PostDraft, files: Mapping[str, Path]) -> None:
        picture = files["cover"].read_bytes()
        if len(picture) > MAX_COVER:
            raise PermanentFailure("it is larger than 2 MB")
        answer = call(
            "POST",
            "/upload/youtube/v3/thumbnails/set",
            params={"videoId": post.post_id},
            content=picture,
            headers={"Content-Type": draft.cover.media_type},
        )
        if not answer.is_success:
            raise _failure(answer)


class _Calls:
    """Calls in the name of one account."""

    def __init__(self, client: "httpx.Client", api: str, token: Callable[[str, bool], str], account: str) -> None:
        self.account = account
        self._client = client
        self._api = api
        self._token = token

    def __call__(self, method: str, path: str, **request: Any) -> "httpx.Response":
        """An answer, with a fresh token if the first one was refused."""
        headers = request.pop("headers", {})
        for renewed in (False, True):
            bearer = {"Authorization": f"Bearer {self._token(self.account, renewed)}"}
            with connected("YouTube"):
                answer = self._client.request(method, self._api + path, headers=headers | bearer, **request)
            if answer.status_code != 401 or _reason(answer) in FINAL:
                return answer
        raise PermanentFailure("YouTube does not know this account any more: run cm connect youtube")

    def session(self, address: str, content: bytes | Iterator[bytes], headers: dict[str, str]) -> "httpx.Response":
        """An answer of an upload session.

        Raises:
            TransientFailure: the token was refused, and there is a new one for the next try.
        """
        bearer = {"Authorization": f"Bearer {self._token(self.account, False)}"}
        with connected("YouTube"):
            answer = self._client.put(address, content=content, headers=headers | bearer)
        if answer.status_code == 401:
            self._token(self.account, True)
            raise TransientFailure("YouTube wants a new token for the upload")
        return answer

    def found(self, path: str, params: dict[str, str], empty: str = "") -> dict[str, Any]:
        """A page of a list, with its `items`.

        Args:
            path: of the list.
            params: of the request.
            empty: the reason that says that there is nothing.

        Raises:
            Failure: there is none.
        """
        answer = self("GET", path, params=params)
        if empty and _reason(answer) == empty:  # a channel without videos has no list of them
            return {"items": []}
        if not answer.is_success:
            raise _failure(answer)
        page = _json(answer)
        return page | {"items": page["items"] if isinstance(page.get("items"), list) else []}


def mark(video_id: str, render_sha256: str) -> str:
    """The tag by which the post of a render is found: nothing that anybody reads, and nobody else's."""
    return "cm-" + hashlib.sha256(f"{video_id} {render_sha256}".encode()).hexdigest()[:16]


@contextmanager
def _client(silence: Seconds = 300) -> "Iterator[httpx.Client]":
    import httpx

    # What is finished is answered late: YouTube looks at it first.
    with httpx.Client(
        timeout=httpx.Timeout(min(silence, 60), read=silence), headers={"User-Agent": "cm_assets"}
    ) as client:
        yield client


def _resource(draft: PostDraft) -> dict[str, Any]:
    """The video resource (https://developers.google.com/youtube/v3/docs/videos).

    Raises:
        PermanentFailure: something is not within YouTube's limits; nothing was sent.
    """
    title = " ".join(draft.title.split())
    for wrong in [*too_much(YouTube.name, title=title), *not_offered(YouTube.name, category=draft.category)]:
        raise PermanentFailure(f"post.{wrong.field}: {wrong.why}")
    if not title:
        raise PermanentFailure("post.title: is empty, and YouTube wants one")
    description = _legal(described(draft, TAKEN.description or 0, lambda text: len(_legal(text).encode())))
    tags = [mark(draft.video_id, draft.video.sha256)]
    for tag in draft.hashtags:
        word = hashtag(tag).removeprefix("#")
        if word and tags_length([*tags, word]) <= (TAKEN.tags or 0):
            tags.append(word)
    return {
        "snippet": {
            "title": title,
            "description": description,
            "tags": tags,
            "categoryId": category_number(draft.category or "people & blogs"),
            "defaultLanguage": draft.language,
            "defaultAudioLanguage": draft.language,
        },
        "status": {
            "privacyStatus": draft.privacy,
            "selfDeclaredMadeForKids": draft.made_for_kids,
            "containsSyntheticMedia": draft.ai_disclosure,
        },
    }


def _legal(text: str) -> str:
    """The text without the two characters that YouTube refuses."""
    return text.replace("<", "\u2039").replace(">", "\u203a")


def _post(video: Mapping[str, Any], entry: LedgerEntry, draft: PostDraft | None) -> Post:
    short = draft is not None and draft.height > draft.width and draft.seconds <= 180
    place = "https://www.youtube.com/shorts/" if short else "https://www.youtube.com/watch?v="
    return Post(
        platform=YouTube.name,
        post_id=video["id"],
        url=place + video["id"],
        render_sha256=entry.render_sha256,
        published_at=datetime.now(UTC),
        account=entry.account,
    )


def _failure(answer: "httpx.Response") -> Failure:
    """What an error of Google's means (https://developers.google.com/youtube/v3/docs/errors)."""
    reason, said = _reason(answer), _said(answer)
    if reason in {"quotaExceeded", "dailyLimitExceeded"} or (reason == "rateLimitExceeded" and "per day" in said):
        now = datetime.now(UTC)
        wait = (over(now, PACIFIC) - now) / timedelta(seconds=1)
        return AskedToWait("YouTube's quota of this project is used up until midnight in California", wait)
    if reason == "uploadLimitExceeded":
        return AskedToWait("YouTube takes no more videos of this channel for now", 6 * 3600)
    if reason in FINAL:
        return PermanentFailure(f"YouTube refuses it ({reason}): {FINAL[reason]}")
    return passing(answer, "YouTube", reason)


def _json(answer: "httpx.Response") -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(answer: "httpx.Response") -> str:
    error = _json(answer).get("error")
    errors = error.get("errors") if isinstance(error, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else {}
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def _said(answer: "httpx.Response") -> str:
    error = _json(answer).get("error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""
