"""What a language model is told: the prompt files, and what people wrote as data between tags that it cannot close."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from cm_assets.models.request import VideoRequest
from cm_assets.models.script import WORDS_PER_SECOND, Script

SCRIPT, REVISE, REPAIR = "script.v2", "revise.v1", "repair.v1"
"""Files of `prompts/`. The version is in the name: another prompt is another file."""


@cache
def prompt(name: str) -> str:
    """The text of a prompt file."""
    text = (resources.files("cm_assets.engines.writing") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    return text.strip()


@cache
def version() -> str:
    """Which prompts write scripts, such as `script.v2-1f0e9c3a`."""
    return version_of(SCRIPT, [prompt(name) for name in (SCRIPT, REVISE, REPAIR)])


def version_of(name: str, texts: Iterable[str]) -> str:
    """The version of prompts by name and content: the hash tells an edit that kept the file's name."""
    content = "\0".join(texts).encode()
    return f"{name}-{hashlib.sha256(content).hexdigest()[:8]}"


def words_wanted(request: VideoRequest) -> int:
    """How many words fill the time that the request asks for."""
    return max(10, round(request.target_seconds * request.speed * WORDS_PER_SECOND))


def opening(request: VideoRequest) -> list[dict[str, str]]:
    """The messages that ask for a script."""
    return [{"role": "system", "content": prompt(SCRIPT)}, {"role": "user", "content": brief(request)}]


def revision(script: Script, feedback: str) -> list[dict[str, str]]:
    """The messages that, after the opening, ask for an answer to what a person said of a script."""
    old = {
        "title": script.title,
        "description": script.description,
        "hashtags": list(script.hashtags),
        "scenes": [{"text": one.text, "search_terms": list(one.search_terms)} for one in script.scenes],
    }
    wish = f"{prompt(REVISE)}\n{_between('feedback', feedback)}"
    return [
        {"role": "assistant", "content": json.dumps(old, ensure_ascii=False)},
        {"role": "user", "content": wish},
    ]


def repair(answer: str, complaint: str) -> list[dict[str, str]]:
    """The messages that show an answer that cannot be used to who gave it."""
    # A message without content is refused by many servers. Not str.format: the complaint may hold braces.
    wish = prompt(REPAIR).replace("{complaint}", complaint)
    return [{"role": "assistant", "content": answer or "{}"}, {"role": "user", "content": wish}]


def brief(request: VideoRequest) -> str:
    """The request as data for the model."""
    wishes: Mapping[str, object] = {
        "topic": request.topic,
        "language": request.language,
        "seconds": request.target_seconds,
        "words": words_wanted(request),
        "tone": request.tone,
        "audience": request.audience,
        "use_words": list(request.brand.use),
        "avoid_words": list(request.brand.avoid),
    }
    return _between("brief", {name: value for name, value in wishes.items() if value})


def _between(tag: str, data: object) -> str:
    # Quotes are escaped by JSON; with `<` escaped as well, no text can end the data and begin an instruction.
    return f"<{tag}>\n" + json.dumps(data, ensure_ascii=False).replace("<", "\\u003c") + f"\n</{tag}>"
