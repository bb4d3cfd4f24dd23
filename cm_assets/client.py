"""The way in for programs: submit, status, list, cancel, retry, retire, and an engine for as long as one is needed.

Answers from the database, without Dagster, which takes longer to import than anything here takes to say.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm_assets.lifecycle.catalogue import Catalogue, catalogue
from cm_assets.lifecycle.documents import RequestError, parse
from cm_assets.lifecycle.intake import Accepted, accept, fresh_key
from cm_assets.lifecycle.plan import Posts, present
from cm_assets.lifecycle.review import ASSET
from cm_assets.lifecycle.status import ENDS, Facts, facts_of
from cm_assets.lifecycle.status import status as derive
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import Failure, TransientFailure
from cm_assets.models.disk import DiskUse
from cm_assets.models.numbers import Numbers, StageNumbers, Told
from cm_assets.models.request import VideoRequest
from cm_assets.models.spending import NOTHING
from cm_assets.models.status import State, Status
from cm_assets.orchestration import broker
from cm_assets.orchestration import home as homes
from cm_assets.partitions import VideoId
from cm_assets.policies import POST, PRODUCE, STAGES, backlog_rank
from cm_assets.settings import Settings
from cm_assets.storage.database import RETIRED, Database, StoredRequest
from cm_assets.storage.deliveries import Deliveries
from cm_assets.storage.disk import Disk, check, measure
from cm_assets.storage.fleet import places_by_queue, step_workers_of
from cm_assets.storage.ledger import PostLedger
from cm_assets.storage.spending import bills, spent, spent_on

if TYPE_CHECKING:
    from cm_assets.lifecycle.arrivals import Arrivals
    from cm_assets.lifecycle.calendar import Planned
    from cm_assets.lifecycle.worklog import WorkLog
    from cm_assets.models.calendar import CalendarStatus, EntryStatus
    from cm_assets.models.story import Story
    from cm_assets.storage.artifacts import ArtifactStore
    from cm_assets.storage.uploads import Uploads

ENGINE_STARTS = 5
"""How often an engine that dies is started again, within `LASTING`, before that is an error."""

LASTING = 600.0
"""Seconds after which the start of an engine is forgotten."""


UNFINISHED = frozenset({"failed", "partial", "cancelled"})
"""Outcomes after which there is something to go on with."""

MOST_COUNTED = 1000
"""Videos in work whose states are looked at to count them."""

MOST_DATES = 100
"""Dates to come that are told of one entry of the calendar."""


class UnknownVideo(KeyError):
    """No video has this id."""


class NotPosted(Exception):
    """There is no post that could be taken down; says why."""


class UnknownEntry(KeyError):
    """The calendar has no entry of this name that can be served."""


class NotToBeReviewed(Exception):
    """There is no render that this decision could be about; says why."""


class Client:
    """Submits requests to a home and says where its videos stand."""

    def __init__(self, settings: Settings) -> None:
        homes.prepare(settings)
        self.settings = settings
        self.database = Database(settings.database)
        self._disk = Disk(settings, self.database)
        self._starts: list[float] = []

    def catalogue(self) -> Catalogue:
        """What can be asked for."""
        return catalogue(self.settings)

    def submit(
        self,
        document: Mapping[str, Any] | VideoRequest,
        *,
        source: str,
        key: str | None = None,
        new: bool = False,
        known: Catalogue | None = None,
        room: Callable[[], None] | None = None,
    ) -> Accepted:
        """Store a request. A repeat finds its video, and asks for it again if it had failed or was cancelled.

        Args:
            document: the request.
            source: the way in.
            key: what makes a repeat recognisable; the content's hash by default.
            new: make another video even if this was asked for before.
            known: what can be asked for; looked up if None.
            room: raises where the caller takes no other video, however much room there is on the disk.

        Raises:
            RequestError: it was refused; nothing was stored.
            DiskFull: there is no room for another video; nothing was stored.
        """
        request = document if isinstance(document, VideoRequest) else parse(document)

        def room_for_all() -> None:
            if room is not None:
                room()
            self._require_room()

        accepted = accept(
            self.database,
            known or self.catalogue(),
            request,
            source=source,
            key=fresh_key() if new else key,
            room=room_for_all,
        )
        if accepted.repeated and accepted.stored.outcome in UNFINISHED:
            self.database.want(accepted.stored.id)
        return accepted

    def cancel(self, video: VideoId) -> bool:
        """Stop the work on a video; False if none was wanted. What is made stays made.

        Raises:
            UnknownVideo: there is no such video.
        """
        self._stored(video)
        return self.database.close(video, "cancelled", "on request")

    def retry(self, video: VideoId) -> bool:
        """Ask again for a video that failed or was cancelled; it goes on from the stage that was unfinished.

        One that waits for a service is tried now, and may be told to wait again.

        Returns:
            False if it is at work or finished: there is nothing to retry.

        Raises:
            UnknownVideo: there is no such video.
        """
        stored = self._stored(video)
        if stored.wanted:
            return self.database.hurry(video)
        PostLedger(self.database).begin_anew(video)
        return stored.outcome in UNFINISHED and self.database.want(video)

    def take_down(self, video: VideoId, platforms: Collection[str] = ()) -> Sequence[str]:
        """Have the posts of a video removed.

        Args:
            video: which.
            platforms: where; wherever it is posted if empty.

        Returns:
            The platforms on which it is posted, or an upload was begun, and is to be no more.

        Raises:
            UnknownVideo: there is no such video.
            NotPosted: it is posted on none of them, or is still at work.
        """
        stored = self._stored(video)
        if stored.outcome == RETIRED:
            raise NotPosted(f"{video} is retired: what is left of it can only be taken down by hand")
        request = parse(stored.document)
        there = self.present(video)
        chosen = [one for one in there if not platforms or one in platforms]
        if not chosen:
            where = ", ".join(platforms) or "any platform"
            raise NotPosted(f"{video} is not posted on {where}" + (f", but on {', '.join(there)}" if there else ""))
        if stored.wanted:
            raise NotPosted(f"{video} is still at work: cm cancel {video} first")
        # What was never posted is not to be posted by this.
        never = {one for one in request.platforms if one not in there and POST + one not in stored.given_up}
        self.database.want(video, sorted({*stored.take_down, *chosen, *never}))
        return chosen

    def present(self, video: VideoId) -> Sequence[str]:
        """The platforms on which a video is posted, or an upload of it was begun; none if it is retired.

        Raises:
            UnknownVideo: there is no such video.
        """
        stored = self._stored(video)
        if stored.outcome == RETIRED:
            return ()
        facts = facts_of(self.database.noted([video]).get(video))
        begun = PostLedger(self.database).begun([video]).get(video, ())
        posts = Posts(facts.taken, unwanted=stored.take_down, begun=begun)
        return present(parse(stored.document), facts.made, posts)

    def approve(self, video: VideoId, *, render_sha256: str | None = None, by: str = "") -> None:
        """Let a render be posted. Approving it again changes nothing, however far it has come since.

        Args:
            video: whose.
            render_sha256: of the render that was looked at; that of the newest one which waits for it if None.
            by: who says so.

        Raises:
            UnknownVideo: there is no such video.
            NotToBeReviewed: there is no render to approve, it is another one by now, or its checks failed.
        """
        state, facts = self._rendered(video, render_sha256)
        # Whoever lost the answer asks again, and it may be posted by now.
        if render_sha256 is not None and facts.review.verdict == "approved":
            return
        _refuse_unless_undecided(video, state)
        if facts.failed_checks:
            raise NotToBeReviewed(f"{video} did not pass {', '.join(facts.failed_checks)}: it cannot be approved")
        if facts.review.verdict != "approved":
            self._decide(video, approved=True, metadata={"render_sha256": facts.render_sha256, "by": by})

    def reject(self, video: VideoId, feedback: str, *, render_sha256: str | None = None, by: str = "") -> None:
        """Have a render made anew, or not at all; the writer gets the feedback.

        The same feedback to the same render again changes nothing, however far its revision has come.

        Args:
            video: whose.
            feedback: what to do better.
            render_sha256: of the render that was looked at; the newest one's if None.
            by: who says so.

        Raises:
            UnknownVideo: there is no such video.
            NotToBeReviewed: there is no render to reject, or it is another one by now.
            ValueError: there is no feedback.
        """
        if not feedback.strip():
            raise ValueError("say what to do better")
        try:
            state, facts = self._rendered(video, render_sha256)
            _refuse_unless_undecided(video, state)
        except NotToBeReviewed:
            # Whoever lost the answer asks again, and there may be another render by now.
            if render_sha256 is None or not self._was_rejected(video, render_sha256, feedback.strip()):
                raise
            return
        metadata = {"render_sha256": facts.render_sha256, "by": by, "feedback": feedback.strip()}
        self._decide(video, approved=False, metadata=metadata)

    def _was_rejected(self, video: VideoId, render_sha256: str, feedback: str) -> bool:
        """Whether this was said of this render before."""
        with self._records() as (worklog, _):
            said = [one for one in worklog.decisions(video) if one.render_sha256 == render_sha256]
        return bool(said) and not said[0].approved and said[0].feedback == feedback

    def _rendered(self, video: VideoId, render_sha256: str | None) -> tuple[State, Facts]:
        """State and facts of a video that has this render."""
        state = self.status(video).state
        if state == "retired":
            raise NotToBeReviewed(f"{video} is retired: its render is gone")
        facts = facts_of(self.database.noted([video]).get(video))
        if not facts.render_sha256:
            raise NotToBeReviewed(f"{video} has no render yet: it is {state}")
        if render_sha256 is not None and render_sha256 != facts.render_sha256:
            raise NotToBeReviewed(
                f"the render of {video} is {facts.render_sha256[:8]} by now, not {render_sha256[:8]}: look at it first"
            )
        return state, facts

    def _decide(self, video: VideoId, *, approved: bool, metadata: Mapping[str, str]) -> None:
        import dagster as dg

        from cm_assets.lifecycle.projection import Projection

        kind = dg.AssetMaterialization if approved else dg.AssetObservation
        with self._records() as (worklog, store):
            projection = Projection(self.database, worklog, store)
            if not projection.knows(video):
                raise NotToBeReviewed(f"{video} was made by another Dagster instance: set CM_DAGSTER_HOME to its home")
            event = kind(asset_key=ASSET, partition=video, metadata=dict(metadata))
            projection.instance.report_runless_asset_event(event)
            # An engine would see it too, but none may run.
            with suppress(Failure):
                projection.note(video)
        self.database.resume([video])

    @contextmanager
    def _records(self) -> "Iterator[tuple[WorkLog, ArtifactStore]]":
        from cm_assets.lifecycle.worklog import WorkLog

        with homes.open_instance(self.settings) as instance:
            yield WorkLog(instance), self._store

    def retire(self, video: VideoId) -> bool:
        """Remove a video's artifacts, its runs and its partition; a tombstone stays, and so do its posts.

        Returns:
            False if a run of it has just begun: the engine removes what is left when that has ended.

        Raises:
            UnknownVideo: there is no such video.
            NotToBeRetired: it is open, in flight, or approved and not posted.
        """
        from cm_assets.orchestration.retention import Retirement

        stored = self._stored(video)
        with self._records() as (worklog, store):
            return Retirement(self.database, worklog, store).retire(stored, "on request")

    def rendered(self, video: VideoId) -> Mapping[str, ArtifactRef]:
        """What the newest render of a video is: its `video`, `cover`, `srt` and `vtt`; nothing if there is none.

        Raises:
            UnknownVideo: there is no such video.
        """
        return facts_of(self.database.noted([self._stored(video).id]).get(video)).files

    def lend(self, ref: ArtifactRef) -> AbstractContextManager[Path]:
        """A file of the artifact store on this machine, for the time of a `with` block; loaded if it lies elsewhere.

        Raises:
            LostArtifact: it is not there, or is not what it was.
            Failure: it cannot be had.
        """
        return self._store.lend(ref)

    @cached_property
    def _store(self) -> "ArtifactStore":
        from cm_assets.storage.artifacts import ArtifactStore

        return ArtifactStore(self.settings.artifacts, self.settings.cache, self.settings.artifact_cache_bytes)

    @cached_property
    def uploads(self) -> "Uploads":
        """The files that users have handed in."""
        from cm_assets.storage.uploads import Uploads

        return Uploads(self.database, self._store)

    @cached_property
    def arrivals(self) -> "Arrivals":
        """Takes files in that users hand in."""
        from cm_assets.lifecycle.arrivals import Arrivals

        return Arrivals(
            self.settings.incoming,
            self.uploads,
            largest=self.settings.upload_bytes,
            ffmpeg=self.settings.ffmpeg,
            room=self._require_room,
        )

    def full(self) -> str:
        """Why there is no room for another video; empty if there is."""
        return self._disk.full()

    def disk(self) -> DiskUse:
        """What the home and a local artifact store take, as it was last measured, and what is free."""
        if not self.database.disk():
            self._measure()  # no engine was here yet, so there is little to walk through
        return self._disk.use()

    def _require_room(self) -> None:
        if self._disk.full() and not homes.engine_runs(self.settings):
            # Nobody else would notice that somebody has made room.
            self._measure()
        self._disk.require_room()

    def _measure(self) -> None:
        sizes: Counter[str] = Counter()
        for part, size in measure(self.settings):
            sizes[part] += size
        for _ in check(self.database, self._store.local_bytes):
            pass
        self._disk.note(sizes)

    def reprioritise(self, video: VideoId, priority: int) -> bool:
        """Give a video that waits another place in the backlog; False if it waits no more.

        Args:
            video: which.
            priority: 1 (urgent) to 10.

        Raises:
            UnknownVideo: there is no such video.
            ValueError: there is no such priority.
        """
        if not 1 <= priority <= 10:
            raise ValueError(f"{priority} is no priority: 1 (urgent) to 10")
        stored = self._stored(video)
        return self.database.reprioritise(video, priority, backlog_rank(priority, stored.received_at))

    def status(self, video: VideoId) -> Status:
        """Where a video stands. Reads the database alone.

        Raises:
            UnknownVideo: there is no such video.
        """
        return self._statuses([self._stored(video)])[0]

    def asked(self, video: VideoId) -> StoredRequest:
        """What was asked for, and when.

        Raises:
            UnknownVideo: there is no such video.
        """
        return self._stored(video)

    def story(self, video: VideoId) -> "Story":
        """A video, told in full: its script, checks, attempts and decisions. Reads Dagster's records.

        Raises:
            UnknownVideo: there is no such video.
        """
        from cm_assets.lifecycle.story import tell

        self._stored(video)
        bill = bills(self.database, [video]).get(video, NOTHING)
        with self._records() as (worklog, store):
            return tell(worklog, store, video, bill)

    def counts(self) -> Mapping[State, int]:
        """How many videos are in each state. Those in work beyond the newest thousand count as queued."""
        return self._counted(*self._in_work())

    def _in_work(self) -> tuple[Sequence[Status], int]:
        """The newest thousand open videos on which some work was done, and how many others are open."""
        begun = self.database.newest(limit=MOST_COUNTED, wanted=True, begun=True)
        return self._statuses(begun), self.database.count_open() - len(begun)

    def _counted(self, begun: Sequence[Status], others: int) -> Mapping[State, int]:
        ended = self.database.count_ends()
        found: Counter[State] = Counter(status.state for status in begun)
        found["queued"] += others
        return found + Counter({state: ended[outcome] for outcome, state in ENDS.items() if outcome in ended})

    def videos(
        self,
        *,
        states: Collection[State] = (),
        limit: int = 50,
        before: VideoId | None = None,
        text: str = "",
    ) -> Sequence[Status]:
        """Videos, the newest first.

        Args:
            states: only those in one of these states; all if empty.
            limit: at most so many.
            before: only those that come after this one in the list.
            text: only those whose id or title has this in it.

        Raises:
            UnknownVideo: there is no video `before`.
        """
        after = None if before is None else self._stored(before)
        found: list[Status] = []
        while len(found) < limit:
            page = self._page(states, max(limit, 50), after, text)
            if not page:
                break
            found += [status for status in self._statuses(page) if not states or status.state in states]
            after = page[-1]
        return found[:limit]

    def numbers(self) -> Numbers:
        """All videos of the home in numbers."""
        waiting: Counter[str] = Counter()
        running: Counter[str] = Counter()
        begun, others = self._in_work()
        for status in begun:
            at_work = [stage.stage for stage in status.stages if stage.state == "running"]
            running.update(at_work)
            if not at_work and status.state in {"queued", "producing", "publishing"}:
                waiting.update([stage.stage for stage in status.stages if stage.state == "waiting"][:1])
        waiting[PRODUCE[0]] += others
        ended: dict[str, dict[str, tuple[int, float]]] = {stage: {} for stage in STAGES}
        for (stage, way), figures in self.database.attempts().items():
            ended.setdefault(stage, {})[way] = figures
        dollars, tokens = spent(self.database)
        now = datetime.now(UTC)
        return Numbers(
            states=self._counted(begun, others),
            stages={
                stage: StageNumbers(
                    waiting=waiting[stage],
                    running=running[stage],
                    attempts={way: count for way, (count, _) in ways.items()},
                    seconds={way: seconds for way, (_, seconds) in ways.items()},
                )
                for stage, ways in ended.items()
            },
            oldest=(now - (self.database.oldest_open() or now)).total_seconds(),
            dollars=dollars,
            tokens=tokens,
            engine=homes.somebody_works(self.settings, self.database),
            looked=(now.timestamp() - looked) if (looked := self.database.cursor(homes.LOOKED)) else None,
            dollars_today=float(spent_on(self.database, now)),
            budget_today=None if self.settings.budget_per_day is None else float(self.settings.budget_per_day),
            step_places=self.step_places(),
            told={
                name: Told(waiting=tally.waiting, given_up=tally.given_up)
                for name, tally in Deliveries(self.database).tallies().items()
            },
        )

    def step_places(self) -> Mapping[str, int]:
        """How many steps of each queue the workers of all hosts can execute at once; empty where there is no broker."""
        workers = step_workers_of(self.database)
        return places_by_queue(workers) if workers or broker.address() else {}

    def _page(
        self, states: Collection[State], limit: int, after: StoredRequest | None, text: str
    ) -> Sequence[StoredRequest]:
        """Requests that may be in one of the states."""
        outcomes = {state: outcome for outcome, state in ENDS.items()}
        if len(states) == 1 and (state := next(iter(states))) in outcomes:
            return self.database.newest(limit=limit, outcome=outcomes[state], before=after, text=text)
        open_only = bool(states) and not outcomes.keys() & set(states)
        # What nobody has worked on is queued, and there may be thousands of that.
        begun = open_only and "queued" not in states
        return self.database.newest(
            limit=limit, wanted=True if open_only else None, before=after, begun=begun, text=text
        )

    def _statuses(self, requests: Sequence[StoredRequest]) -> list[Status]:
        ids = [stored.id for stored in requests]
        noted, steps = self.database.noted(ids), self.database.progress(ids)
        at_work = self.database.at_work()
        now, engine = datetime.now(UTC), homes.somebody_works(self.settings, self.database)
        places = self.database.places([stored.id for stored in requests if stored.wanted], now)
        full = self._disk.full()
        paid = bills(self.database, ids)
        undoing = [one.id for one in requests if one.wanted and (one.take_down or one.given_up)]
        begun = PostLedger(self.database).begun(undoing)
        unserved = [queue for queue, places in self.step_places().items() if not places]
        return [
            derive(
                stored,
                facts_of(noted.get(stored.id)),
                steps.get(stored.id, {}),
                now,
                before=places.get(stored.id, 0),
                engine=engine,
                at_work=at_work,
                full=full,
                bill=paid.get(stored.id, NOTHING),
                begun=begun.get(stored.id, ()),
                unserved=unserved,
                pools=self.settings.pools,
            )
            for stored in requests
        ]

    def calendar(self, days: int) -> "CalendarStatus":
        """Where the calendar stands: what is due in the next days, what was the last, and what is wrong.

        Args:
            days: how far to look ahead.

        Raises:
            PermanentFailure: a setting names something that does not exist.
        """
        from cm_assets.models.calendar import CalendarStatus
        from cm_assets.orchestration.calendar import read_calendar

        file, now = self.settings.calendar_file, datetime.now(UTC)
        try:
            plan = read_calendar(file)
        except RequestError as error:
            said = tuple(str(problem) for problem in error.problems)
            return CalendarStatus(file=str(file), exists=True, problems=said)
        if plan is None:
            return CalendarStatus(file=str(file), exists=False)
        known, until = self.catalogue(), now + timedelta(days=days)
        return CalendarStatus(
            file=str(file),
            exists=True,
            entries=tuple(self._entry(planned, known, now, until) for planned in plan.entries),
            problems=tuple(str(problem) for problem in plan.problems),
        )

    def _entry(self, planned: "Planned", known: Catalogue, now: datetime, until: datetime) -> "EntryStatus":
        from cm_assets.lifecycle.calendar import SOURCE
        from cm_assets.models.calendar import EntryStatus

        last = self.database.last_key(SOURCE, f"{planned.name}:")
        return EntryStatus(
            name=planned.name,
            next=tuple(islice(takewhile(lambda one: one <= until, planned.timetable.after(now)), MOST_DATES)),
            last=datetime.fromisoformat(last.key.partition(":")[2]) if last else None,
            last_video=last.id if last else None,
            problems=tuple(str(problem) for problem in planned.check(known, now)),
        )

    def backfill(self, name: str, first: date, last: date) -> Sequence[Accepted]:
        """Have the requests of an entry's past dates stored, each once; all of them are judged before the first is.

        Args:
            name: of the entry.
            first: the first day, in the entry's zone.
            last: the last day.

        Returns:
            Each date's request, the earliest first; one that was there before is `repeated`, whatever was asked then.

        Raises:
            UnknownEntry: the calendar has none of this name.
            ValueError: the days are no range of past days, or hold too many dates.
            RequestError: the calendar, or the request of a date, is wrong; nothing was stored.
            DiskFull: there is no room for all of them; those that were stored are found the next time.
        """
        from cm_assets.orchestration.calendar import backfill, read_calendar

        plan = read_calendar(self.settings.calendar_file)
        entries = {planned.name: planned for planned in plan.entries} if plan else {}
        if name not in entries:
            raise UnknownEntry(name)
        return backfill(
            entries[name], first, last, self.database, self.catalogue(), datetime.now(UTC), self._require_room
        )

    def reindex(self, told: Callable[[int], None]) -> int:
        """Find out anew, from Dagster's records and the artifacts, what status and lists read; how many videos.

        Args:
            told: how many are done, now and then.
        """
        from cm_assets.lifecycle.projection import Projection

        with self._records() as (worklog, store):
            return Projection(self.database, worklog, store).rebuild(told)

    @contextmanager
    def engine(self) -> Iterator[None]:
        """Have an engine for as long as the block runs, the home's own if there is one.

        Where daemons of Dagster's do its work, there is none, and none is needed.
        """
        if self.settings.dagster_home is not None:
            yield
            return
        with homes.needing_engine(self.settings):
            self.ensure_engine()
            yield

    def ensure_engine(self) -> None:
        """Start an engine if none runs. Call it now and then while you need one: engines may be killed.

        Raises:
            TransientFailure: it died again and again.
        """
        if self.settings.dagster_home is not None:
            return
        folder, alone = homes.engine_folder(self.settings), homes.engine_lock(self.settings)
        if not alone.take():
            return
        # A killed engine says for ever that it is ready: who believes it starts what the next one sweeps away.
        (folder / "ready").unlink(missing_ok=True)
        homes.stands_by(self.settings, "")
        alone.release()
        self._starts = [at for at in self._starts if time.monotonic() - at < LASTING]
        if len(self._starts) >= ENGINE_STARTS:
            raise TransientFailure(f"the engine does not stay up: see {folder / 'engine.log'}")
        self._starts.append(time.monotonic())
        from cm_assets.orchestration.processes import start

        process = start(["-m", "cm_assets.orchestration.engine"], self.settings.home, folder / "engine.log")
        while process.poll() is None and not homes.engine_runs(self.settings):
            time.sleep(0.05)

    def engine_is_ready(self) -> bool:
        """Whether the home's engine takes work."""
        return (homes.engine_folder(self.settings) / "ready").exists()

    def wait_until_gone(self, seconds: float) -> None:
        """Wait until no engine runs, because nobody needs it any more, or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and homes.engine_runs(self.settings):
            time.sleep(0.05)

    def works_on(self, video: VideoId) -> bool:
        """Whether a run of the video is in flight."""
        return (
            homes.somebody_works(self.settings, self.database)
            and facts_of(self.database.noted([video]).get(video)).active
        )

    def engine_log(self) -> Path:
        """Where the engine writes what happens to it."""
        return homes.engine_folder(self.settings) / "engine.log"

    def _stored(self, video: VideoId) -> StoredRequest:
        stored = self.database.get(video)
        if stored is None:
            raise UnknownVideo(video)
        return stored


def _refuse_unless_undecided(video: VideoId, state: State) -> None:
    if state not in {"awaiting_review", "scheduled", "publishing"}:
        raise NotToBeReviewed(f"{video} does not wait for a decision: it is {state}")
