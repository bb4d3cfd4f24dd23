"""Per stage: its pool, retries, time limit. The one table; assets, jobs, the command line and the documents read it.

Time limits are those of the workflows this project replaces: script 5 min, audio 10, clips 10, render 30, post 30.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

Seconds = float


@dataclass(frozen=True, slots=True)
class StagePolicy:
    """How one stage is run.

    Attributes:
        pool: Dagster concurrency pool that a running step of this stage occupies.
        pool_limit: steps of this pool at once, over all runs.
        time_limit: seconds after which the stage's work and all it started is killed.
        retries: further attempts after a transient failure.
        first_delay: seconds before the first retry; doubles with each, with jitter.
        patience: seconds over which it goes on in further runs, later each time, while a service is away.
        queue: of the broker, where there is one (CM_BROKER_URL): whose workers execute its steps.
    """

    pool: str | None
    pool_limit: int
    time_limit: Seconds
    retries: int
    first_delay: Seconds
    queue: str
    patience: Seconds = 0.0


MINUTE: Final = 60.0
DAY: Final = 24 * 60 * MINUTE

PLATFORMS: Final = ("outbox", "youtube", "tiktok")
"""Platforms that can be named in a request; each is the asset `published_post/<platform>`."""

STAGES: Final[dict[str, StagePolicy]] = {
    "brief": StagePolicy(pool=None, pool_limit=0, time_limit=1 * MINUTE, retries=0, first_delay=1, queue="script"),
    "script": StagePolicy(pool="llm", pool_limit=4, time_limit=5 * MINUTE, retries=2, first_delay=2, queue="script"),
    "audio": StagePolicy(pool="speech", pool_limit=2, time_limit=10 * MINUTE, retries=2, first_delay=2, queue="audio"),
    "background_clips": StagePolicy(
        pool="footage", pool_limit=4, time_limit=10 * MINUTE, retries=2, first_delay=2, queue="clips"
    ),
    # One render uses both cores of the smallest machine that we support.
    "render": StagePolicy(
        pool="render", pool_limit=1, time_limit=30 * MINUTE, retries=1, first_delay=5, queue="render"
    ),
    "take_down": StagePolicy(
        pool=None, pool_limit=0, time_limit=10 * MINUTE, retries=3, first_delay=2, queue="publish", patience=7 * DAY
    ),
}

POST: Final = "published_post/"
"""Beginning of the names of the stages that post; the platform follows."""

for _platform in PLATFORMS:
    # One at a time: the outbox's feed is rewritten by each post, and elsewhere the line is the limit.
    STAGES[POST + _platform] = StagePolicy(
        pool=f"publish_{_platform}",
        pool_limit=1,
        time_limit=30 * MINUTE,
        retries=3,
        first_delay=2,
        queue="publish",
        patience=7 * DAY,
    )

QUEUES: Final = tuple(dict.fromkeys(policy.queue for policy in STAGES.values()))
"""The queues of the broker."""

POOLS: Final = {policy.pool: policy.pool_limit for policy in STAGES.values() if policy.pool}
"""The pools and their limits, where no setting says another."""

QUEUE_TAG: Final = "cm/queue"
"""On an op: the queue that its steps go to."""

PRODUCE: Final = ("brief", "script", "audio", "background_clips", "render")
"""Stages of the job `produce_video`, in order."""


RUN_MAXIMUM: Final[Seconds] = 90 * MINUTE
"""Longest that one run may take, whoever launched it."""

DEFAULT_POOL_LIMIT: Final = 1
"""What an unconfigured pool gets: safe, if slow."""

AGE_STEP: Final[Seconds] = 10 * MINUTE
"""Waiting that outweighs one step of priority."""


def backlog_rank(priority: int, received_at: datetime) -> float:
    """A request's place in the backlog, the lowest first.

    Between two requests that came within `AGE_STEP` of each other the priority decides, then the age. Nothing starves:
    a request of priority p is only overtaken by those of priority q that came less than (p - q) * AGE_STEP after it,
    so the least urgent by nobody who came an hour and a half later.
    """
    return received_at.timestamp() + priority * AGE_STEP
