"""The clips of a video from all its sources: chosen one after the other, loaded side by side.

So no clip is chosen twice, the choice is the same whichever link is quick, and a video waits as long as for its slowest
clip and not for all of them.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from cm_assets.engines.footage.stock import Offer, Stock
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, Seconds, TransientFailure
from cm_assets.models.clips import FetchedClip, FootageQuery
from cm_assets.models.protocols import FootageSource, Progress
from cm_assets.models.upload import upload_id

AT_ONCE = 10
"""Downloads of one video. Sites limit a connection more often than a client."""

PATIENCE: Seconds = 3600.0
"""For which a site that asks to wait is waited for: the window of Pexels's calls. If it asks for more, as
when the month's calls are used up, the next source is taken."""

MOST_FAILED = 3
"""Clips of a source that could not be loaded at the last try: then their host is down."""

MOST_REFUSED = 20
"""Clips of a source that were no use: then it is the source."""

log = logging.getLogger(__name__)

Source = FootageSource | Stock


@dataclass(slots=True)
class _Shot:
    """A place in the video; what could be shown there, best first; and what is."""

    query: FootageQuery
    candidates: Iterator[FetchedClip | tuple[Stock, Offer]]
    clip: FetchedClip | None = None


class Gathering:
    """Gathers the clips of one video.

    Args:
        sources: in order of preference.
        into: folder for files.
        progress: told the share of the clips that are there.
        last_try: whether nobody tries again after a transient failure: then the next source is taken.

    Attributes:
        passed_over: which sources and clips were left out and why, for people.
    """

    def __init__(self, sources: Sequence[Source], into: Path, progress: Progress, *, last_try: bool) -> None:
        self.passed_over: list[str] = []
        self._sources = sources
        self._into = into
        self._progress = progress
        self._last_try = last_try
        self._shown: set[str] = set()
        self._refused: set[str] = set()
        self._down: set[str] = set()
        self._refusals: Counter[tuple[str, int]] = Counter()

    def clips(self, queries: Sequence[FootageQuery]) -> list[FetchedClip]:
        """A clip for each query, in their order, none twice.

        Raises:
            TransientFailure: a source or a clip's host is down, and this is not the last try.
            AskedToWait: a source said when to come back.
            PermanentFailure: a source is configured wrongly, or none has anything.
        """
        shots = [_Shot(query, self._candidates(query)) for query in queries]
        stop = threading.Event()
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="footage")
        try:
            while any(shot.clip is None for shot in shots):
                loading = self._choose(shots, pool, stop)
                self._told(shots)
                self._receive(shots, loading)
        finally:
            # A time limit comes out of the wait above. Whoever still reads ends with its next byte, or when its host
            # was silent for long enough: nothing here waits for that.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return [shot.clip for shot in shots if shot.clip is not None]

    def _candidates(self, query: FootageQuery) -> Iterator[FetchedClip | tuple[Stock, Offer]]:
        where = "upload" if upload_id(query.clip) else "folder"
        own = [source for source in self._sources if source.name == where]
        for source in own if query.clip is not None and own else self._sources:
            if not isinstance(source, Stock):
                found = source.fetch(replace(query, used=frozenset(self._shown)), self._into)
                if found is not None:
                    yield found
                continue
            offers = source.offers(query)
            while source.name not in self._down:
                try:
                    offer = next(offers, None)
                except (TransientFailure, AskedToWait) as failure:
                    if not self._may_go_on(failure):
                        raise
                    self._leave(source, str(failure))
                    break
                if offer is None:
                    break
                yield source, offer

    def _choose(
        self, shots: Sequence[_Shot], pool: ThreadPoolExecutor, stop: threading.Event
    ) -> dict[Future[Path], tuple[_Shot, Stock, Offer]]:
        """Choose for all shots that have no clip; what must be loaded is on its way already."""
        loading = {}
        for shot in (one for one in shots if one.clip is None):
            for found in shot.candidates:
                if isinstance(found, FetchedClip):
                    shot.clip = found
                    self._shown.add(found.spec.key)
                    break
                source, offer = found
                if offer.key not in self._shown | self._refused:
                    source.choose(offer)
                    self._shown.add(offer.key)
                    loading[pool.submit(source.load, offer, self._into, stop)] = (shot, source, offer)
                    break
            else:
                raise PermanentFailure(
                    f"no footage source has anything for scene {shot.query.scene + 1}: add illustrated to CM_FOOTAGE"
                )
        return loading

    def _receive(self, shots: Sequence[_Shot], loading: dict[Future[Path], tuple[_Shot, Stock, Offer]]) -> None:
        """Look through what was loaded; a clip that is unfit is refused, and another one chosen in the next round."""
        again: TransientFailure | AskedToWait | None = None
        for future in as_completed(loading):
            shot, source, offer = loading[future]
            try:
                shot.clip = source.clip(offer, future.result())
                self._told(shots)
            except PermanentFailure as failure:
                self._refuse(source, offer, failure)
            except (TransientFailure, AskedToWait) as failure:
                # The others are waited for: what is loaded now need not be loaded by the next try.
                if self._may_go_on(failure):
                    self._refuse(source, offer, failure)
                else:
                    again = again or failure
        if again is not None:
            raise again

    def _may_go_on(self, failure: TransientFailure | AskedToWait) -> bool:
        return failure.seconds > PATIENCE if isinstance(failure, AskedToWait) else self._last_try

    def _refuse(self, source: Stock, offer: Offer, failure: Failure) -> None:
        self._shown.discard(offer.key)
        self._refused.add(offer.key)
        self._note(f"{offer.key}: {failure}")
        most = MOST_REFUSED if isinstance(failure, PermanentFailure) else MOST_FAILED
        self._refusals[source.name, most] += 1
        if self._refusals[source.name, most] >= most and source.name not in self._down:
            self._leave(source, "too many of its clips cannot be used")

    def _leave(self, source: Stock, why: str) -> None:
        """Take nothing more from a source."""
        self._down.add(source.name)
        self._note(f"{source.name}: {why}")

    def _note(self, what: str) -> None:
        self.passed_over.append(what)
        log.warning("footage: passed over, %s", what)

    def _told(self, shots: Sequence[_Shot]) -> None:
        self._progress(sum(shot.clip is not None for shot in shots) / len(shots))
