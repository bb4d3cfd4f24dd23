"""The base of all models, and the errors that every room raises."""

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Seconds = float
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

FPS = 30
"""Frames per second of every video made here."""

SAMPLE_RATE = 48_000
"""Audio samples per second of every track made here."""

SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
"""1600: a whole number, so that picture and sound share one integer time line."""


class Model(BaseModel):
    """A frozen value that rejects fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_bytes(self) -> bytes:
        """The model as JSON; equal models give equal bytes."""
        return self.model_dump_json(indent=1).encode()

    def content_sha256(self) -> str:
        """Hash of the content, that of the files it names included, since it names them by their hashes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


class Failure(Exception):
    """Work that did not succeed, with a reason that a person can act on. Raise one of its three subclasses."""


class TransientFailure(Failure):
    """Likely to pass by itself: retried with exponential back-off."""


class AskedToWait(Failure):
    """The service said when to come back.

    Attributes:
        seconds: how long to wait, as the service said.
    """

    def __init__(self, reason: str, seconds: Seconds) -> None:
        super().__init__(reason)
        self.seconds = seconds


class PermanentFailure(Failure):
    """Repeating it cannot help: never retried."""
