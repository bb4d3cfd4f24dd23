"""Tells everybody who is to be told: from the outbox of events to the endpoints, at least once.

Each endpoint is served by a thread of its own, so that one that is slow or dead holds up no other.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta

from cm_assets.engines.notifying.endpoint import Endpoint, Refused
from cm_assets.logs import about
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, Seconds, TransientFailure
from cm_assets.storage.database import Database
from cm_assets.storage.deliveries import Deliveries, Delivery

log = logging.getLogger("cm_assets.notifications")

INTERVAL: Seconds = 0.5
"""Between two looks of an engine's notifier."""

CLAIM = timedelta(seconds=60)
"""After which a delivery is due again whose notifier has gone silent; longer than any attempt takes."""

FIRST_DELAY: Seconds = 5.0
"""Before the first repetition; doubles with each, with jitter."""

LONGEST_DELAY: Seconds = 3600.0

GIVE_UP_AFTER = timedelta(hours=24)

LONGEST_REST: Seconds = 30.0
"""For which an endpoint that did not answer is sent nothing else: it may be this one event that it cannot digest."""

LONGEST_ASKED: Seconds = 86400.0
"""For which an endpoint may ask to be left alone."""

KEPT = timedelta(days=30)
"""For which events are kept after their video's end."""

PRUNE_EVERY: Seconds = 3600.0


def _now() -> datetime:
    return datetime.now(UTC)


def delay(attempts: int, jitter: float) -> Seconds:
    """Seconds to wait after so many attempts.

    Args:
        attempts: at least 1.
        jitter: 0 to 1.
    """
    return float(min(FIRST_DELAY * 2 ** min(attempts - 1, 20), LONGEST_DELAY) * (0.75 + jitter / 2))


class Notifier:
    """Delivers what is due. Needs no engine, and any number of them may work at once.

    Args:
        database: holds the outbox.
        names: endpoints of the events whose requests name none.
        variables: the environment; this process's own by default.
        now: the time.
        jitter: a number from 0 to 1.
    """

    def __init__(
        self,
        database: Database,
        names: Collection[str],
        variables: Mapping[str, str] = os.environ,
        *,
        now: Callable[[], datetime] = _now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._deliveries = Deliveries(database)
        self._names = tuple(names)
        self._variables = variables
        self._now = now
        self._jitter = jitter
        self._threads: dict[str, threading.Thread] = {}
        self._pruned = -PRUNE_EVERY

    def run(self, stopped: threading.Event) -> None:
        """Look again and again until `stopped` is set."""
        while not stopped.wait(INTERVAL):
            try:
                self.tick()
            except Exception:
                log.exception("telling what happens went wrong; it is tried again")

    def tick(self, seconds: Seconds = 0.0) -> bool:
        """One look: spread new events and begin to send what is due.

        Args:
            seconds: how long to go on with it and wait; what is under way then goes on by itself.

        Returns:
            Whether something is under way or due still.
        """
        deadline = time.monotonic() + seconds
        self._prune()
        while True:
            while self._deliveries.spread(self._recipients, self._now()):
                pass
            due = self._deliveries.due(self._now())
            for name in due:
                if not self._is_served(name):
                    self._serve(name)
            busy = bool(due) or any(map(self._is_served, self._threads))
            if not busy or time.monotonic() >= deadline:
                return busy
            time.sleep(0.05)

    def _recipients(self, kind: str, named: Collection[str]) -> Collection[str]:
        return [name for name in dict.fromkeys(named or self._names) if kind in Endpoint(name, self._variables).wants()]

    def _is_served(self, name: str) -> bool:
        return name in self._threads and self._threads[name].is_alive()

    def _serve(self, name: str) -> None:
        # Daemonic: an engine that ends does not wait for a server that does not answer. The claim will run out.
        self._threads[name] = threading.Thread(target=self._send_all, args=(name,), name=f"notify {name}", daemon=True)
        self._threads[name].start()

    def _send_all(self, name: str) -> None:
        endpoint = Endpoint(name, self._variables)
        try:
            while delivery := self._deliveries.claim(name, now := self._now(), now + CLAIM):
                with about(video=delivery.event.video_id, endpoint=name):
                    self._send(endpoint, delivery)
        except Exception:
            log.exception("telling %s went wrong; it is tried again", name)

    def _send(self, endpoint: Endpoint, delivery: Delivery) -> None:
        try:
            endpoint.send(delivery.event, self._now())
        except PermanentFailure as failure:
            self._give_up(delivery, failure)
        except Failure as failure:
            self._again(delivery, failure)
        except Exception as error:  # noqa: BLE001 - its words may hold the address, so only its name is kept
            self._again(delivery, TransientFailure(f"cannot be told: {type(error).__name__}"))
        else:
            self._deliveries.delivered(delivery, self._now())

    def _again(self, delivery: Delivery, failure: Failure) -> None:
        now = self._now()
        end = delivery.created_at + GIVE_UP_AFTER
        if isinstance(failure, AskedToWait):
            rest = wait = min(max(failure.seconds, 1.0), LONGEST_ASKED)
            next_at = now + timedelta(seconds=wait)
        else:
            wait = delay(delivery.attempts, self._jitter())
            rest = min(wait, LONGEST_REST)
            next_at = min(now + timedelta(seconds=wait), end)  # the last attempt is at the very end
        if not isinstance(failure, Refused):
            self._deliveries.rest(delivery.endpoint, now + timedelta(seconds=rest))
        if now >= end:
            self._give_up(delivery, failure)
            return
        if delivery.attempts == 1:
            log.warning("%s %s; %s of %s is tried again", delivery.endpoint, failure, *_named(delivery))
        self._deliveries.again(delivery, str(failure), next_at, refused=isinstance(failure, Refused))

    def _give_up(self, delivery: Delivery, failure: Failure) -> None:
        log.error(
            "%s %s; %s of %s is given up after %d attempts",
            delivery.endpoint,
            failure,
            *_named(delivery),
            delivery.attempts,
        )
        self._deliveries.give_up(delivery, str(failure), self._now())

    def _prune(self) -> None:
        if time.monotonic() - self._pruned >= PRUNE_EVERY:
            self._pruned = time.monotonic()
            while self._deliveries.prune(self._now() - KEPT):
                pass


def _named(delivery: Delivery) -> tuple[str, str]:
    return delivery.event.type, delivery.event.video_id
