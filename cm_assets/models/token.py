"""Who may do what over HTTP."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

Scope = Literal["submit", "review", "admin"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a bearer token: not the token.

    Attributes:
        id: by which it is revoked.
        name: whose it is, for a person.
        scopes: `submit` asks for videos, cancels and retries them; `review` approves and rejects; `admin` does all.
        created_at: UTC.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime

    def may(self, scope: Scope) -> bool:
        """Whether it is good for this."""
        return scope in self.scopes or "admin" in self.scopes


def scopes_of(names: Collection[str]) -> tuple[Scope, ...]:
    """The scopes of these names, each once.

    Raises:
        ValueError: one is unknown, or there is none.
    """
    unknown = sorted(set(names) - set(SCOPES))
    if unknown or not names:
        raise ValueError(f"{', '.join(unknown) or 'none'} is no scope; known: {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in names)
