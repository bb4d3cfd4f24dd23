"""The four protocols of the outside world, what pays and remembers for it, and how long work reports on itself."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cm_assets.models.audio import Speech
from cm_assets.models.clips import FetchedClip, FootageQuery
from cm_assets.models.post import LedgerEntry, Post, PostDraft
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Script
from cm_assets.models.spending import Reply, Usage

Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1, as often as it changes. Cheap to call."""


class ScriptWriter(Protocol):
    """Writes a script for a request."""

    name: str

    def write(self, request: VideoRequest) -> Script:
        """A script that answers the request.

        Raises:
            Failure: one of its three classes.
        """

    def revise(self, request: VideoRequest, script: Script, feedback: str) -> Script:
        """A script that answers what a person said of another one for the same request.

        Raises:
            Failure: one of its three classes.
        """


class Purse(Protocol):
    """Pays for the calls of a language model that one script takes, and keeps their answers until it is made."""

    def kept(self, call: str) -> Reply | None:
        """The answer to a call that was paid for before; None if there is none.

        Args:
            call: hash of all that is asked.
        """

    def reserve(self, call: str, most: Usage) -> int:
        """Count the most that a call can cost, before it is made; the reservation.

        Raises:
            AskedToWait: the day's budget does not allow it.
            PermanentFailure: the video's budget does not.
        """

    def settle(self, reservation: int, reply: Reply) -> None:
        """Count what a call cost instead, and keep its answer."""

    def release(self, reservation: int) -> None:
        """Count nothing for a call after all: it was not answered and is not billed."""

    def forget(self) -> None:
        """Keep no answer: they led nowhere, and the same questions are to be asked again."""


class Voice(Protocol):
    """Speaks a text."""

    name: str

    def voices(self) -> Mapping[str, str]:
        """The voices that this engine is known to have, each with a description: language, gender, manner.

        Cheap: loads no model and calls nobody.
        """

    def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
        """The text spoken at `speed` times the voice's own pace (0.5 to 2.0), with a time for each of its words.

        Raises:
            Failure: one of its three classes.
        """


@runtime_checkable
class VoiceServer(Voice, Protocol):
    """A voice behind a network: it may have voices that only its server knows.

    Attributes:
        sent: characters that this object has had spoken and that may cost; not those that were kept from before.
    """

    sent: int

    def offered(self) -> Mapping[str, str]:
        """The voices that there are now, as in `voices`; empty if the server does not list them.

        Raises:
            Failure: one of its three classes.
        """

    def reach(self) -> str:
        """Where the server is, after it has answered and taken the key. Speaks nothing.

        Raises:
            Failure: one of its three classes.
        """


class FootageSource(Protocol):
    """Finds or makes a clip for a scene, on this machine; for stock sites there is `engines/footage/stock.py`."""

    name: str

    def fetch(self, query: FootageQuery, into: Path) -> FetchedClip | None:
        """The best clip for the query, its files written into the folder `into`; None if it has nothing that fits.

        Every file was validated: it decodes to its end and is of the kind that it says.

        Raises:
            Failure: one of its three classes.
        """


class ClipHistory(Protocol):
    """Which clips of stock sites the videos of this home show, as one video looks at it."""

    def earlier(self, slot: str) -> str | None:
        """The key of the clip that this video chose for a slot before, if it did."""

    def last_shown(self, keys: Collection[str]) -> Mapping[str, float]:
        """When other videos last chose these clips, POSIX seconds; nothing for those that none chose."""

    def note(self, slot: str, key: str) -> None:
        """This video shows the clip."""


class Rests(Protocol):
    """Until when services are not to be called, known to all processes, by names that say whose calls they are."""

    def until(self, service: str) -> float:
        """POSIX seconds; 0 if it may be called."""

    def rest(self, service: str, until: float) -> None:
        """Do not call it before this time, POSIX seconds."""


class Held(Protocol):
    """The ledger's row of one post, in the hands of whoever is posting it."""

    @property
    def entry(self) -> LedgerEntry:
        """What is known of the post."""

    def note(self, **changes: Any) -> None:
        """Write fields of the entry down, durably, before anything follows from them; and go on holding it.

        Raises:
            AskedToWait: it was not written, since somebody else holds the row by now.
        """


class Ledger(Protocol):
    """What was begun on platforms, kept where every process and host of a home sees it."""

    def hold(self, video_id: str, platform: str) -> AbstractContextManager[Held]:
        """Keep the row of a post for oneself for as long as the block runs and notes something now and then.

        Raises:
            AskedToWait: somebody else holds it.
        """


class Platform(Protocol):
    """Publishes a video."""

    name: str

    def publish(self, draft: PostDraft, files: Mapping[str, Path], progress: Progress) -> Post:
        """The post that shows the draft's video. Called again for the same video, it finds the post that is there.

        Args:
            draft: what to post.
            files: local paths of the draft's `video`, `cover`, `srt` and `vtt`, by those names.
            progress: told as bytes go out.

        Raises:
            Failure: one of its three classes.
        """

    def take_down(self, post: Post) -> None:
        """Remove a post. One that is gone already is no failure.

        Raises:
            Failure: one of its three classes; permanent where the platform lets no program do this.
        """


@runtime_checkable
class Settling(Protocol):
    """A platform on which what was begun can become a post that nobody here has heard of."""

    def settle(self, video_id: str) -> Post | None:
        """The post that came of what was begun for a video; None if none did, and none can any more.

        Raises:
            Failure: one of its three classes.
        """
