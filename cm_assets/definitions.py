"""build_defs: the one page where everything meets. Production, tests and tools all come through here."""

from collections.abc import Mapping

import dagster as dg

from cm_assets.assets.audio import audio
from cm_assets.assets.background_clips import background_clips
from cm_assets.assets.brief import brief
from cm_assets.assets.published_post import outbox
from cm_assets.assets.render import render
from cm_assets.assets.script import script
from cm_assets.assets.stage import Stages
from cm_assets.lifecycle.catalogue import catalogue
from cm_assets.orchestration.jobs import produce_video, publish_video
from cm_assets.resources import Channel, Footage, ModelIOManager, Speakers, Studio, writers
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database

# The best stock executor that keeps audio and background_clips side by side: docs/performance.md has the figures.
EXECUTOR = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": ["cm_assets.definitions"]}}, "max_concurrent": 2}
)


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
        "speakers": Speakers(engines=list(settings.voices), kokoro_model=str(settings.kokoro_model or "")),
        "footage": Footage(names=list(settings.footage), folder=str(settings.footage_folder or ""), ffmpeg=ffmpeg),
        "studio": Studio(
            ffmpeg=ffmpeg,
            preset=settings.x264_preset,
            cache=str(settings.cache / "segments"),
            cache_bytes=settings.cache_bytes,
            music_folder=str(settings.music_folder or ""),
        ),
        "channel": Channel(folder=str(settings.channel)),
    }
    return dg.Definitions(
        assets=[brief, script, audio, background_clips, render, outbox],
        jobs=[produce_video, publish_video],
        resources={**resources, **(overrides or {})},
        executor=EXECUTOR,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_defs(Settings())
