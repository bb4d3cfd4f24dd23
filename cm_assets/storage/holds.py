"""Who executes a step: one process at a time on all hosts, by a lock of the database server's.

A broker gives a step to another worker when it loses sight of the first; the first may well be at work. The lock is
that of a connection: it is free when its holder ends, however that happens, and soon after its host has vanished.
"""

import hashlib
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import sqlalchemy as sa

SEEN_GONE = 10
"""Seconds after which either end of a connection takes the other, silent one for gone."""

CLIENT_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": SEEN_GONE // 2,
    "keepalives_interval": 1,
    "keepalives_count": SEEN_GONE // 2,
    "tcp_user_timeout": SEEN_GONE * 1000,
}
"""Of libpq: how soon a client notices that the server's host has vanished."""

_SERVER_KEEPALIVE = (
    f"set tcp_keepalives_idle = {SEEN_GONE // 2}",
    "set tcp_keepalives_interval = 1",
    f"set tcp_keepalives_count = {SEEN_GONE // 2}",
    # Nothing is kept alive while an answer waits to be acknowledged.
    f"set tcp_user_timeout = {SEEN_GONE * 1000}",
)


class Hold:
    """The right to execute something, taken and given back.

    Args:
        url: SQLAlchemy URL of a Postgres database.
        what: names it.
    """

    def __init__(self, url: str, what: str) -> None:
        self._url = url
        self._key = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big", signed=True)
        self._connection: sa.Connection | None = None
        self._engine: sa.Engine | None = None

    def take(self) -> bool:
        """Take it; False if somebody else has it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        import sqlalchemy as sa

        self.release()
        self._connection = self._connected()
        for statement in _SERVER_KEEPALIVE:
            self._connection.exec_driver_sql(statement)
        taken = bool(self._connection.scalar(sa.select(sa.func.pg_try_advisory_lock(self._key))))
        if not taken:
            self.release()
        return taken

    def _connected(self) -> "sa.Connection":
        import sqlalchemy as sa

        if self._engine is None:
            self._engine = sa.create_engine(
                self._url,
                poolclass=sa.NullPool,
                isolation_level="AUTOCOMMIT",
                hide_parameters=True,
                connect_args=CLIENT_KEEPALIVE,
            )
        return self._engine.connect()

    def keep(self) -> bool:
        """Whether it is held still; a broken connection is made anew, if nobody has taken it meanwhile.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        import sqlalchemy as sa

        if self._connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._connection.scalar(sa.select(1))
                return True
        return self.take()

    def release(self) -> None:
        """Give it back."""
        if self._connection is not None:
            import sqlalchemy as sa

            with suppress(sa.exc.SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None

    def file(self) -> int:
        """The connection's file descriptor, which a fork must close."""
        assert self._connection is not None
        driver = self._connection.connection.driver_connection
        assert driver is not None
        return int(driver.fileno())

    def held_by_somebody(self) -> bool:
        """Whether anybody has it now.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        import sqlalchemy as sa

        # Looked up, not tried: for a moment nobody else could have it.
        high, low = (self._key >> 32) & 0xFFFFFFFF, self._key & 0xFFFFFFFF
        asked = sa.text(
            "select count(*) from pg_locks where locktype = 'advisory' and objsubid = 1 and granted"
            " and classid::bigint = :high and objid::bigint = :low"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        with self._connected() as connection:
            return bool(connection.scalar(asked, {"high": high, "low": low}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def hold_of(url: str, run_id: str, step: str) -> Hold:
    """The right to execute a step of a run."""
    return Hold(url, f"{run_id} {step}")
