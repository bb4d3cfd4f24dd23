"""Taking a post down: no asset, since what it leaves behind is that there is none."""

import dagster as dg

from cm_assets.assets.stage import Stages, videos
from cm_assets.lifecycle.plan import TAKE_DOWN_JOB
from cm_assets.lifecycle.worklog import TAKEN_DOWN, WorkLog
from cm_assets.models.base import PermanentFailure
from cm_assets.models.post import Post
from cm_assets.models.protocols import Settling
from cm_assets.policies import PLATFORMS, POST, QUEUE_TAG, RUN_MAXIMUM, STAGES
from cm_assets.resources import Platforms
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets.storage.ledger import PostLedger


class TakeDown(dg.Config):
    """What is taken down.

    Attributes:
        platform: where.
    """

    platform: str


@dg.op(
    description="Removes the post of a video from a platform, where the platform lets programs do that.",
    tags={QUEUE_TAG: STAGES["take_down"].queue},
)
def take_down(
    context: dg.OpExecutionContext,
    config: TakeDown,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
    database: dg.ResourceParam[Database],
    platforms: Platforms,
) -> None:
    """Remove a post, and note that on the post's asset."""
    with stages.run(context, "take_down") as stage:
        if config.platform not in PLATFORMS:
            raise PermanentFailure(f"platform: {config.platform!r} is not known; known: {', '.join(PLATFORMS)}")
        name = POST + config.platform
        made = WorkLog(context.instance).made(stage.video, name)
        platform, ledger = platforms.named(config.platform, database), PostLedger(database)
        begun = ledger.begun([stage.video]).get(stage.video, ())
        if made is None and config.platform not in begun:
            raise PermanentFailure(f"{stage.video} was never posted on {config.platform}")
        post = platform.settle(stage.video) if isinstance(platform, Settling) else None
        if post is None and made is not None:
            post = Post.model_validate_json(store.read(str(made.metadata["model"])))
        if post is not None:
            platform.take_down(post)
        with ledger.hold(stage.video, config.platform) as held:
            held.note(taken_down=True)
        gone = post.url if post is not None else "nothing had come of what was begun there"
        context.log_event(
            dg.AssetObservation(asset_key=name.split("/"), partition=stage.video, metadata={TAKEN_DOWN: gone})
        )


def take_down_video(executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job that removes the post of a video on one platform.

    Args:
        executor: of its one step.
    """

    @dg.job(
        name=TAKE_DOWN_JOB,
        partitions_def=videos,
        executor_def=executor,
        tags={"dagster/max_runtime": str(int(RUN_MAXIMUM))},
        description="Removes a post. Its asset stays materialized, and says in an observation that the post is gone.",
    )
    def job() -> None:
        take_down()

    return job
