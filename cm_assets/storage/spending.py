"""What calls of a language model cost: reserved before, settled after, so that no budget is overspent.

The most that a call can cost is counted from before it is made until its answer is there. Whoever dies in between
leaves it counted: nobody knows whether the endpoint bills it. An answer is kept, in the same transaction that settles
its cost, until the script is made: whoever comes after a death finds it and pays nothing.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from cm_assets.models.base import AskedToWait, PermanentFailure
from cm_assets.models.spending import NANO, Bill, Price, Reply, Usage, Usd, dollars
from cm_assets.partitions import VideoId
from cm_assets.storage.database import Database

if TYPE_CHECKING:
    import sqlalchemy as sa

SPENDING_LOCK = 0x636D24
"""Postgres advisory lock of whoever looks at what is left and takes of it."""

IN_FLIGHT = timedelta(minutes=6)
"""How long a call may be on its way, a little more than the script's time limit: after that it is lost."""

SOON = 5.0
"""Seconds after which calls on their way are looked at again, which mostly cost less than was reserved for them."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent, in US dollars. None for any amount.

    Attributes:
        video: on one video.
        day: on all videos, from midnight to midnight UTC.
        advice: what to do when the video's is used up.
    """

    video: Usd | None = None
    day: Usd | None = None
    advice: str = "Raise CM_BUDGET_PER_VIDEO"


class Spending:
    """Pays for the calls of a language model that one script takes.

    Args:
        database: where it is recorded, for all processes and hosts.
        video: whose script.
        since: storage id of the video's newest script, -1 if it has none: calls with the same one serve the same
            script, whoever makes them.
        model: its name.
        price: of the model; None if it is not known.
        budget: what may be spent.
        clock: the time, in UTC.
    """

    def __init__(
        self,
        database: Database,
        video: VideoId,
        since: int,
        *,
        model: str,
        price: Price | None,
        budget: Budget,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._video = video
        self._since = since
        self._model = model
        self._price = price
        self._budget = budget
        self._clock = clock

    def kept(self, call: str) -> Reply | None:
        """The answer to a call that was made for this script before; None if there is none.

        Args:
            call: hash of all that was asked.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import spending

        query = sa.select(spending.c.reply).where(
            self._ours(spending), spending.c.call == call, spending.c.reply.is_not(None)
        )
        with self._database.reading() as connection:
            found = connection.scalar(query.order_by(spending.c.id.desc()).limit(1))
        return None if found is None else Reply.model_validate(found)

    def reserve(self, call: str, most: Usage) -> int:
        """Count the most that a call can cost, before it is made; the reservation.

        Args:
            call: hash of all that is asked.
            most: tokens that it can take.

        Raises:
            AskedToWait: the day's budget does not allow it.
            PermanentFailure: the video's budget does not, or the model's price is not known.
        """
        from cm_assets.storage.tables import spending

        worst = None if self._price is None else self._price.cost(most)
        now = self._clock()
        with self._alone() as connection:
            if self._budget.video is not None or self._budget.day is not None:
                if worst is None:
                    raise PermanentFailure(unpriced(self._model))
                self._judge_video(connection, worst)
                self._judge_day(connection, worst, now)
            # What served an earlier script is of no use any more.
            earlier = (spending.c.video_id == self._video) & (spending.c.since < self._since)
            connection.execute(
                spending.update().where(earlier, spending.c.reply.is_not(None)).values(reply=None),
            )
            row = {
                "video_id": self._video,
                "since": self._since,
                "call": call,
                "model": self._model,
                "day": _day(now),
                "at": now,
                "nanodollars": None if worst is None else int(worst / NANO),
            }
            made = connection.execute(spending.insert().values(row))
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0])

    def settle(self, reservation: int, reply: Reply) -> None:
        """Count what a call cost instead, and keep its answer. Without a count of tokens what was reserved stays."""
        from cm_assets.storage.tables import spending

        values: dict[str, Any] = {"settled": True, "seconds": reply.seconds, "reply": reply.model_dump()}
        if reply.usage is not None:
            usage = reply.usage
            values |= {
                "prompt_tokens": usage.prompt,
                "completion_tokens": usage.completion,
                "cached_tokens": min(usage.cached, usage.prompt),
                "nanodollars": None if self._price is None else int(self._price.cost(usage) / NANO),
            }
        with self._database.writing() as connection:
            connection.execute(spending.update().where(spending.c.id == reservation).values(values))

    def release(self, reservation: int) -> None:
        """Count nothing for a call after all: the endpoint was not reached, or refused it."""
        from cm_assets.storage.tables import spending

        with self._database.writing() as connection:
            connection.execute(spending.delete().where(spending.c.id == reservation))

    def forget(self) -> None:
        """Keep no answer of this script: they led nowhere, and the same questions are to be asked again."""
        from cm_assets.storage.tables import spending

        with self._database.writing() as connection:
            connection.execute(spending.update().where(self._ours(spending)).values(reply=None))

    def bill(self) -> Bill:
        """What all calls for this script took and cost, those of earlier runs included."""
        from cm_assets.storage.tables import spending

        with self._database.reading() as connection:
            return next(iter(_bills(connection, self._ours(spending)).values()), Bill())

    def _ours(self, spending: "sa.Table") -> "sa.ColumnElement[bool]":
        return (spending.c.video_id == self._video) & (spending.c.since == self._since)

    @contextmanager
    def _alone(self) -> "Iterator[sa.Connection]":
        """A transaction in which nobody else reserves."""
        with self._database.writing() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("begin immediate")
            else:
                connection.exec_driver_sql(f"select pg_advisory_xact_lock({SPENDING_LOCK})")
            yield connection

    def _judge_video(self, connection: "sa.Connection", worst: Usd) -> None:
        from cm_assets.storage.tables import spending

        limit = self._budget.video
        if limit is None:
            return
        spent = _sum(connection, spending.c.video_id == self._video)
        if spent + worst > limit:
            raise PermanentFailure(
                f"the budget of this video, {dollars(limit)}, does not allow another call of {self._model}: "
                f"{dollars(spent)} are spent, and a call may cost {dollars(worst)}. {self._budget.advice}, "
                "or set CM_OPENAI_MODEL to a cheaper model"
            )

    def _judge_day(self, connection: "sa.Connection", worst: Usd, now: datetime) -> None:
        from cm_assets.storage.tables import spending

        limit = self._budget.day
        if limit is None:
            return
        if worst > limit:
            raise PermanentFailure(
                f"a call of {self._model} may cost {dollars(worst)}, more than a whole day's budget of "
                f"{dollars(limit)}: raise CM_BUDGET_PER_DAY, or set CM_OPENAI_MODEL to a cheaper model"
            )
        today = spending.c.day == _day(now)
        spent = _sum(connection, today)
        if spent + worst <= limit:
            return
        on_their_way = _sum(connection, today & ~spending.c.settled & (spending.c.at > now - IN_FLIGHT))
        said = f"the language model's budget for today, {dollars(limit)} (CM_BUDGET_PER_DAY)"
        if spent - on_their_way + worst <= limit:
            raise AskedToWait(f"{said}, is reserved for calls that are on their way", SOON)
        tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        raise AskedToWait(f"{said}, is used up: {dollars(spent)} are spent", (tomorrow - now).total_seconds())


def unpriced(model: str) -> str:
    """Why no budget can be kept with a model whose price is not known."""
    return (
        f"the price of {model} is not known here, so no budget can be kept: set CM_PRICES, such as "
        f'CM_PRICES="{model}=0.25/2.00" (US dollars for a million tokens read/written; 0/0 for a server of your own)'
    )


def bills(database: Database, videos: Collection[VideoId]) -> dict[VideoId, Bill]:
    """What the calls for each of these videos took and cost, all in all; nothing for those without any."""
    from cm_assets.storage.tables import spending

    with database.reading() as connection:
        return _bills(connection, spending.c.video_id.in_(videos))


def spent(database: Database) -> tuple[float, dict[str, int]]:
    """US dollars of all calls, as far as prices are known, and their tokens by `prompt` and `completion`."""
    import sqlalchemy as sa

    from cm_assets.storage.tables import spending

    columns = (spending.c.nanodollars, spending.c.prompt_tokens, spending.c.completion_tokens)
    with database.reading() as connection:
        nanodollars, prompt, completion = connection.execute(sa.select(*map(sa.func.sum, columns))).one()
    return int(nanodollars or 0) / 1e9, {"prompt": int(prompt or 0), "completion": int(completion or 0)}


def spent_on(database: Database, moment: datetime) -> Usd:
    """What is counted for the UTC day of a moment, as far as prices are known."""
    from cm_assets.storage.tables import spending

    with database.reading() as connection:
        return _sum(connection, spending.c.day == _day(moment))


def _bills(connection: "sa.Connection", chosen: "sa.ColumnElement[bool]") -> dict[VideoId, Bill]:
    import sqlalchemy as sa

    from cm_assets.storage.tables import spending as table

    query = (
        sa.select(
            table.c.video_id,
            sa.func.count().filter(table.c.settled).label("calls"),
            sa.func.count().filter(~table.c.settled).label("lost"),
            sa.func.sum(table.c.prompt_tokens).label("prompt"),
            sa.func.sum(table.c.completion_tokens).label("completion"),
            sa.func.sum(table.c.cached_tokens).label("cached"),
            sa.func.sum(table.c.seconds).label("seconds"),
            sa.func.sum(table.c.nanodollars).label("nanodollars"),
            sa.func.count().filter(table.c.nanodollars.is_(None)).label("unpriced"),
        )
        .where(chosen)
        .group_by(table.c.video_id)
    )
    return {
        row.video_id: Bill(
            calls=row.calls,
            lost=row.lost,
            prompt=int(row.prompt),
            completion=int(row.completion),
            cached=int(row.cached),
            seconds=row.seconds,
            cost=None if row.unpriced else _usd(row.nanodollars),
        )
        for row in connection.execute(query)
    }


def _sum(connection: "sa.Connection", chosen: "sa.ColumnElement[bool]") -> Usd:
    import sqlalchemy as sa

    from cm_assets.storage.tables import spending

    return _usd(connection.scalar(sa.select(sa.func.sum(spending.c.nanodollars)).where(chosen)))


def _usd(nanodollars: Any) -> Usd:
    return int(nanodollars or 0) * NANO


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
