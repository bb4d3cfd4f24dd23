"""The platform `tiktok`: direct posts and inbox drafts by the Content Posting API, one for each video.

Protocol: https://developers.tiktok.com/doc/content-posting-api-reference-direct-post and its neighbours. An upload is
begun once and has a name, the publish_id, which is in the ledger before a byte is sent. One publish_id makes at most
one post, and none before its last byte is there. So whoever comes after a crash asks what became of the name that is
in the ledger, and begins another upload only when that one can no longer become a post: it failed, or its address is
gone and its last chunk never went out.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from cm_assets.engines.http import connected, failure_of, is_word, passing
from cm_assets.engines.platforms.catalogue import Surroundings
from cm_assets.engines.platforms.oauth import Service, Tokens, chosen
from cm_assets.engines.platforms.texts import described
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, Seconds, TransientFailure
from cm_assets.models.limits import not_offered
from cm_assets.models.post import Post, PostDraft
from cm_assets.models.protocols import Held, Ledger, Progress

if TYPE_CHECKING:
    import httpx

API = "https://open.tiktokapis.com"

CHUNK = 8 << 20
"""Bytes of a chunk; the last one takes what is left, up to twice as many. TikTok takes 5 to 64 MB, the last up to 128,
and fewer than 5 MB only as a whole (https://developers.tiktok.com/doc/content-posting-api-media-transfer-guide)."""

BLOCK = 256 << 10
"""Bytes that are read and sent at a time."""

QUICK: Seconds = 10.0
"""How long TikTok may be silent while somebody waits to hear whose account it is."""

HELD_EVERY: Seconds = 4.0
"""While bytes go out, the ledger is told so often that somebody is at it."""

MAX_TEXT = 2200
"""Length of a post's one text in UTF-16 code units."""

LOOKS = 3
"""How often an upload is looked at whose address is gone, before it is believed that its last chunk never came."""

LOOK_AGAIN: Seconds = 300.0
"""Between two such looks: what is under way on the network has arrived or failed by then."""

LONGEST_LOOK: Seconds = 1800.0
"""Between two looks at what TikTok works on. Moderation takes a minute as a rule, and hours now and then."""

ID_LOOKS = 5
"""How often the public id of a finished post is asked for: it is given after moderation only."""

MOST_BEGUN = 5
"""Uploads that are begun for one render one after the other before it is left alone for a while."""

MINUTE: Seconds = 60.0
"""The window of all of TikTok's limits of calls."""

PRIVACY: Mapping[str, str] = {"public": "PUBLIC_TO_EVERYONE", "private": "SELF_ONLY"}
"""What `post.privacy` means there."""

SCOPES = ("user.info.basic", "video.publish", "video.upload")

FINAL: Mapping[str, str] = {
    "file_format_check_failed": "the file's format is none that it takes",
    "duration_check_failed": "target_seconds: the video is too short or too long for this account",
    "frame_rate_check_failed": "the video's frame rate is none that it takes",
    "picture_size_check_failed": "orientation: the video's size is none that it takes",
    "publish_cancelled": "it was cancelled in the account; cm retry posts it after all",
    "auth_removed": "the account withdrew its consent: run cm connect tiktok, then cm retry",
    "spam_risk": "it takes the post for spam: look at the account in the app",
    "spam_risk_text": "it takes the text for spam: change post.title, post.description or post.hashtags",
    "spam_risk_user_banned_from_posting": "the account may not post: look at its status in the app",
    "unaudited_client_can_only_post_to_private_accounts": "until TikTok has audited the app, the account must be "
    "private and post.privacy too",
    "privacy_level_option_mismatch": "post.privacy is none that the account offers now",
    "invalid_param": "something of the post is not as it takes it",
    "invalid_params": "something of the post is not as it takes it",
    "invalid_file_upload": "the file is none that it takes",
    "app_version_check_failed": "the account's TikTok app is too old: update it, then cm retry",
    "scope_not_authorized": "the account did not allow this: run cm connect tiktok and allow all of it, then cm retry",
    "scope_permission_missed": "the app has no permission for this: add the Content Posting API and its scopes to it",
    "token_not_authorized_for_specified_publish_id": "the upload was begun by another account: connect that one again",
}
"""The codes after which there is no post, in errors and as reasons of a failed one.

All others are tried again or waited for. The page for people is docs/tiktok.md.
"""

CAPS: Mapping[str, str] = {
    "spam_risk_too_many_posts": "the account has posted as often as TikTok lets it for now",
    "spam_risk_too_many_pending_share": "five drafts wait in the account's inbox: finish or delete some in the app",
    "reached_active_user_cap": "as many accounts post through the app as TikTok lets for now: an audit lifts that",
}
"""The codes of limits that end by themselves, or when a person finishes drafts. TikTok does not say when."""

CAP_HOURS = 3
"""At each hour of UTC that this divides it is asked whether such a limit has ended."""

_BUSY = frozenset({"internal", "internal_error"})
_GONE = frozenset({403, 404, 410})
_OUT_OF_STEP = frozenset({400, 416})

# Marks in the ledger's `done`.
_LAST = "last chunk"  # it may be there: noted before its first byte goes
_ALL = "video"  # it is there: TikTok said so
_POSTED = "post"  # so is the post
_NOTHING: Mapping[str, Any] = {"handle": "", "session": "", "bytes_sent": 0, "tries": 0, "done": ()}


def platform(surroundings: Surroundings) -> "TikTok":
    """TikTok in these surroundings."""
    vault = surroundings.vault
    return TikTok(
        surroundings.ledger,
        Tokens(service(surroundings.addresses), vault),
        named=lambda account: chosen(TikTok.name, vault.accounts(TikTok.name), account),
        take=surroundings.take,
        api=surroundings.addresses.get("tiktok") or API,
        inbox=surroundings.options.get("tiktok_mode") == "inbox",
    )


def service(addresses: Mapping[str, str]) -> Service:
    """How accounts are connected: https://developers.tiktok.com/doc/login-kit-desktop."""
    elsewhere = addresses.get("tiktok", "").rstrip("/")
    return Service(
        platform=TikTok.name,
        title="TikTok",
        authorize_url=f"{elsewhere or 'https://www.tiktok.com'}/v2/auth/authorize/",
        token_url=f"{elsewhere or API}/v2/oauth/token/",
        scopes=SCOPES,
        separator=",",
        client_field="client_key",
        # Hexadecimal, where RFC 7636 has base64.
        challenge=lambda verifier: hashlib.sha256(verifier.encode()).hexdigest(),
    )


def own_name(token: str, addresses: Mapping[str, str]) -> str:
    """The name of the account that a token is for.

    Raises:
        Failure: it cannot be asked.
    """
    api = (addresses.get("tiktok") or API).rstrip("/")
    with _client(QUICK) as client:
        call = _Calls(client, api, lambda _account, _renewed: token, lambda _limit, _account: None, "")
        name = call.creator().get("creator_username")
    if not isinstance(name, str) or not name:
        raise TransientFailure("TikTok does not say whose account it is: give it a name with --account")
    return name


class TikTok:
    """Posts to connected accounts.

    Args:
        ledger: what was begun.
        token: the access token of an account; a new one if the second argument is true.
        named: the account that a draft's means.
        take: counts a call against the limits of an account; may raise AskedToWait.
        api: address of the service.
        inbox: whether drafts are sent, which their creator finishes in the app.
    """

    name = "tiktok"

    def __init__(
        self,
        ledger: Ledger,
        token: Callable[[str, bool], str],
        *,
        named: Callable[[str], str] = lambda account: account,
        take: Callable[[str, str], None] = lambda _service, _account: None,
        api: str = API,
        inbox: bool = False,
    ) -> None:
        self._ledger = ledger
        self._token = token
        self._named = named
        self._take = take
        self._api = api.rstrip("/")
        self._inbox = inbox

    def publish(self, draft: PostDraft, files: Mapping[str, Path], progress: Progress) -> Post:
        """The video's post: the one that there is, the one whose upload was begun, or a new one.

        Raises:
            AskedToWait: TikTok works on it, or takes no more for now, or somebody else is posting this video.
            TransientFailure: the upload broke off; the next call goes on where it did.
            PermanentFailure: TikTok does not take it, or shows another render of this video already.
        """
        about = None if self._inbox else _about(draft)
        path = files["video"]
        size = path.stat().st_size
        with self._ledger.hold(draft.video_id, self.name) as held, _client() as client:
            if held.entry.taken_down:
                raise PermanentFailure(f"{draft.video_id} was taken down from TikTok, and is not posted there again")
            call = _Calls(client, self._api, self._token, self._take, held.entry.account or self._named(draft.account))
            while held.entry.post is None:
                offset: int | None = 0
                if held.entry.handle:
                    offset = self._state(call, held, draft, size)
                else:
                    self._begin(call, held, draft, about, size)
                if offset is not None:
                    before = held.entry.bytes_sent
                    try:
                        self._send(call, held, path, offset, progress)
                    except TransientFailure:
                        if held.entry.bytes_sent <= before:
                            raise
            post = held.entry.post
        if post.render_sha256 != draft.video.sha256:
            raise PermanentFailure(
                f"{post.url} shows an earlier render of {draft.video_id}, and a video on TikTok cannot be exchanged: "
                f"keep it, or make the new one under another id"
            )
        progress(1.0)
        return post

    def settle(self, video_id: str) -> Post | None:
        """The post that came of what was begun for a video; None if none did, and none can any more.

        Raises:
            Failure: one of its three classes.
        """
        with self._ledger.hold(video_id, self.name) as held, _client() as client:
            entry = held.entry
            if entry.post is None and entry.handle:
                account = entry.account or self._named("")
                self._state(_Calls(client, self._api, self._token, self._take, account), held, None, 0)
            return held.entry.post

    def take_down(self, post: Post) -> None:
        """TikTok lets no program remove a post.

        Raises:
            PermanentFailure: always; it says what a person does.
        """
        raise PermanentFailure(
            f"TikTok lets no program delete a post: open {post.url} as {post.account or 'its account'} in the app or "
            f"the browser, and delete it there"
        )

    # -- the steps of a post

    def _begin(self, call: "_Calls", held: Held, draft: PostDraft, about: Mapping[str, Any] | None, size: int) -> None:
        """Begin an upload; its name is in the ledger afterwards, and nothing of it has been sent."""
        entry = held.entry
        begun = entry.opened if entry.render_sha256 == draft.video.sha256 else 0
        if begun >= MOST_BEGUN:
            held.note(opened=0)
            raise TransientFailure(
                f"TikTok has taken none of {MOST_BEGUN} uploads of {draft.video_id} to the end: look at the account "
                f"in the app"
            )
        chunk = size if size < 2 * CHUNK else CHUNK
        body: dict[str, Any] = {
            "source_info": {
                "source": "FILE_UPLOAD",
                "video_size": size,
                "chunk_size": chunk,
                "total_chunk_count": size // chunk,
            }
        }
        if about is not None:
            body["post_info"] = {**about, **_allowed(call.creator(), draft)}
        answer = call("tiktok", "/v2/post/publish/" + ("inbox/" if about is None else "") + "video/init/", body)
        handle, session = answer.get("publish_id"), answer.get("upload_url")
        if not isinstance(handle, str) or not isinstance(session, str) or not handle:
            raise TransientFailure("TikTok began an upload without saying which")
        if not session.startswith(("https://", self._api + "/")):
            raise TransientFailure("TikTok began an upload without saying where to")
        # Until this is written nobody can send a byte, and an upload without bytes makes no post.
        held.note(
            **{**_NOTHING, "handle": handle, "session": session},
            account=call.account,
            render_sha256=draft.video.sha256,
            opened=begun + 1,
        )

    def _state(self, call: "_Calls", held: Held, draft: PostDraft | None, size: int) -> int | None:
        """What became of the upload that is in the ledger: from which byte on it goes on.

        None if that is settled: its post is noted, or there is nothing left of it. Without a draft nothing goes on.

        Raises:
            AskedToWait: TikTok works on it, or it must be looked at again before anything is begun anew.
            TransientFailure: it failed for a reason that may pass; another one may be begun.
            PermanentFailure: it failed for good, or TikTok has forgotten it.
        """
        entry = held.entry
        is_other = draft is None or entry.render_sha256 != draft.video.sha256
        try:
            state = _State.of(call("tiktok_status", "/v2/post/publish/status/fetch/", {"publish_id": entry.handle}))
        except _Forgotten:
            if _LAST in entry.done:
                raise PermanentFailure(
                    f"TikTok has forgotten what became of {entry.video_id}: look at the account; if it is not there, "
                    f"make it again under another id"
                ) from None
            _forget(held)
            return None
        if state.status in {"PUBLISH_COMPLETE", "SEND_TO_USER_INBOX"}:
            self._end(call, held, draft, state)
            return None
        if state.status == "FAILED":
            # A limit that it met says nothing against the video.
            held.note(**_NOTHING, opened=entry.opened - (state.reason in CAPS))
            if is_other:
                return None
            raise state.failure()
        whole = _LAST in entry.done
        if whole and (_ALL in entry.done or (state.stored is not None and state.stored >= entry.bytes_sent)):
            _wait(held, "TikTok has the video and works on it")
        if entry.session and not is_other:
            # Without a count of theirs, what was under way here is sent again.
            reached = max(entry.bytes_sent - 1, 0) if state.stored is None else state.stored
            return min(reached // CHUNK * CHUNK, _last_start(size))
        if whole and entry.tries < LOOKS:
            held.note(tries=entry.tries + 1)
            raise AskedToWait("TikTok may have got the last bytes of the upload: it is looked at again", LOOK_AGAIN)
        _forget(held)
        return None

    def _send(self, call: "_Calls", held: Held, path: Path, offset: int, progress: Progress) -> None:
        """Send the chunks from an offset on; notes that all are there, or that the upload's address is gone.

        Raises:
            TransientFailure: it broke off.
        """
        size = path.stat().st_size
        for start, end in _chunks(size, offset):
            is_last = end == size
            # Before a byte of the last chunk goes: from then on there may be a post, whatever is sent once more.
            done = (_LAST,) if is_last else held.entry.done
            tries = held.entry.tries if start == offset else 0
            held.note(bytes_sent=max(end, held.entry.bytes_sent), done=done, tries=tries)
            answer = call.upload(
                held.entry.session,
                content=_blocks(held, path, start, end, lambda sent: progress(sent / size)),
                headers={
                    "Content-Type": "video/mp4",
                    "Content-Length": str(end - start),
                    "Content-Range": f"bytes {start}-{end - 1}/{size}",
                },
            )
            if answer.status_code in _GONE:
                held.note(session="", tries=0)
                return
            if answer.status_code in _OUT_OF_STEP:
                if held.entry.tries == 0:
                    held.note(tries=1)
                    raise TransientFailure("TikTok counts the bytes of the upload differently")
                held.note(session="", tries=0)
                return
            if not answer.is_success:
                raise passing(answer, "TikTok", "")
            if is_last and answer.status_code == 206:
                raise TransientFailure("TikTok has not got all of the upload yet")
        held.note(session="", done=(_LAST, _ALL), tries=0)

    def _end(self, call: "_Calls", held: Held, draft: PostDraft | None, state: "_State") -> None:
        """Note the post that an upload came to.

        Raises:
            AskedToWait: it has no public id yet, and will probably have one soon.
        """
        entry = held.entry
        is_draft = state.status == "SEND_TO_USER_INBOX"
        if not is_draft and not state.post_id and draft is not None and draft.privacy == "public":
            looks = entry.tries if _POSTED in entry.done else 0
            if looks < ID_LOOKS:
                held.note(tries=looks + 1, done=(_LAST, _ALL, _POSTED))
                raise AskedToWait("TikTok has posted it, and gives the post's address after moderation", 20)
        note = "it is a draft: finish it in the TikTok app, from the inbox; its text and privacy are chosen there"
        post = Post(
            platform=self.name,
            post_id=state.post_id or entry.handle,
            url="https://www.tiktok.com/" if is_draft else _address(call, state.post_id),
            render_sha256=entry.render_sha256,
            published_at=datetime.now(UTC),
            account=entry.account,
            notes=(note,) if is_draft else (),
        )
        held.note(session="", post=post)


@dataclass(frozen=True, slots=True)
class _State:
    """What TikTok says of an upload (https://developers.tiktok.com/doc/content-posting-api-reference-get-video-status).

    Attributes:
        stored: bytes that have come; None if it does not say.
        post_id: of the public post; empty if there is none, or none yet.
    """

    status: str
    reason: str
    stored: int | None
    post_id: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "_State":
        stored, ids = data.get("uploaded_bytes"), data.get("publicaly_available_post_id")  # sic
        first = str(ids[0]) if isinstance(ids, list) and ids else ""
        return cls(
            status=str(data.get("status", "")),
            reason=str(data.get("fail_reason", "")),
            stored=stored if isinstance(stored, int) and stored >= 0 else None,
            post_id=first if first.isascii() and first.isdigit() else "",
        )

    def failure(self) -> Failure:
        """Why there is no post."""
        if self.reason in FINAL:
            return PermanentFailure(f"TikTok refuses it ({self.reason}): {FINAL[self.reason]}")
        if self.reason in CAPS:
            return _capped(self.reason)
        said = f" ({self.reason})" if is_word(self.reason) else ""
        return TransientFailure(f"TikTok could not post it{said}")


class _Forgotten(TransientFailure):
    """TikTok does not know the upload that it was asked about."""


class _Calls:
    """Calls in the name of one account."""

    def __init__(
        self,
        client: "httpx.Client",
        api: str,
        token: Callable[[str, bool], str],
        take: Callable[[str, str], None],
        account: str,
    ) -> None:
        self.account = account
        self._client = client
        self._api = api
        self._token = token
        self._take = take
        self._creator: Mapping[str, Any] | None = None

    def __call__(self, limit: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The data of an answer, with a fresh token if the first one was refused.

        Args:
            limit: what the call is counted as.
            path: of the endpoint.
            body: what is asked.

        Raises:
            Failure: TikTok says no, or cannot be reached, or the call's limit is reached.
        """
        self._take(limit, self.account)
        for renewed in (False, True):
            bearer = {"Authorization": f"Bearer {self._token(self.account, renewed)}"}
            with connected("TikTok"):
                answer = self._client.post(self._api + path, json=body, headers=bearer)
            code, data = _read(answer)
            if answer.is_success and code == "ok":
                return data
            if code != "access_token_invalid":
                raise _failure(answer, code)
        raise PermanentFailure("TikTok does not know this account any more: run cm connect tiktok")

    def creator(self) -> Mapping[str, Any]:
        """What the account may do now, asked once."""
        if self._creator is None:
            self._creator = self("tiktok_info", "/v2/post/publish/creator_info/query/", {})
        return self._creator

    def upload(self, address: str, **request: Any) -> "httpx.Response":
        """An answer of an upload, whose address is all that it asks for."""
        with connected("TikTok"):
            return self._client.put(address, **request)


@contextmanager
def _client(silence: Seconds = 120) -> "Iterator[httpx.Client]":
    import httpx

    with httpx.Client(
        timeout=httpx.Timeout(min(silence, 60), read=silence), headers={"User-Agent": "cm_assets"}
    ) as client:
        yield client


def _about(draft: PostDraft) -> dict[str, Any]:
    """What is said of a post.

    Raises:
        PermanentFailure: something is not within TikTok's limits; nothing was sent.
    """
    for wrong in not_offered(TikTok.name, privacy=draft.privacy):
        raise PermanentFailure(f"post.{wrong.field}: {wrong.why}")
    return {
        "title": caption(draft),
        "privacy_level": PRIVACY[draft.privacy],
        "video_cover_timestamp_ms": round(draft.cover_seconds * 1000),
        "is_aigc": draft.ai_disclosure,
    }


def caption(draft: PostDraft) -> str:
    """The one text of a post: title, description, hashtags and credits; the description gives way first."""
    title, description = " ".join(draft.title.split()), draft.description.strip()
    if not description.startswith(title):
        description = f"{title}\n\n{description}".strip()
    return described(draft.model_copy(update={"description": description}), MAX_TEXT, _units)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _allowed(creator: Mapping[str, Any], draft: PostDraft) -> dict[str, bool]:
    """What a post must leave out, as the account's settings say.

    Raises:
        PermanentFailure: the account cannot post this; nothing was begun.
    """
    longest = creator.get("max_video_post_duration_sec")
    if isinstance(longest, int) and draft.seconds > longest:
        raise PermanentFailure(
            f"target_seconds: the video is {draft.seconds:.1f} s long; TikTok lets this account post up to {longest} s"
        )
    offered = creator.get("privacy_level_options")
    if isinstance(offered, list) and PRIVACY[draft.privacy] not in offered:
        ours = [name for name, theirs in PRIVACY.items() if theirs in offered]
        choice = f"choose {ours[0]}" if ours else "change the account's privacy in the app"
        raise PermanentFailure(f"post.privacy: TikTok does not let this account post as {draft.privacy}; {choice}")
    return {f"disable_{what}": creator.get(f"{what}_disabled") is True for what in ("comment", "duet", "stitch")}


def _chunks(size: int, offset: int) -> Iterator[tuple[int, int]]:
    """Beginnings and ends of the chunks from an offset on."""
    last = _last_start(size)
    for start in range(offset, last + 1, CHUNK):
        yield start, size if start == last else start + CHUNK


def _last_start(size: int) -> int:
    """Where the last chunk begins."""
    return max(size // CHUNK - 1, 0) * CHUNK


def _blocks(held: Held, path: Path, start: int, end: int, progress: Progress) -> Iterator[bytes]:
    noted, sent = monotonic(), start
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(min(BLOCK, end - sent)):
            if monotonic() - noted > HELD_EVERY:
                held.note()
                noted = monotonic()
            yield block
            sent += len(block)
            progress(sent)


def _forget(held: Held) -> None:
    """Let go of an upload that can no longer become a post."""
    held.note(**_NOTHING)


def _wait(held: Held, why: str) -> NoReturn:
    """Have it looked at again, later each time. From now on no other upload is begun before this one has failed."""
    tries = held.entry.tries
    held.note(tries=tries + 1, done=(_LAST, _ALL))
    raise AskedToWait(why, min(5.0 * 2 ** min(tries, 20), LONGEST_LOOK))


def _address(call: _Calls, post_id: str) -> str:
    """Where people see a post; the account's page for one without a public id."""
    try:
        who = str(call.creator().get("creator_username", ""))
    except Failure:
        who = ""  # the post is there, whatever the account may do now; TikTok finds it by its id alone
    if post_id:
        return f"https://www.tiktok.com/@{quote(who, safe='')}/video/{post_id}"
    return f"https://www.tiktok.com/@{quote(who, safe='')}" if who else "https://www.tiktok.com/"


def _failure(answer: "httpx.Response", code: str) -> Failure:
    """What an error of TikTok's means (https://developers.tiktok.com/doc/tiktok-api-v2-error-handling)."""
    if code == "rate_limit_exceeded":
        busy = failure_of(answer, "TikTok", code)
        return busy if isinstance(busy, AskedToWait) else AskedToWait("TikTok takes no more calls this minute", MINUTE)
    if code in _BUSY:
        return TransientFailure(f"TikTok is busy ({code})")
    if code in FINAL:
        return PermanentFailure(f"TikTok refuses it ({code}): {FINAL[code]}")
    if code in CAPS:
        return _capped(code)
    if answer.is_success and not code:
        return TransientFailure("TikTok answers without saying whether it did it")
    if code == "invalid_publish_id" and answer.status_code < 500:
        return _Forgotten("TikTok does not know the upload")
    return passing(answer, "TikTok", code)


def _capped(code: str) -> AskedToWait:
    """Wait for the end of a limit."""
    now = datetime.now(UTC)
    until = next_look(now)
    return AskedToWait(f"{CAPS[code]}; it is asked again at {until:%H:%M} UTC", (until - now) / timedelta(seconds=1))


def next_look(now: datetime) -> datetime:
    """When it is asked again whether a limit has ended.

    The same time for all who wait: so their line decides who is first, and nobody who came later slips in.
    """
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour + timedelta(hours=CAP_HOURS - hour.hour % CAP_HOURS, minutes=1)


def _read(answer: "httpx.Response") -> tuple[str, dict[str, Any]]:
    """The code, which is `ok` if all is well, and the data of an answer."""
    try:
        found = answer.json()
    except ValueError:
        found = {}
    found = found if isinstance(found, dict) else {}
    error, data = found.get("error"), found.get("data")
    error = error if isinstance(error, dict) else {}
    return str(error.get("code", "")), data if isinstance(data, dict) else {}
