"""What a language model is asked to answer, as a schema, and what is made of its answer."""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from cm_assets.engines.writing.titles import LONGEST_TITLE, fitted, hashtags_given, one_line
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import WORDS_PER_SECOND, Scene, Script

SHORTEST, LONGEST = 0.6, 1.4
"""Bounds of a script's words, as shares of those asked for: a little within what the script's check demands."""


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


def words_wanted(request: VideoRequest) -> int:
    """How many words fill the time that the request asks for."""
    return max(10, round(request.target_seconds * request.speed * WORDS_PER_SECOND))


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


def script_from(answer: str, request: VideoRequest, *, writer: str, model: str) -> Script:
    """The script in a model's answer.

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
    description = " ".join(draft.description.split())
    hashtags = hashtags_given(draft.hashtags)
    _judge(request, scenes, f"{title} {description} {' '.join(hashtags)}")
    post = request.post
    return Script(
        title=fitted(one_line(post.title or ""), LONGEST_TITLE) or title,
        description=post.description if post.description is not None else description,
        hashtags=hashtags_given(post.hashtags) if post.hashtags is not None else hashtags,
        scenes=scenes,
        language=request.language,
        writer=writer,
        model=model,
    )


def _parsed(answer: str) -> Draft:
    # Servers that ignore the schema wrap the JSON in a code fence, or think aloud before it.
    start, end = answer.find("{"), answer.rfind("}")
    try:
        return Draft.model_validate_json(answer[start : end + 1] if 0 <= start < end else answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise Unusable(f"{field}: {first['msg'][:200]}") from None


def _judge(request: VideoRequest, scenes: tuple[Scene, ...], post: str) -> None:
    words, wanted = sum(len(scene.text.split()) for scene in scenes), words_wanted(request)
    if not SHORTEST * wanted <= words <= LONGEST * wanted:
        raise Unusable(f"the scenes have {words} words together; write about {wanted}")
    shown = " ".join([*(scene.text for scene in scenes), post]).casefold()
    avoided = [word for word in request.brand.avoid if _says(shown, word)]
    if avoided:
        raise Unusable(f"it uses words that must not be used: {', '.join(avoided)}")


def _says(text: str, word: str) -> bool:
    """Whether a text has a word or phrase, as a whole: avoiding `AI` does not forbid `said`."""
    return re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", text) is not None


def _spoken(text: str) -> str:
    """A text without what no voice speaks: marks of emphasis, symbols, control and format characters."""
    plain = re.sub(r"(\*\*|__|`)", "", text)
    kept = "".join(" " if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "So"} else one for one in plain)
    return " ".join(kept.split())


def _terms(terms: list[str]) -> tuple[str, ...]:
    plain = (" ".join(re.sub(r"[^\w\s'&-]", " ", term).split())[:60].strip() for term in terms)
    return tuple(dict.fromkeys(term for term in plain if term))[:4]
