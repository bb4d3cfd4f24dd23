"""Bearer tokens of the HTTP API: of each the hash alone is kept.

A token is 256 random bits, so that one round of SHA-256 keeps it as well as any slow hash would.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cm_assets.models.token import Scope, Token
from cm_assets.storage.database import Database

PREFIX = "cm_"
"""By which scanners for leaked secrets, and people, know what it is."""


class Tokens:
    """The tokens in the intent database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, scopes: Sequence[Scope]) -> str:
        """Make a token; nobody can be told it again."""
        from cm_assets.storage.tables import tokens

        secret = PREFIX + secrets.token_urlsafe(32)
        row = {
            "id": secrets.token_hex(4),
            "name": name,
            "scopes": list(scopes),
            "sha256": _hash(secret),
            "created_at": datetime.now(UTC),
        }
        with self._database.writing() as connection:
            connection.execute(tokens.insert().values(row))
        return secret

    def find(self, secret: str) -> Token | None:
        """What is kept of a token; None if it is none, or was revoked."""
        from cm_assets.storage.tables import tokens

        with self._database.reading() as connection:
            row = connection.execute(tokens.select().where(tokens.c.sha256 == _hash(secret))).one_or_none()
        return None if row is None else _token(row)

    def all(self) -> list[Token]:
        """All tokens, the oldest first."""
        from cm_assets.storage.tables import tokens

        with self._database.reading() as connection:
            rows = connection.execute(tokens.select().order_by(tokens.c.created_at)).all()
        return [_token(row) for row in rows]

    def revoke(self, token_id: str) -> bool:
        """Make a token good for nothing; False if there is none of this id."""
        from cm_assets.storage.tables import tokens

        with self._database.writing() as connection:
            return bool(connection.execute(tokens.delete().where(tokens.c.id == token_id)).rowcount)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: Any) -> Token:
    return Token(row.id, row.name, tuple(row.scopes), row.created_at.replace(tzinfo=UTC))
