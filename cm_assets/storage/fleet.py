"""Which step workers there are, by what they say themselves every few seconds; so a queue that nobody serves is known.

Brokers do not all know who listens, and who asks for a video's state need not reach the broker at all. Times are those
of the Postgres server that the hosts share. On SQLite there are no step workers.
"""

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cm_assets.models.base import Seconds
from cm_assets.policies import QUEUES
from cm_assets.storage.database import Database
from cm_assets.storage.leases import server_time

BEAT: Seconds = 5.0
"""Between two signs of life of a worker."""

SILENCE: Seconds = 30.0
"""After which a worker is taken for gone."""

REMEMBERED: Seconds = 600.0
"""For which one that went without a word is known to have been there."""


@dataclass(frozen=True, slots=True)
class StepWorker:
    """One `cm worker`.

    Attributes:
        host: on which it is.
        queues: that it takes steps from.
        places: steps that it executes at once.
        alive: whether it has given a sign of life lately.
    """

    host: str
    queues: tuple[str, ...]
    places: int
    alive: bool


class Presence:
    """A step worker's own entry.

    Args:
        database: the shared one.
        queues: that it takes steps from.
        places: steps that it executes at once.
        pid: of the worker on this host.
    """

    def __init__(self, database: Database, queues: Sequence[str], places: int, pid: int) -> None:
        self._database = database
        self._host = socket.gethostname()
        self._key = {"name": f"{self._host[:200]}:{pid}"}
        self._values = {"host": self._host, "queues": ",".join(queues), "places": places}

    def tell(self) -> None:
        """Give a sign of life, and forget those who have not for long.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        from cm_assets.storage.tables import step_workers

        with self._database.writing() as connection:
            values = {**self._values, "heard_at": server_time()}
            connection.execute(self._database.putting(step_workers, self._key, values))
            gone = step_workers.c.heard_at < server_time() - REMEMBERED
            connection.execute(step_workers.delete().where(gone))

    def leave(self) -> None:
        """Say that there is no such worker any more.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        from cm_assets.storage.tables import step_workers

        with self._database.writing() as connection:
            connection.execute(step_workers.delete().where(step_workers.c.name == self._key["name"]))


def step_workers_of(database: Database) -> list[StepWorker]:
    """The step workers that are known, in the order of their hosts."""
    if not database.url.startswith("postgresql"):
        return []
    import sqlalchemy as sa

    from cm_assets.storage.tables import step_workers

    table = step_workers.c
    alive = (table.heard_at >= server_time() - SILENCE).label("alive")
    known = table.heard_at >= server_time() - REMEMBERED
    query = sa.select(table.host, table.queues, table.places, alive).where(known).order_by(table.name)
    with database.reading() as connection:
        return [
            StepWorker(str(row.host), tuple(str(row.queues).split(",")), int(row.places), bool(row.alive))
            for row in connection.execute(query)
        ]


def places_by_queue(workers: Collection[StepWorker]) -> dict[str, int]:
    """How many steps of each queue can be executed at once, by the workers that are alive.

    A worker of several queues counts for each of them.
    """
    return {
        queue: sum(worker.places for worker in workers if worker.alive and queue in worker.queues) for queue in QUEUES
    }
