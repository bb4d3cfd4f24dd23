"""`published_post/<platform>`: the video where people see it."""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.lifecycle.review import ASSET
from cm_assets.lifecycle.worklog import WorkLog
from cm_assets.models.base import FPS, PermanentFailure
from cm_assets.models.brief import Brief
from cm_assets.models.clips import BackgroundClips
from cm_assets.models.post import Post, PostDraft
from cm_assets.models.render import Render
from cm_assets.models.script import Script
from cm_assets.resources import Platforms
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database

_SAID = {
    "outbox": "The video in the local channel folder: a page that plays it, a feed, its captions and its record.",
    "youtube": "The video on YouTube: uploaded once, with captions, cover and credits.",
    "tiktok": "The video on TikTok: posted once with its text and credits, or left as a draft for its creator.",
}

_KINDS = {"outbox": {"html"}}


def published_post(platform: str) -> dg.AssetsDefinition:
    """The asset `published_post/<platform>`."""

    @dg.asset(
        **policy_of(f"published_post/{platform}"),
        output_required=False,
        deps=[ASSET],
        group_name="posts",
        kinds=_KINDS.get(platform, {platform}),
        code_version="1",
        description=_SAID.get(platform, f"The video on {platform}."),
    )
    def posted(
        context: dg.AssetExecutionContext,
        brief: Brief,
        script: Script,
        background_clips: BackgroundClips,
        render: Render,
        stages: dg.ResourceParam[Stages],
        store: dg.ResourceParam[ArtifactStore],
        database: dg.ResourceParam[Database],
        platforms: Platforms,
    ) -> Results:
        """The post of this video."""
        if platform not in brief.request.platforms:
            # Whoever launches all assets of a video does not want more than was asked for.
            context.log.info("the request does not name %s: nothing is posted", platform)
            return
        with stages.run(context) as stage:
            _refuse_unfit(context, brief, render)
            draft = _draft(brief, script, background_clips, render, platform)
            files = {name: store.local(getattr(render, name)) for name in ("video", "cover", "srt", "vtt")}
            post = platforms.named(platform, database).publish(draft, files, stage.progress)
            yield from results(
                post,
                {
                    "title": draft.title,
                    "post": dg.MetadataValue.url(post.url),
                    "id": post.post_id,
                    "published at": dg.MetadataValue.timestamp(post.published_at),
                    "render": post.render_sha256[:16],
                    **({"account": post.account} if post.account else {}),
                    **({"not taken": "; ".join(post.notes)} if post.notes else {}),
                    **_late(brief, post),
                },
            )

    asset: dg.AssetsDefinition = posted
    return asset


def _late(brief: Brief, post: Post) -> Mapping[str, str]:
    """By how much a post missed the time that the request gave it, for instance since it was approved late."""
    due = brief.request.publish_at
    if due is None or post.published_at - due < timedelta(minutes=1):
        return {}
    return {"late by": f"{(post.published_at - due) / timedelta(minutes=1):.0f} minutes"}


def _refuse_unfit(context: dg.AssetExecutionContext, brief: Brief, render: Render) -> None:
    """Nothing leaves the house whose blocking checks, of this very render, did not pass, or that nobody approved."""
    log, video = WorkLog(context.instance), brief.video_id
    made = log.made(video, "render")
    if made is None or made.metadata.get("sha256") != render.video.sha256:
        raise PermanentFailure(f"the render of {video} has just changed: publish it again")
    failed = log.failed_blocking_checks("render", video, made)
    if failed:
        raise PermanentFailure(f"the render of {video} did not pass {', '.join(failed)}: render it again")
    review = log.review(video, made)
    if review.verdict == "rejected":
        raise PermanentFailure(f"the render of {video} was rejected: {review.feedback}")
    if brief.request.needs_review and review.verdict != "approved":
        raise PermanentFailure(f"the render of {video} has not been approved: look at it, then cm approve {video}")


def _draft(brief: Brief, script: Script, clips: BackgroundClips, render: Render, platform: str) -> PostDraft:
    text = brief.request.post.on(platform)
    return PostDraft(
        video_id=brief.video_id,
        title=text.title or script.title,
        description=text.description if text.description is not None else script.description,
        hashtags=text.hashtags if text.hashtags is not None else script.hashtags,
        privacy=text.privacy or "public",
        category=text.category or "",
        made_for_kids=bool(text.made_for_kids),
        account=text.account or "",
        language=script.language,
        seconds=render.seconds,
        cover_seconds=render.cover_frame / FPS,
        width=render.width,
        height=render.height,
        video=render.video,
        cover=render.cover,
        srt=render.srt,
        vtt=render.vtt,
        ai_disclosure=True if text.ai_disclosure is None else text.ai_disclosure,
        credits=tuple(dict.fromkeys(clip.credit for clip in clips.clips)),
    )
