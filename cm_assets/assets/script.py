"""`script`: what is said, scene by scene."""

import dagster as dg

from cm_assets.assets.stage import Results, Stages, policy_of, results
from cm_assets.checks.script import check_script
from cm_assets.models.brief import Brief
from cm_assets.models.script import Script
from cm_assets.resources import Writers


@dg.asset(
    **policy_of("script"),
    group_name="writing",
    kinds={"openai"},
    code_version="1",
    description="The script: the request's own scenes, an extract of its source text, or a model's about its topic.",
)
def script(
    context: dg.AssetExecutionContext, brief: Brief, stages: dg.ResourceParam[Stages], writers: Writers
) -> Results:
    """The script of this video."""
    with stages.run(context):
        request = brief.request
        made = writers.writer_for(request).write(request)
        yield from results(
            made,
            {
                "title": made.title,
                "script": dg.MetadataValue.md(_markdown(made)),
                "scenes": len(made.scenes),
                "words": sum(len(scene.text.split()) for scene in made.scenes),
                "writer": made.writer,
                **({"language model": made.model} if made.model else {}),
            },
            check_script(made, request),
        )


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
