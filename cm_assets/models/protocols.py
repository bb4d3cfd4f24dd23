"""The four protocols of the outside world, how work reports on itself, and what a platform is given to remember."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from cm_assets.models.audio import Speech
from cm_assets.models.clips import FetchedClip, FootageQuery
from cm_assets.models.post import LedgerEntry, Post, PostDraft
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
        """The voices that this engine has, each with a description for people. Cheap: loads no model."""

    def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
        """The text spoken at `speed` times the voice's own pace (0.5 to 2.0), with a time for each of its words.

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


from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager


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
