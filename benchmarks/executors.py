"""The project's definitions under each stock executor, for a code server: `-m executors -a forkserver`."""

import dagster as dg

from cm_assets.definitions import build_defs
from cm_assets.orchestration.executor import forked_executor
from cm_assets.settings import Settings

MOST = 2
"""Steps at once: audio and background_clips."""

PRELOADED = {"forkserver": {"preload_modules": ["cm_assets.definitions"]}}


def _under(executor: dg.ExecutorDefinition) -> dg.Definitions:
    made = build_defs(Settings())
    return dg.Definitions(assets=made.assets, jobs=made.jobs, resources=made.resources, executor=executor)


@dg.definitions
def in_process() -> dg.Definitions:
    """One step after the other, in the run worker."""
    return _under(dg.in_process_executor)


@dg.definitions
def forkserver() -> dg.Definitions:
    """Each step a fork of a process that has imported everything."""
    return _under(dg.multiprocess_executor.configured({"start_method": PRELOADED, "max_concurrent": MOST}))


@dg.definitions
def fork() -> dg.Definitions:
    """Each step a fork of the run worker."""
    return _under(forked_executor)


@dg.definitions
def spawn() -> dg.Definitions:
    """Each step a new interpreter."""
    return _under(dg.multiprocess_executor.configured({"start_method": {"spawn": {}}, "max_concurrent": MOST}))
