"""Which host may make the videos of a Postgres database that several share: one, for as long as it says so again.

The time is the server's alone, so clocks of hosts do not matter. A lease, and not a lock of a connection: a server does
not notice that a host is frozen or cut off before its network does, which can be hours.
"""

import socket
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cm_assets.models.base import Seconds
from cm_assets.storage.database import Database

if TYPE_CHECKING:
    import sqlalchemy as sa

NAME = "engine"

LEASE: Seconds = 10.0
"""For which the holder's word is good."""

PROMPT: Seconds = 3.0
"""After which a database that does not answer is asked anew: a connection may be cut without anybody's saying so."""

_OPTIONS = {
    "connect_timeout": int(PROMPT),
    "tcp_user_timeout": int(PROMPT * 1000),
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "options": f"-c statement_timeout={int(PROMPT * 1000)}",
}


class EngineLease:
    """The lease of a database's engine, on a connection of its own.

    Args:
        database: which; a Postgres server's.
        token: of the holder. Who comes again under the same one, holds it still.
    """

    def __init__(self, database: Database, token: str) -> None:
        self.token = token
        self._database = database

    @cached_property
    def _engine(self) -> "sa.Engine":
        import sqlalchemy as sa

        # One kept connection: to open one anew each second costs the server a process each time.
        return sa.create_engine(
            self._database.url,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=_OPTIONS,
        )

    def prepare(self) -> None:
        """Load what is needed to ask."""
        import psycopg

        assert psycopg.paramstyle
        assert self._engine.dialect.driver == "psycopg"
        import cm_assets.storage.tables  # noqa: F401

    def take(self) -> bool:
        """Become the holder if nobody is.

        Raises:
            sqlalchemy.exc.OperationalError: the database does not answer.
        """
        from sqlalchemy.dialects.postgresql import insert

        from cm_assets.storage.tables import leases

        values: dict[str, Any] = {
            "holder": self.token,
            "host": socket.gethostname(),
            "held_until": server_time() + LEASE,
        }
        free = (leases.c.holder == "") | (leases.c.holder == self.token) | (leases.c.held_until < server_time())
        row = insert(leases).values(name=NAME, **values)
        taken = row.on_conflict_do_update(index_elements=["name"], set_=values, where=free).returning(leases.c.holder)
        with self._engine.connect() as connection:
            return connection.execute(taken).scalar() is not None

    def renew(self) -> bool:
        """Hold it for longer; False if it is another's.

        Raises:
            sqlalchemy.exc.OperationalError: the database does not answer.
        """
        from cm_assets.storage.tables import leases

        mine = (leases.c.name == NAME) & (leases.c.holder == self.token)
        with self._engine.connect() as connection:
            return connection.execute(leases.update().where(mine).values(held_until=server_time() + LEASE)).rowcount > 0

    def good_until(self) -> Seconds:
        """Until when nobody else can take it, by `elapsed`; 0 if it is another's, or nobody's.

        Raises:
            sqlalchemy.exc.OperationalError: the database does not answer.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import leases

        asked = elapsed()  # before the server's clock was read, so rather too early than too late
        mine = (leases.c.name == NAME) & (leases.c.holder == self.token)
        with self._engine.connect() as connection:
            left = connection.scalar(sa.select(leases.c.held_until - server_time()).where(mine))
        return 0.0 if left is None else asked + float(left)

    def release(self) -> None:
        """Let another one have it at once.

        Raises:
            sqlalchemy.exc.OperationalError: the database does not answer.
        """
        from cm_assets.storage.tables import leases

        mine = (leases.c.name == NAME) & (leases.c.holder == self.token)
        with self._engine.connect() as connection:
            connection.execute(leases.update().where(mine).values(holder="", held_until=0))

    def close(self) -> None:
        """Close the connection."""
        if "_engine" in self.__dict__:
            self._engine.dispose()


def host_at_work(database: Database) -> str:
    """The host whose engine makes the database's videos; empty if none does."""
    import sqlalchemy as sa

    from cm_assets.storage.tables import leases

    held = (leases.c.name == NAME) & (leases.c.holder != "") & (leases.c.held_until >= server_time())
    with database.reading() as connection:
        return str(connection.scalar(sa.select(leases.c.host).where(held)) or "")


def elapsed() -> Seconds:
    """This machine's clock that nobody sets, and that goes on while it sleeps, where the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def server_time() -> "sa.ColumnElement[Any]":
    """The clock of a Postgres server, in seconds since 1970."""
    import sqlalchemy as sa

    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)
