"""Which platforms there are: the modules of this room that `policies.PLATFORMS` names, each with a `platform()`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from cm_assets.engines.platforms.oauth import Service, Vault
from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import Ledger, Platform
from cm_assets.policies import PLATFORMS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a platform is given.

    Attributes:
        ledger: what was begun on it.
        vault: the accounts there.
        outbox: the local channel folder.
        take: counts a call of a service against its limits, given the service and the account.
        addresses: of services, by name, where they are not the usual ones.
        options: of platforms, by `<platform>_<option>`.
    """

    ledger: Ledger
    vault: Vault
    outbox: Path
    take: Callable[[str, str], None] = lambda _service, _account: None
    addresses: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


def platform_of(name: str, surroundings: Surroundings) -> Platform:
    """The platform of a name.

    Raises:
        PermanentFailure: there is none.
    """
    found: Platform = _module(name).platform(surroundings)
    return found


def service_of(name: str, addresses: Mapping[str, str]) -> Service | None:
    """How accounts of a platform are connected; None if it has none."""
    of = getattr(_module(name), "service", None)
    found: Service | None = of(addresses) if of is not None else None
    return found


def connectable() -> list[str]:
    """The platforms that have accounts."""
    return [name for name in PLATFORMS if hasattr(_module(name), "service")]


def own_name(name: str, token: str, addresses: Mapping[str, str]) -> str:
    """What an account calls itself.

    Raises:
        Failure: it cannot be asked.
    """
    return str(_module(name).own_name(token, addresses))


def _module(name: str) -> Any:
    if name not in PLATFORMS:
        raise PermanentFailure(f"platform: {name!r} is not known; known: {', '.join(PLATFORMS)}")
    return import_module(f"cm_assets.engines.platforms.{name}")
