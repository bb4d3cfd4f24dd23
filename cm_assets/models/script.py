"""What is said, scene by scene, and how the post is called."""

from typing import Annotated

from pydantic import Field

from cm_assets.models.base import Model

WORDS_PER_SECOND = 2.6
"""Pace of the voices at speed 1, pauses between scenes included."""


class Scene(Model):
    """One beat of the video: a narration and what to show under it.

    Attributes:
        text: what is spoken and captioned.
        search_terms: what to look for in footage, best first. Never empty after the script stage.
        clip: name of a file of the user's own footage, or `upload:<id>`, that must be shown.
    """

    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    search_terms: tuple[str, ...] = ()
    clip: str | None = None


class Script(Model):
    """A finished script.

    Attributes:
        title: one line, at most 100 characters, without `<` and `>`.
        description: what the post says under the video.
        hashtags: without `#`.
        scenes: in order.
        language: BCP 47 tag.
        writer: the engine that wrote it, for the record: `request`, `extractive`, `openai`.
        model: the language model that was used, if any.
        prompt: version of the prompts that it was given.
    """

    title: Annotated[str, Field(min_length=1, max_length=100)]
    description: str = ""
    hashtags: tuple[str, ...] = ()
    scenes: Annotated[tuple[Scene, ...], Field(min_length=1)]
    language: str = "en"
    writer: str
    model: str | None = None
    prompt: str | None = None
