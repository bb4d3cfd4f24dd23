"""build_defs: the one page where everything meets. Production, tests and tools all come through here."""

from collections.abc import Mapping
from functools import cache

import dagster as dg

from cm_assets.assets.audio import audio
from cm_assets.assets.background_clips import background_clips
from cm_assets.assets.brief import brief
from cm_assets.assets.published_post import outbox
from cm_assets.assets.render import render
from cm_assets.assets.review import review
from cm_assets.assets.script import script
from cm_assets.assets.stage import Stages
from cm_assets.assets.take_down import take_down_video
from cm_assets.lifecycle.catalogue import catalogue
from cm_assets.orchestration.backstop import backstop
from cm_assets.orchestration.executor import forked_executor
from cm_assets.orchestration.jobs import produce_video, publish_video
from cm_assets.resources import Footage, ModelIOManager, Platforms, Studio, speakers, writers
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database


def build_defs(settings: Settings, *, overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """All assets, jobs and resources.

    Args:
        settings: the configuration.
        overrides: resources that take the place of those of the settings, by name.
    """
    store = ArtifactStore(settings.artifacts, settings.cache)
    database = Database(settings.database)
    ffmpeg = str(settings.ffmpeg or "")
    resources: dict[str, object] = {
        "io_manager": ModelIOManager(store),
        "store": store,
        "database": database,
        "stages": Stages(database, settings.home / "work"),
        "catalogue": catalogue(settings),
        "writers": writers(settings),
        "speakers": speakers(settings),
        "footage": Footage(names=list(settings.footage), folder=str(settings.footage_folder or ""), ffmpeg=ffmpeg),
        "studio": Studio(
            ffmpeg=ffmpeg,
            preset=settings.x264_preset,
            cache=str(settings.cache / "segments"),
            cache_bytes=settings.cache_bytes,
            music_folder=str(settings.music_folder or ""),
        ),
        "platforms": Platforms(outbox=str(settings.channel)),
    }
    return dg.Definitions(
        assets=[brief, script, audio, background_clips, render, review, outbox],
        jobs=[produce_video, publish_video, take_down_video],
        sensors=[backstop(settings)],
        resources={**resources, **(overrides or {})},
        executor=forked_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return _built()


def warm() -> None:
    """Build all that a run's worker needs, in the process that workers are forked from."""
    repository = _built().get_repository_def()
    for name in repository.job_names:
        repository.get_job(name)
    from cm_assets.orchestration.rehearsal import rehearse

    rehearse(build_defs)


@cache
def _built() -> dg.Definitions:
    # Once a process: a run's worker finds them built by the parent that it is forked from.
    return build_defs(Settings())
