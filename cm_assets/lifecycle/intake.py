"""Accepting a request: judged whole before anything is stored, stored once however often it comes."""

import logging
import re
import secrets
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from cm_assets.engines.speech.casting import is_known
from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.lifecycle.documents import Problem, RequestError
from cm_assets.lifecycle.naming import judge_uploads, missing
from cm_assets.models.limits import not_offered, too_much
from cm_assets.models.request import Brand, VideoRequest
from cm_assets.models.upload import upload_id
from cm_assets.partitions import VideoId
from cm_assets.policies import PLATFORMS, backlog_rank
from cm_assets.storage.database import RETIRED, Database, StoredRequest, Taken, UploadGone

log = logging.getLogger("cm_assets.accepting")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is in the database.

    Attributes:
        stored: its row.
        repeated: whether it had been there before.
    """

    stored: StoredRequest
    repeated: bool


def judge(request: VideoRequest, catalogue: Catalogue, now: datetime) -> list[Problem]:
    """What this installation, at this time, cannot do of a well-formed request."""
    problems = []
    if request.topic is not None and catalogue.topics is not None:
        problems.append(Problem("topic", catalogue.topics))
    if request.topic is not None and request.budget is not None and catalogue.unpriced is not None:
        problems.append(Problem("budget", catalogue.unpriced))
    if request.topic is None:
        # Other words are spoken as they are: whoever asks for a tone would wait for it in vain.
        wishes = {"tone": request.tone, "audience": request.audience, "brand": request.brand != Brand()}
        problems += [
            Problem(field, "is for the writer of a topic; scenes and source_text are spoken as they are")
            for field, given in wishes.items()
            if given
        ]
    servers = [name for name, voices in catalogue.engines.items() if voices is None]
    spoken = request.narration is None
    if spoken and not is_known(request.voice, catalogue.engines, catalogue.voices):
        other = f"; another voice of a server is named {servers[0]}:NAME" if servers else ""
        problems.append(
            Problem("voice", f"{request.voice!r} is not known here; known: {_listed(catalogue.voices)}{other}")
        )
    if request.music.lower() not in {name.lower() for name in catalogue.music}:
        problems.append(Problem("music", f"{request.music!r} is not known here; known: {_listed(catalogue.music)}"))
    for index, scene in enumerate(request.scenes or ()):
        if scene.clip is not None and upload_id(scene.clip) is None and scene.clip not in catalogue.clips:
            known = _listed(catalogue.clips) if catalogue.clips else "none, set CM_FOOTAGE_FOLDER or cm upload FILE"
            problems.append(Problem(f"scenes.{index}.clip", f"there is no {scene.clip!r}; known: {known}"))
    problems += judge_uploads(request, catalogue.uploads)
    problems += [
        Problem(field, f"{platform!r} is not known; known: {_listed(PLATFORMS)}")
        for field, platforms in (("platforms", request.platforms), ("post.per_platform", request.post.per_platform))
        for platform in platforms
        if platform not in PLATFORMS
    ]
    problems += [problem for platform in request.platforms for problem in _unready(request, catalogue, platform)]
    problems += [problem for platform in request.platforms for problem in _refused(request, catalogue, platform)]
    problems += [
        Problem("notify", f"{name!r} is not known; known: {_listed(catalogue.endpoints) or 'none, set CM_NOTIFY'}")
        for name in request.notify
        if name not in catalogue.endpoints
    ]
    if request.publish_at is not None and request.publish_at <= now:
        problems.append(Problem("publish_at", f"{request.publish_at.isoformat()} is past"))
    if spoken and request.language.split("-")[0] != "en" and not servers:
        problems.append(
            Problem("language", f"{request.language!r} has no voice here; known: en; docs/voices.md has ways to others")
        )
    return problems


def _unready(request: VideoRequest, catalogue: Catalogue, platform: str) -> list[Problem]:
    """Why nothing could be posted on a platform."""
    accounts = catalogue.accounts(platform)
    if accounts is None:
        return []
    if not accounts:
        return [Problem("platforms", f"no account of {platform} is connected: run cm connect {platform}")]
    wanted = request.post.on(platform).account or ""
    if wanted in accounts or (not wanted and len(accounts) == 1):
        return []
    said = f"{wanted!r} is none of {platform}'s" if wanted else f"say which of {platform}'s is meant"
    return [Problem("post.account", f"{said}: {_listed(accounts)}")]


def _refused(request: VideoRequest, catalogue: Catalogue, platform: str) -> list[Problem]:
    """What a platform would refuse of what the request has a post say."""
    post, own = request.post.on(platform), request.post.per_platform.get(platform)
    found = [
        *too_much(platform, title=post.title or "", description=post.description or "", hashtags=post.hashtags or ()),
        # Whoever finishes a draft in the app chooses there who sees it.
        *not_offered(
            platform,
            category=post.category or "",
            privacy="" if platform in catalogue.drafts else post.privacy or "",
        ),
    ]
    given = own.model_dump(exclude_none=True) if own else {}
    place = f"post.per_platform.{platform}"
    return [Problem(f"{place if one.field in given else 'post'}.{one.field}", one.why) for one in found]


def accept(
    database: Database,
    catalogue: Catalogue,
    request: VideoRequest,
    *,
    source: str,
    key: str | None = None,
    now: datetime | None = None,
    room: Callable[[], None] | None = None,
) -> Accepted:
    """Store a request, or find the one that this repeats.

    Args:
        database: where it is stored.
        catalogue: what can be served.
        request: what is asked for.
        source: the way in.
        key: what makes a repeat recognisable; the content's hash by default.
        now: the time of receipt.
        room: raises `DiskFull` where there is no room for another video; a repeat needs none.

    Raises:
        RequestError: the request cannot be served, or its key or id stands for other content or a retired video.
        DiskFull: there is no room.
    """
    now = now or datetime.now(UTC)
    key = key or request.content_sha256()
    for _ in range(2):
        found = database.find(source, key)
        if found is None and request.id is not None:
            found = database.get(request.id)
        if found is not None:
            return _repeat(found, request)
        problems = judge(request, catalogue, now)
        if problems:
            raise RequestError(problems)
        if room is not None:
            room()
        stored = StoredRequest(
            id=request.id or new_id(request, now),
            source=source,
            key=key,
            document=request.canonical(),
            content_sha256=request.content_sha256(),
            priority=request.priority,
            received_at=now,
            wanted=True,
            wanted_at=now,
            outcome="",
            reason="",
            lost_runs=0,
            rank=backlog_rank(request.priority, now),
        )
        try:
            database.add(stored)
        except Taken:
            continue  # somebody else stored it between the look and the write: now it is found
        except UploadGone as gone:
            raise RequestError(missing(request, gone.ids)) from None
        log.info("asked for by %s", source, extra={"video": stored.id})
        return Accepted(stored, repeated=False)
    raise RequestError([Problem("id", "is taken")], conflict=True)


def _repeat(found: StoredRequest, request: VideoRequest) -> Accepted:
    if found.outcome == RETIRED and request.id == found.id:
        problem = Problem("id", f"video {found.id} is retired, and its id is never used again; choose another id")
        raise RequestError([problem], conflict=True)
    if found.outcome == RETIRED:
        problem = Problem("request", f"video {found.id} was made of it and is retired; --new makes another one")
        raise RequestError([problem], conflict=True)
    if found.content_sha256 != request.content_sha256():
        field, what = ("id", "id") if request.id == found.id else ("request", "key: this one is taken")
        problem = Problem(field, f"video {found.id} was requested with other content; choose another {what}")
        raise RequestError([problem], conflict=True)
    return Accepted(found, repeated=True)


def fresh_key() -> str:
    """A key that no request has: for asking for another video of the same content."""
    return uuid.uuid4().hex


def new_id(request: VideoRequest, now: datetime) -> VideoId:
    """An id that tells a person what it is: date, a few words, a random suffix."""
    from anyascii import anyascii

    text = request.post.title or request.topic or request.source_text or (request.scenes or ())[0].text
    words = re.findall(r"[a-z0-9]+", anyascii(text[:200]).lower())
    slug = ""
    for word in words:
        if len(slug) + 1 + len(word) > 40:
            break
        slug = f"{slug}-{word}" if slug else word
    return "-".join(
        part for part in (f"{now:%Y-%m-%d}", slug or words[0][:40] if words else "", secrets.token_hex(3)) if part
    )


def _listed(names: Collection[str], most: int = 40) -> str:
    shown = ", ".join(sorted(names)[:most])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown
