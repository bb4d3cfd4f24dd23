"""build_defs: the one page where everything meets. Production, tests and tools all come through here."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import dagster as dg

from cm_assets.assets.audio import audio
from cm_assets.assets.background_clips import background_clips
from cm_assets.assets.brief import brief
from cm_assets.assets.published_post import published_post
from cm_assets.assets.render import render
from cm_assets.assets.review import review
from cm_assets.assets.script import code_version, script
from cm_assets.assets.stage import Stages
from cm_assets.assets.take_down import take_down_video
from cm_assets.lifecycle.catalogue import catalogue
from cm_assets.models.base import Failure
from cm_assets.orchestration import broker
from cm_assets.orchestration.backstop import backstop
from cm_assets.orchestration.executor import forked_executor
from cm_assets.orchestration.jobs import produce_video, publish_video
from cm_assets.orchestration.patience import wait_patiently
from cm_assets.orchestration.queues import queued_executor
from cm_assets.policies import PLATFORMS
from cm_assets.resources import ModelIOManager, Studio, footage, platforms, speakers, writers
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.away import be_patient
from cm_assets.storage.database import Database
from cm_assets.storage.disk import Disk
from cm_assets.storage.uploads import Uploads

DATABASE_PATIENCE = 6.0
"""Seconds for which a step waits for its database; Dagster's storage tries five times."""


def build_defs(settings: Settings, *, overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """All assets, jobs and resources.

    Args:
        settings: the configuration.
        overrides: resources that take the place of those of the settings, by name.
    """
    wait_patiently()  # whichever executor a job has
    be_patient(DATABASE_PATIENCE)
    store = ArtifactStore(settings.artifacts, settings.cache, settings.artifact_cache_bytes)
    database = Database(settings.database)
    ffmpeg = str(settings.ffmpeg or "")
    resources: dict[str, object] = {
        "io_manager": ModelIOManager(store),
        "store": store,
        "database": database,
        "stages": Stages(database, settings.home / "work"),
        "catalogue": catalogue(settings),
        "disk": Disk(settings, database),
        "uploads": Uploads(database, store),
        "writers": writers(settings),
        "speakers": speakers(settings),
        "footage": footage(settings),
        "studio": Studio(
            ffmpeg=ffmpeg,
            preset=settings.x264_preset,
            cache=str(settings.cache / "segments"),
            cache_bytes=settings.cache_bytes,
            music_folder=str(settings.music_folder or ""),
        ),
        "platforms": platforms(settings),
    }
    on_broker = bool(broker.address())
    # Posts are few and wait for the network: a process for each would cost more than it gives. With a broker they go
    # through it as well, so that the accounts' secrets need to be on the hosts of their queue alone.
    posting = queued_executor if on_broker else dg.in_process_executor
    jobs: list[Any] = [produce_video, publish_video(posting), take_down_video(posting)]
    return dg.Definitions(
        assets=[
            brief,
            _written_by(settings.openai_model),
            audio,
            background_clips,
            render,
            review,
            *map(published_post, PLATFORMS),
        ],
        jobs=jobs,
        sensors=[backstop(settings, jobs)],
        resources={**resources, **(overrides or {})},
        executor=queued_executor if on_broker else forked_executor,
    )


def _written_by(model: str) -> dg.AssetsDefinition:
    """The asset `script`, whose version names the language model: another one makes older scripts show as outdated."""
    version = code_version(model)
    named: dg.AssetsDefinition = script.map_asset_specs(lambda spec: spec.replace_attributes(code_version=version))
    return named


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return _built()


def warm() -> None:
    """Build all that a run's worker needs, in the process that workers are forked from."""
    repository = _built().get_repository_def()
    for name in repository.job_names:
        repository.get_job(name)
    from cm_assets.orchestration.rehearsal import rehearse, rehearse_statements

    rehearse(build_defs)
    resources = _built().resources or {}
    store, database = resources["store"], resources["database"]
    assert isinstance(store, ArtifactStore)
    assert isinstance(database, Database)
    # What is wrong with the store, a stage says.
    with suppress(Failure):
        store.warm()
    rehearse_statements(database)


@cache
def _built() -> dg.Definitions:
    # Once a process: a run's worker finds them built by the parent that it is forked from.
    return build_defs(Settings())
