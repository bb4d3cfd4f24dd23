"""Who has been told of which event: one row per event and endpoint, tried until it is delivered or given up.

Several notifiers may work at once, in several processes: a delivery is claimed by a conditional update, and belongs to
the claimer until its time is up.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cm_assets.models.event import Event
from cm_assets.storage.database import Database
from cm_assets.storage.events import insert_new, utc

if TYPE_CHECKING:
    import sqlalchemy as sa

PAGE = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint.

    Attributes:
        event: what is told.
        endpoint: to whom.
        attempts: how often it was tried, the one that it was claimed for included.
        created_at: since when.
    """

    event: Event
    endpoint: str
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """How an endpoint fares.

    Attributes:
        waiting: deliveries that will be tried (again).
        given_up: deliveries that will not.
        delivered_at, gave_up_at: when that last happened.
        last_error: of the newest of the deliveries that did not succeed.
    """

    waiting: int
    given_up: int
    delivered_at: datetime | None
    gave_up_at: datetime | None
    last_error: str

    @property
    def is_lost(self) -> bool:
        """Whether the last that is known of it is that something was given up."""
        return self.gave_up_at is not None and (self.delivered_at is None or self.delivered_at < self.gave_up_at)


class Deliveries:
    """The deliveries in the intent database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spread(self, choose: Callable[[str, Collection[str]], Collection[str]], now: datetime) -> int:
        """Make the deliveries of events that have none yet; how many events there were.

        Args:
            choose: names of the endpoints for an event, by its type and the names that its request gives.
            now: the time.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import deliveries, events, requests

        query = (
            sa.select(events.c.id, events.c.seq, events.c.video_id, events.c.type, requests.c.document)
            .select_from(events.outerjoin(requests, requests.c.id == events.c.video_id))
            .where(events.c.spread_at.is_(None))
            .order_by(events.c.seq)
            .limit(PAGE)
        )
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        if not found:
            return 0
        rows = [
            {
                "event_id": row.id,
                "endpoint": name,
                "seq": row.seq,
                "video_id": row.video_id,
                "created_at": now,
                "next_at": now,
            }
            for row in found
            for name in choose(row.type, (row.document or {}).get("notify", ()))
        ]
        with self._database.writing() as connection:
            insert_new(connection, deliveries, rows)
            spread = events.c.id.in_([row.id for row in found])
            connection.execute(events.update().where(spread).values(spread_at=now))
        return len(found)

    def due(self, now: datetime) -> list[str]:
        """Endpoints that something can be sent to now."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import deliveries

        query = sa.select(deliveries.c.endpoint).where(self._due(now)).distinct().order_by(deliveries.c.endpoint)
        with self._database.reading() as connection:
            return [row.endpoint for row in connection.execute(query)]

    def claim(self, endpoint: str, now: datetime, until: datetime) -> Delivery | None:
        """Take the first delivery that is due; None if there is none.

        Args:
            endpoint: to whom.
            now: the time.
            until: when it is due again if nothing is heard of it.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import deliveries, events

        query = (
            sa.select(deliveries.c.attempts, deliveries.c.created_at, events)
            .select_from(deliveries.join(events, events.c.id == deliveries.c.event_id))
            .where(deliveries.c.endpoint == endpoint, self._due(now))
            .order_by(deliveries.c.seq)
            .limit(1)
        )
        while True:
            with self._database.writing() as connection:
                row = connection.execute(query).one_or_none()
                if row is None:
                    return None
                claimed = connection.execute(
                    deliveries.update()
                    .where(
                        deliveries.c.event_id == row.id,
                        deliveries.c.endpoint == endpoint,
                        deliveries.c.attempts == row.attempts,
                        _open(deliveries),
                    )
                    .values(attempts=row.attempts + 1, next_at=until)
                )
            if claimed.rowcount:
                event = Event(id=row.id, video_id=row.video_id, type=row.type, at=utc(row.at), data=row.data)
                return Delivery(event, endpoint, row.attempts + 1, utc(row.created_at))
            # Somebody else took it between the look and the update.

    def delivered(self, delivery: Delivery, now: datetime) -> None:
        """It has arrived."""
        self._settle(delivery, {"delivered_at": now, "last_error": ""})

    def again(self, delivery: Delivery, error: str, next_at: datetime, *, refused: bool) -> None:
        """It did not arrive, and is tried again at a time.

        Args:
            delivery: which.
            error: why, for a person; without an address.
            next_at: when.
            refused: whether only this event was refused, so that those after it need not wait for it.
        """
        self._settle(delivery, {"next_at": next_at, "last_error": error, "refused": refused})

    def give_up(self, delivery: Delivery, error: str, now: datetime) -> None:
        """It did not arrive, and is not tried any more."""
        self._settle(delivery, {"gave_up_at": now, "last_error": error})

    def rest(self, endpoint: str, until: datetime) -> None:
        """Send an endpoint nothing before a time."""
        from cm_assets.storage.tables import endpoints

        later = (endpoints.c.name == endpoint) & (endpoints.c.rests_until < until)
        with self._database.writing() as connection:
            insert_new(connection, endpoints, [{"name": endpoint, "rests_until": until}])
            connection.execute(endpoints.update().where(later).values(rests_until=until))

    def tallies(self) -> Mapping[str, Tally]:
        """How each endpoint fares."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import deliveries

        table = deliveries.c
        query = sa.select(
            table.endpoint,
            sa.func.count().filter(_open(deliveries)).label("waiting"),
            sa.func.count(table.gave_up_at).label("given_up"),
            sa.func.max(table.delivered_at).label("delivered_at"),
            sa.func.max(table.gave_up_at).label("gave_up_at"),
        ).group_by(table.endpoint)
        wrong = sa.select(table.endpoint, table.last_error).where(table.last_error != "").order_by(table.seq)
        with self._database.reading() as connection:
            errors = {row.endpoint: row.last_error for row in connection.execute(wrong)}
            return {
                row.endpoint: Tally(
                    row.waiting,
                    row.given_up,
                    row.delivered_at and utc(row.delivered_at),
                    row.gave_up_at and utc(row.gave_up_at),
                    errors.get(row.endpoint, ""),
                )
                for row in connection.execute(query)
            }

    def prune(self, before: datetime) -> int:
        """Forget events of closed requests that were noted before a time and are on no way any more; how many.

        What was said of an open request is kept: it is what tells a repetition.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import deliveries, events, requests

        on_its_way = sa.exists().where(deliveries.c.event_id == events.c.id, _open(deliveries))
        wanted = sa.exists().where(requests.c.id == events.c.video_id, requests.c.wanted)
        old = (events.c.at < before) & events.c.spread_at.is_not(None) & ~on_its_way & ~wanted
        with self._database.writing() as connection:
            ids = connection.scalars(sa.select(events.c.id).where(old).limit(PAGE)).all()
            if ids:
                connection.execute(deliveries.delete().where(deliveries.c.event_id.in_(ids)))
                connection.execute(events.delete().where(events.c.id.in_(ids)))
        return len(ids)

    def _due(self, now: datetime) -> "sa.ColumnElement[bool]":
        """Open, its time has come, its endpoint does not rest, and no earlier event of its video goes before it."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import deliveries, endpoints

        earlier = deliveries.alias()
        before = sa.exists().where(
            earlier.c.endpoint == deliveries.c.endpoint,
            earlier.c.video_id == deliveries.c.video_id,
            earlier.c.seq < deliveries.c.seq,
            _open(earlier),
            ~earlier.c.refused,
        )
        rests = sa.exists().where(endpoints.c.name == deliveries.c.endpoint, endpoints.c.rests_until > now)
        return _open(deliveries) & (deliveries.c.next_at <= now) & ~before & ~rests

    def _settle(self, delivery: Delivery, values: Mapping[str, Any]) -> None:
        from cm_assets.storage.tables import deliveries

        table = deliveries.c
        # Whoever claimed it after this claim's time was up knows better what comes next; that it arrived, we know.
        chosen = (table.event_id == delivery.event.id) & (table.endpoint == delivery.endpoint)
        if "delivered_at" not in values:
            chosen &= table.attempts == delivery.attempts
        with self._database.writing() as connection:
            connection.execute(deliveries.update().where(chosen, _open(deliveries)).values(values))


def _open(table: "sa.FromClause") -> "sa.ColumnElement[bool]":
    return table.c.delivered_at.is_(None) & table.c.gave_up_at.is_(None)
