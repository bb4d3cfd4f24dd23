"""The way in for programs: submit, status, cancel, and an engine for as long as one is needed.

Imports Dagster only where it is asked about work, and never the definitions.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cm_assets.lifecycle.catalogue import Catalogue, catalogue
from cm_assets.lifecycle.documents import parse
from cm_assets.lifecycle.intake import Accepted, accept, fresh_key
from cm_assets.models.base import TransientFailure
from cm_assets.models.render import Render
from cm_assets.models.request import VideoRequest
from cm_assets.models.status import StageStatus, State, Status
from cm_assets.orchestration import home as homes
from cm_assets.orchestration.processes import start
from cm_assets.partitions import VideoId
from cm_assets.policies import PRODUCE
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database, StoredRequest

ENGINE_STARTS = 3
"""How often an engine that dies is started again before that is an error."""


class UnknownVideo(KeyError):
    """No video has this id."""


class Client:
    """Submits requests to a home and says where its videos stand."""

    def __init__(self, settings: Settings) -> None:
        homes.prepare(settings)
        self.settings = settings
        self.database = Database(settings.database)
        self.store = ArtifactStore(settings.artifacts, settings.cache)
        self._starts = 0
        self._dagster: Any = None

    def catalogue(self) -> Catalogue:
        """What can be asked for."""
        return catalogue(self.settings)

    def submit(
        self, document: Mapping[str, Any] | VideoRequest, *, source: str, key: str | None = None, new: bool = False
    ) -> Accepted:
        """Store a request. A repeat finds its video, and asks for it again if it had failed or was cancelled.

        Args:
            document: the request.
            source: the way in.
            key: what makes a repeat recognisable; the content's hash by default.
            new: make another video even if this was asked for before.

        Raises:
            RequestError: it was refused; nothing was stored.
        """
        request = document if isinstance(document, VideoRequest) else parse(document)
        accepted = accept(self.database, self.catalogue(), request, source=source, key=fresh_key() if new else key)
        if accepted.repeated and accepted.stored.outcome in {"failed", "cancelled"}:
            self.database.want(accepted.stored.id)
        return accepted

    def cancel(self, video: VideoId) -> bool:
        """Stop the work on a video; False if none was wanted. What is made stays made.

        Raises:
            UnknownVideo: there is no such video.
        """
        self._stored(video)
        return self.database.close(video, "cancelled", "on request")

    def status(self, video: VideoId) -> Status:
        """Where a video stands.

        Raises:
            UnknownVideo: there is no such video.
        """
        stored = self._stored(video)
        request = parse(stored.document)
        from cm_assets.lifecycle.plan import missing, unposted
        from cm_assets.lifecycle.worklog import WorkLog

        log = WorkLog(self._instance())
        all_made = log.all_made(video)
        made = {stage: one.storage_id for stage, one in all_made.items()}
        shares = self.database.progress(video)
        to_make, to_post = missing(made), unposted(request, made)
        stages = []
        for stage in (*PRODUCE, *(f"published_post/{platform}" for platform in request.platforms)):
            done = stage not in to_make and stage not in to_post
            running = not done and stage in shares and stored.wanted
            state = "done" if done else "running" if running else "waiting"
            stages.append(StageStatus(stage=stage, state=state, share=1.0 if done else shares.get(stage, 0.0)))
        render = (
            Render.model_validate_json(self.store.read(all_made["render"].metadata["model"])) if not to_make else None
        )
        links = {}
        if render is not None:
            links = {name: self.store.address(getattr(render, name)) for name in ("video", "cover", "srt", "vtt")}
            for platform in request.platforms:
                if f"published_post/{platform}" not in to_post:
                    links[platform] = str(all_made[f"published_post/{platform}"].metadata["post"])
        state, waiting_for = _state(stored, request, to_make, to_post, bool(shares), datetime.now(UTC))
        newest = log.newest_run(video)
        return Status(
            id=video,
            state=state,
            stages=tuple(stages),
            reason=stored.reason if state in {"failed", "cancelled"} else "",
            waiting_for=waiting_for,
            received_at=stored.received_at,
            run_id=newest.dagster_run.run_id if newest else None,
            links=links,
            seconds=render.seconds if render else None,
            size=render.video.size if render else None,
        )

    @contextmanager
    def engine(self) -> Iterator[None]:
        """Have an engine for as long as the block runs, the home's own if there is one."""
        with homes.needing_engine(self.settings):
            self.ensure_engine()
            yield

    def ensure_engine(self) -> None:
        """Start an engine if none runs. Call it now and then while you need one: engines may be killed.

        Raises:
            TransientFailure: it died again and again.
        """
        if homes.engine_runs(self.settings):
            return
        folder = homes.engine_folder(self.settings)
        if self._starts >= ENGINE_STARTS:
            raise TransientFailure(f"the engine does not stay up: see {folder / 'engine.log'}")
        self._starts += 1
        process = start(["-m", "cm_assets.orchestration.engine"], self.settings.home, folder / "engine.log")
        while process.poll() is None and not homes.engine_runs(self.settings):
            time.sleep(0.05)

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until the engine takes work.

        Raises:
            TransientFailure: it did not in that time.
        """
        ready = homes.engine_folder(self.settings) / "ready"
        deadline = time.monotonic() + seconds
        while not ready.exists():
            if time.monotonic() > deadline:
                raise TransientFailure(f"the engine did not start: see {self.engine_log()}")
            self.ensure_engine()
            time.sleep(0.05)

    def wait_until_gone(self, seconds: float) -> None:
        """Wait until no engine runs, because nobody needs it any more, or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and homes.engine_runs(self.settings):
            time.sleep(0.05)

    def works_on(self, video: VideoId) -> bool:
        """Whether a run of the video is in flight."""
        from cm_assets.lifecycle.worklog import WorkLog

        return bool(WorkLog(self._instance()).runs(video, active=True, limit=1))

    def engine_log(self) -> Path:
        """Where the engine writes what happens to it."""
        return homes.engine_folder(self.settings) / "engine.log"

    def _stored(self, video: VideoId) -> StoredRequest:
        stored = self.database.get(video)
        if stored is None:
            raise UnknownVideo(video)
        return stored

    def _instance(self) -> Any:
        if self._dagster is None:
            self._dagster = homes.open_instance(self.settings)
        return self._dagster


def _state(
    stored: StoredRequest,
    request: VideoRequest,
    to_make: tuple[str, ...],
    to_post: tuple[str, ...],
    running: bool,
    now: datetime,
) -> tuple[State, str]:
    """The state of a video, and what it waits for."""
    if not to_make and not to_post:
        return "published", ""
    if stored.outcome == "failed":
        return "failed", ""
    if stored.outcome == "cancelled":
        return "cancelled", ""
    if to_make:
        if request.not_before is not None and request.not_before > now:
            return "queued", f"its time, {request.not_before.isoformat()}"
        return ("producing", "") if running else ("queued", "a free place")
    if request.publish_at is not None and request.publish_at > now:
        return "scheduled", f"its time, {request.publish_at.isoformat()}"
    return "publishing", ""
