"""Endpoints: who is told, by environment variables that are read when they are needed and kept nowhere.

CM_NOTIFY_<NAME>_URL, CM_NOTIFY_<NAME>_SECRET, CM_NOTIFY_<NAME>_EVENTS and CM_NOTIFY_<NAME>_PRIVATE; a name's hyphens
are underscores there.
"""

import base64
import binascii
import importlib.util
import os
import re
from collections.abc import Collection, Mapping
from datetime import datetime

from cm_assets.models.base import TransientFailure
from cm_assets.models.event import EVENT_TYPES, Event, EventType

MAKE_ONE = """python3 -c 'import base64, os; print("whsec_" + base64.b64encode(os.urandom(32)).decode())'"""

_YES = frozenset({"1", "true", "yes", "on"})

_SECRET_BYTES = range(24, 65)
"""How long a secret may be, as Standard Webhooks says."""


class Refused(TransientFailure):
    """The receiver does not take this event, though it may take others."""


class Endpoint:
    """One who is told.

    Args:
        name: as in the settings.
        variables: the environment.
    """

    def __init__(self, name: str, variables: Mapping[str, str] = os.environ) -> None:
        self.name = name
        self._variables = variables

    def variable(self, what: str) -> str:
        """The name of an environment variable of this endpoint: `URL`, `SECRET`, `EVENTS` or `PRIVATE`."""
        return f"CM_NOTIFY_{self.name.replace('-', '_').upper()}_{what}"

    def _value(self, what: str) -> str:
        return self._variables.get(self.variable(what), "").strip()

    @property
    def is_webhook(self) -> bool:
        """Whether it is told by HTTP; else by a message that apprise sends."""
        return self._value("URL").lower().startswith(("http://", "https://"))

    @property
    def way(self) -> str:
        """How it is told, for a person: no more of the address than its scheme, since tokens may be anywhere in it."""
        return "webhook" if self.is_webhook else f"{self._value('URL').partition(':')[0].lower()} message"

    def wants(self) -> Collection[EventType]:
        """The events that it is told: all but the stages' by default."""
        given = self._value("EVENTS")
        if not given:
            return [kind for kind in EVENT_TYPES if kind != "video.stage_completed"]
        names = _event_names(given)
        return [kind for kind in EVENT_TYPES if kind in names]

    def wrong(self) -> list[str]:
        """What is missing or makes no sense in its variables, for a person."""
        problems = []
        url = self._value("URL")
        if not url:
            problems.append(
                f"{self.variable('URL')} is not set: the address of a webhook, or of a service of apprise's"
            )
        elif self.is_webhook:
            found = map(_wrong_secret, self._value("SECRET").split(","))
            if problem := next(filter(None, found), None):
                problems.append(f"{self.variable('SECRET')} {problem}; make one with {MAKE_ONE}")
        elif ":" not in url:
            problems.append(f"{self.variable('URL')} is no address: it has no scheme, such as https: or mailto:")
        elif importlib.util.find_spec("apprise") is None:
            problems.append(
                f"{self.variable('URL')} needs apprise, which is not installed: .venv/bin/uv pip install -e '.[notify]'"
            )
        unknown = _event_names(self._value("EVENTS")) - set(EVENT_TYPES)
        if unknown:
            known = ", ".join(kind.removeprefix("video.") for kind in EVENT_TYPES)
            said = ", ".join(sorted(name.removeprefix("video.") for name in unknown))
            problems.append(f"{self.variable('EVENTS')} names {said}, which there is not; known: {known}")
        return problems

    def send(self, event: Event, now: datetime) -> None:
        """Tell it of an event. Nothing that is raised holds any of the address.

        Raises:
            AskedToWait: it said when to come back.
            PermanentFailure: it is gone for good.
            Refused: it does not take this event.
            TransientFailure: it did not take it now, or its variables are not as they must be.
        """
        problems = self.wrong()
        if problems:
            raise TransientFailure("; ".join(problems))
        if self.is_webhook:
            from cm_assets.engines.notifying.webhook import post
            from cm_assets.engines.public_hosts import NotPublic

            private = self._value("PRIVATE").lower() in _YES
            try:
                post(self._value("URL"), self._value("SECRET"), event, now, private=private)
            except NotPublic:
                raise TransientFailure(
                    f"{self.variable('URL')} leads to a host that is not public: set {self.variable('PRIVATE')}=true "
                    "if it is one of your own network"
                ) from None
        else:
            from cm_assets.engines.notifying.message import tell

            tell(self._value("URL"), event)


def known_endpoints(names: Collection[str], variables: Mapping[str, str] = os.environ) -> Collection[str]:
    """Names that a request may give: those of the settings, and all that have an address here."""
    found = (re.fullmatch(r"CM_NOTIFY_([A-Z0-9_]{1,32})_URL", name) for name, value in variables.items() if value)
    return sorted({*names, *(one[1].lower().replace("_", "-") for one in found if one)})


def _event_names(text: str) -> set[str]:
    names = (name.strip() for name in text.split(","))
    return {name if name.startswith("video.") else f"video.{name}" for name in names if name}


def _wrong_secret(secret: str) -> str | None:
    secret = secret.strip()
    if not secret:
        return "is not set: webhooks are signed"
    kind, _, encoded = secret.partition("_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if kind != "whsec" or len(key) not in _SECRET_BYTES:
        return "is no webhook secret: whsec_ and 24 to 64 bytes in base64"
    return None
