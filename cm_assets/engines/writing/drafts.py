"""What a language model is asked to answer, as a schema, and what is made of its answer."""

import json
import re
import unicodedata
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from cm_assets.engines.writing.titles import LONGEST_TITLE, fitted, hashtags_given, one_line
from cm_assets.engines.writing.wording import words_wanted
from cm_assets.models.brand import avoided
from cm_assets.models.limits import too_much
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Scene, Script

SHORTEST, LONGEST = 0.6, 1.4
"""Bounds of a script's words, as shares of those asked for: a little within what the script's check demands."""

LONGEST_SCENE = 60
"""Words of a scene: who writes more has more than one idea, and one clip stands for half a minute."""

MOST_OBJECTS = 50
"""Beginnings of objects in an answer that are tried; those that think aloud write some in passing."""


class _SceneDraft(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=1000)]
    search_terms: Annotated[list[str], Field(min_length=1, max_length=8)]


class Draft(BaseModel):
    """A script as the model writes it."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: Annotated[str, Field(max_length=2000)]
    hashtags: Annotated[list[str], Field(max_length=30)]
    scenes: Annotated[list[_SceneDraft], Field(min_length=1, max_length=200)]


class Unusable(Exception):
    """An answer that is no script; the reason is worded for the model."""


def schema() -> dict[str, Any]:
    """The draft's JSON schema as strict structured output takes it: closed objects, all fields required, no bounds.

    Bounds are left out since many servers reject or mistake them; the answer is checked for them here.
    """
    unsupported = {"minLength", "maxLength", "minItems", "maxItems", "title", "description"}

    def strict(node: Any, *, names: bool = False) -> Any:
        if not isinstance(node, dict):
            return node
        kept = {
            key: strict(value, names=key in {"properties", "$defs"})
            for key, value in node.items()
            if names or key not in unsupported
        }
        if kept.get("type") == "object" and not names:
            kept |= {"additionalProperties": False, "required": list(kept["properties"])}
        return kept

    made: dict[str, Any] = strict(Draft.model_json_schema())
    return made


def script_from(answer: str, request: VideoRequest, *, writer: str, model: str, prompt: str) -> Script:
    """The script in a model's answer.

    Args:
        answer: what it wrote, with whatever it put around the JSON.
        request: what was asked for.
        writer: for the record, as are the two that follow.
        model: that wrote it.
        prompt: that it was given.

    Raises:
        Unusable: it is no script, far from the length that was asked for, or says what it must not.
    """
    draft = _parsed(answer)
    scenes = tuple(
        Scene(text=text, search_terms=terms)
        for one in draft.scenes
        if (text := _spoken(one.text)) and (terms := _terms(one.search_terms))
    )
    title = fitted(_spoken(one_line(draft.title)), LONGEST_TITLE)
    if not scenes or not title:
        raise Unusable("a title, and a text and search_terms for every scene, are needed")
    script = Script(
        title=title,
        description=" ".join(draft.description.split()),
        hashtags=hashtags_given(draft.hashtags),
        scenes=scenes,
        language=request.language,
        writer=writer,
        model=model,
        prompt=prompt,
    )
    _judge(request, script)
    post = request.post
    return script.model_copy(
        update={
            "title": fitted(one_line(post.title or ""), LONGEST_TITLE) or script.title,
            "description": post.description if post.description is not None else script.description,
            "hashtags": hashtags_given(post.hashtags) if post.hashtags is not None else script.hashtags,
        }
    )


def _parsed(answer: str) -> Draft:
    try:
        return Draft.model_validate_json(_json_in(answer))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise Unusable(f"{field}: {first['msg'][:200]}") from None


def _json_in(answer: str) -> str:
    """The object with scenes in an answer, else the first object, else all of it.

    Servers that ignore the schema wrap the JSON in a code fence or in words, let models think aloud before it, and
    break lines within strings.
    """
    # Some templates open the thoughts for the model, so that only their end is in the answer.
    text = re.split(r"</(?:think|thinking|reasoning)>", answer)[-1]
    found: list[str] = []
    start = text.find("{")
    for _ in range(MOST_OBJECTS):
        if start < 0:
            break
        try:
            made, end = json.JSONDecoder(strict=False).raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        found.append(json.dumps(made))
        if "scenes" in made:
            return found[-1]
        start = text.find("{", end)
    whole = text.strip()
    # What begins as an object and is none is best complained of as it stands: something inside it may be one.
    return found[0] if found and not whole.startswith("{") else whole


def _judge(request: VideoRequest, script: Script) -> None:
    lengths = [len(scene.text.split()) for scene in script.scenes]
    words, wanted = sum(lengths), words_wanted(request)
    if not SHORTEST * wanted <= words <= LONGEST * wanted:
        raise Unusable(f"the scenes have {words} words together; write about {wanted}")
    if max(lengths) > LONGEST_SCENE:
        number = lengths.index(max(lengths)) + 1
        raise Unusable(f"scene {number} has {max(lengths)} words; one idea a scene, in 8 to 22 words")
    if wrong := avoided(request.brand, script):
        raise Unusable(f"it uses words that must not be used: {', '.join(wrong)}")
    for platform in request.platforms:
        post = request.post.on(platform)
        for one in too_much(
            platform,
            title=post.title or script.title,
            description=script.description if post.description is None else post.description,
            hashtags=script.hashtags if post.hashtags is None else hashtags_given(post.hashtags),
        ):
            if getattr(post, one.field) is None:  # what the request gives is not the model's to change
                raise Unusable(f"{one.field} {one.why}")


def _spoken(text: str) -> str:
    """A text without what no voice speaks: marks of emphasis, symbols, control and format characters."""
    plain = re.sub(r"(\*\*|__|`)", "", text)
    kept = "".join(" " if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "So"} else one for one in plain)
    return " ".join(kept.split())


def _terms(terms: list[str]) -> tuple[str, ...]:
    plain = (" ".join(re.sub(r"[^\w\s'&-]", " ", term).split())[:60].strip() for term in terms)
    return tuple(dict.fromkeys(term for term in plain if term))[:4]
