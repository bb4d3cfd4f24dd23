"""The tokens of connected accounts, sealed: whoever has the database without the key has nothing.

The key is `CM_SECRET_KEY`, or a file of the home that only its owner can read. Several keys, apart by commas, are one
that seals and others that still open, which is how a key is renewed.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm_assets.models.base import PermanentFailure, Seconds
from cm_assets.storage.database import Database

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

KEY_FILE = "secret.key"

LEASE: Seconds = 60.0
"""How long somebody may take to renew an account's tokens before others do: longer than the asking does."""


class Credentials:
    """The sealed tokens in the intent database.

    Args:
        database: where they are.
        home: whose key file is used where no key is given.
        keys: Fernet keys, apart by commas; empty for the key file.
    """

    def __init__(self, database: Database, home: Path, keys: str = "") -> None:
        self._database = database
        self._home = home
        self._keys = keys

    def accounts(self, platform: str) -> list[str]:
        """The connected accounts of a platform."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import credentials

        query = sa.select(credentials.c.account).where(credentials.c.platform == platform)
        with self._database.reading() as connection:
            return sorted(connection.scalars(query))

    def get(self, platform: str, account: str) -> dict[str, Any] | None:
        """What was stored for an account; None if it is not connected.

        Raises:
            PermanentFailure: it was sealed with a key that is not here.
        """
        import sqlalchemy as sa

        from cm_assets.storage.tables import credentials

        here = (credentials.c.platform == platform) & (credentials.c.account == account)
        with self._database.reading() as connection:
            sealed = connection.scalar(sa.select(credentials.c.sealed).where(here))
        return None if sealed is None else self._opened(platform, sealed)

    def put(self, platform: str, account: str, secret: Mapping[str, Any]) -> None:
        """Store what an account is used with, in the place of what was there."""
        from cm_assets.storage.tables import credentials

        key = {"platform": platform, "account": account}
        row = {"sealed": self._sealed(secret), "updated_at": datetime.now(UTC)}
        with self._database.writing() as connection:
            connection.execute(self._database.putting(credentials, key, row))

    @contextmanager
    def renewing(self, platform: str, account: str) -> Iterator["Renewal | None"]:
        """Be the only one who renews the tokens of an account, for the length of the block but no longer than a lease.

        None if somebody else does, or the account is not connected. Nothing in the database is locked meanwhile.

        Raises:
            PermanentFailure: they were sealed with a key that is not here.
        """
        from cm_assets.storage.tables import credentials

        token, now = uuid.uuid4().hex, time.time()
        here = (credentials.c.platform == platform) & (credentials.c.account == account)
        # A clock that was set back keeps no row for the dead. Twice a lease: ours was read before we waited for the
        # database, and who came before us has read it since.
        until = credentials.c.renewed_until
        free = (credentials.c.renewer == "") | (until < now) | (until > now + 2 * LEASE)
        claim = credentials.update().where(here & free).values(renewer=token, renewed_until=now + LEASE)
        with self._database.writing() as connection:
            sealed = connection.execute(claim.returning(credentials.c.sealed)).scalar()
        if sealed is None:
            yield None
            return
        try:
            yield Renewal(self, platform, account, self._opened(platform, sealed), sealed)
        finally:
            with self._database.writing() as connection:
                mine = here & (credentials.c.renewer == token)
                connection.execute(credentials.update().where(mine).values(renewer="", renewed_until=0))

    def exchange(self, platform: str, account: str, sealed: str, secret: Mapping[str, Any]) -> bool:
        """Store what an account is used with in the place of what is sealed so; whether that was still there."""
        from cm_assets.storage.tables import credentials

        same = credentials.c.sealed == sealed
        here = (credentials.c.platform == platform) & (credentials.c.account == account)
        row = {"sealed": self._sealed(secret), "updated_at": datetime.now(UTC)}
        with self._database.writing() as connection:
            return bool(connection.execute(credentials.update().where(here & same).values(row)).rowcount)

    def outdated(self) -> list[tuple[str, str]]:
        """The platforms and accounts whose tokens are not sealed with the first key: the others are needed for them.

        Raises:
            PermanentFailure: a key is none.
        """
        import sqlalchemy as sa
        from cryptography.fernet import InvalidToken

        from cm_assets.storage.tables import credentials

        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(credentials).order_by(credentials.c.platform, credentials.c.account)
            ).all()
        found = []
        for row in rows:
            try:
                self._ciphers()[0].decrypt(row.sealed.encode())
            except InvalidToken:
                found.append((row.platform, row.account))
        return found

    def reseal(self) -> int:
        """Seal with the first key what another one sealed; how many accounts. Those that are just renewed come later.

        Raises:
            PermanentFailure: one was sealed with a key that is not here.
        """
        count = 0
        for platform, account in self.outdated():
            with self.renewing(platform, account) as renewal:
                count += renewal is not None and renewal.store(renewal.secret)
        return count

    def remove(self, platform: str, account: str) -> bool:
        """Forget an account; whether it was there."""
        from cm_assets.storage.tables import credentials

        here = (credentials.c.platform == platform) & (credentials.c.account == account)
        with self._database.writing() as connection:
            return bool(connection.execute(credentials.delete().where(here)).rowcount)

    def _sealed(self, secret: Mapping[str, Any]) -> str:
        return self._cipher().encrypt(json.dumps(dict(secret)).encode()).decode()

    def _opened(self, platform: str, sealed: str) -> dict[str, Any]:
        from cryptography.fernet import InvalidToken

        try:
            opened: dict[str, Any] = json.loads(self._cipher().decrypt(sealed.encode()))
        except InvalidToken:
            raise PermanentFailure(
                f"the tokens of {platform} were sealed with another key: set CM_SECRET_KEY to it, "
                f"or connect again with cm connect {platform}"
            ) from None
        return opened

    def _cipher(self) -> "MultiFernet":
        from cryptography.fernet import MultiFernet

        return MultiFernet(self._ciphers())

    def _ciphers(self) -> "list[Fernet]":
        from cryptography.fernet import Fernet

        keys = [key.strip() for key in (self._keys or self._key_of_the_home()).split(",") if key.strip()]
        try:
            return [Fernet(key) for key in keys]
        except ValueError:
            raise PermanentFailure(
                "CM_SECRET_KEY is no key: make one with python -c "
                "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
            ) from None

    def _key_of_the_home(self) -> str:
        from cryptography.fernet import Fernet

        path = self._home / KEY_FILE
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)  # an account may be the first thing that a home has
            part = path.with_name(f".{KEY_FILE}.{os.getpid()}")
            part.write_bytes(b"")
            part.chmod(0o600)
            part.write_bytes(Fernet.generate_key())
            with suppress(FileExistsError):
                path.hardlink_to(part)  # of two who make one, the first one's counts
            part.unlink()
        return path.read_text()


@dataclass(frozen=True, slots=True, repr=False)
class Renewal:
    """The tokens of an account in the hands of whoever renews them.

    Attributes:
        secret: what is stored.
    """

    _vault: Credentials
    _platform: str
    _account: str
    secret: dict[str, Any]
    _sealed: str

    def store(self, secret: Mapping[str, Any]) -> bool:
        """Store the new ones; whether they count, since nobody else has stored any meanwhile."""
        return self._vault.exchange(self._platform, self._account, self._sealed, secret)
