"""`script`: what is said, scene by scene."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.checks.script import check_script
from cm_assets.engines.writing import wording
from cm_assets.lifecycle.worklog import WorkLog
from cm_assets.models.brief import Brief
from cm_assets.models.script import Script
from cm_assets.models.spending import Bill
from cm_assets.resources import Writers
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database

CODE = "2"
"""Raise it when what is made of an answer changes."""


def code_version(model: str) -> str:
    """The version of the asset's code: what is done here, the prompts, and the language model."""
    return f"{CODE}, {wording.version()}, {model}"


class ScriptConfig(dg.Config):
    """Run config of `script`: a rejection to answer, or nothing.

    Attributes:
        feedback: what a person wants otherwise.
        revises: address of the script that was rejected.
    """

    feedback: str = ""
    revises: str = ""


@dg.asset(
    **policy_of("script"),
    group_name="writing",
    kinds={"openai"},
    code_version=CODE,  # definitions.py adds the prompts and the model
    description="The script: the request's own scenes, an extract of its source text, or a model's about its topic.",
)
def script(
    context: dg.AssetExecutionContext,
    config: ScriptConfig,
    brief: Brief,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
    database: dg.ResourceParam[Database],
    writers: Writers,
) -> Results:
    """The script of this video."""
    with stages.run(context) as stage:
        request = brief.request
        # Until there is another script, every run wants the same one, and what one has paid for serves the next.
        newest = WorkLog(context.instance).made(stage.video, "script")
        spending = writers.spending(database, stage.video, newest.storage_id if newest else -1, request)
        writer = writers.writer_for(request, spending)
        if config.revises:
            old = Script.model_validate_json(store.read(config.revises))
            made = writer.revise(request, old, config.feedback)
        else:
            made = writer.write(request)
        yield from results(
            made,
            {
                "title": made.title,
                "script": dg.MetadataValue.md(_markdown(made)),
                "scenes": len(made.scenes),
                "words": sum(len(scene.text.split()) for scene in made.scenes),
                "writer": made.writer,
                **({"answers": config.feedback} if config.feedback else {}),
                **(_paid(made, spending.bill()) if made.model else {}),
            },
            check_script(made, request),
        )


def _paid(script: Script, bill: Bill) -> Mapping[str, Any]:
    """What the language model did for a script, and what that cost."""
    paid = {
        "language model": script.model,
        "prompt": script.prompt,
        "calls": bill.calls,
        "latency (s)": round(bill.seconds, 2),
        "prompt tokens": bill.prompt,
        "completion tokens": bill.completion,
        "cached tokens": bill.cached,
        "cost (USD)": "unknown: set CM_PRICES" if bill.cost is None else float(bill.cost),
    }
    return paid | ({"calls without an end": bill.lost} if bill.lost else {})


def _markdown(script: Script) -> str:
    """The script for people. Its text is a stranger's: what Markdown or HTML would act on is shown, not obeyed."""
    lines = [f"## {_plain(script.title)}", ""]
    for number, scene in enumerate(script.scenes, 1):
        terms = ", ".join(_plain(term) for term in scene.search_terms)
        lines += [f"{number}. {_plain(scene.text)}  ", f"   *{terms}*", ""]
    lines += [_plain(script.description), "", " ".join(f"\\#{_plain(tag)}" for tag in script.hashtags)]
    return "\n".join(lines)


def _plain(text: str) -> str:
    escaped = "".join(f"\\{character}" if character in r"\`*_{}[]()#+-.!|" else character for character in text)
    return " ".join(escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
