"""What became of a video, told in full: what a person wants to see before they decide about it."""

from datetime import datetime
from typing import Literal

from cm_assets.models.base import Model, Seconds
from cm_assets.models.clips import Credit
from cm_assets.models.review import Decision
from cm_assets.models.spending import NOTHING, Bill


class SceneTold(Model):
    """One scene as it was made.

    Attributes:
        text: what is spoken.
        terms: what was looked for.
        start: seconds into the video; None as long as nobody has spoken it.
        shown: what a person would call its clips.
    """

    text: str
    terms: tuple[str, ...] = ()
    start: Seconds | None = None
    shown: tuple[str, ...] = ()


class CheckTold(Model):
    """What a check found.

    Attributes:
        name: the check.
        stage: whose result was looked at.
        blocking: whether nothing is posted that does not pass it.
        said: what it found, for a person.
    """

    name: str
    stage: str
    passed: bool
    blocking: bool
    said: str = ""


class RunTold(Model):
    """One attempt.

    Attributes:
        job: what was launched.
        stages: what it was to make; empty for all of the job.
        began, ended: UTC; None if it has not.
        end: how it ended: `waits` if it only has to wait for a service, `stopped` if its engine did.
        reasons: why it did not succeed.
    """

    id: str
    job: str
    stages: tuple[str, ...]
    began: datetime | None = None
    ended: datetime | None = None
    end: Literal["queued", "running", "done", "failed", "waits", "cancelled", "stopped"]
    reasons: tuple[str, ...] = ()


class Story(Model):
    """A video, told in full.

    Attributes:
        description, hashtags: of the script.
        writer: who wrote it; empty as long as nobody has.
        credits: of the clips, each once.
        checks: of the newest results.
        runs: the newest first.
        decisions: of people, the newest first.
        bill: what the language model took and cost.
    """

    scenes: tuple[SceneTold, ...] = ()
    description: str = ""
    hashtags: tuple[str, ...] = ()
    writer: str = ""
    credits: tuple[Credit, ...] = ()
    checks: tuple[CheckTold, ...] = ()
    runs: tuple[RunTold, ...] = ()
    decisions: tuple[Decision, ...] = ()
    bill: Bill = NOTHING
