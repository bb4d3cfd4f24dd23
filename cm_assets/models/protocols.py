"""The four protocols of the outside world, and how long work reports on itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from cm_assets.models.audio import Speech
from cm_assets.models.clips import FetchedClip, FootageQuery
from cm_assets.models.post import Post, PostDraft
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Script

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
    """Finds or makes a clip for a scene."""

    name: str

    def fetch(self, query: FootageQuery, into: Path) -> FetchedClip | None:
        """The best clip for the query, its files written into the folder `into`; None if it has nothing that fits.

        Every file was validated: it decodes to its end and is of the kind that it says.

        Raises:
            Failure: one of its three classes.
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
