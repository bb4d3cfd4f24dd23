"""How much text a post may have on each platform, and what of it is too much.

Who accepts a request, who writes and who posts read this one table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a platform takes. None where it sets no bound of its own.

    Attributes:
        title: characters.
        plain_title: whether `<` and `>` are refused in it.
        description: bytes in UTF-8.
        tags: characters of all hashtags together, with a comma between two and quotes around those with blanks.
        caption: UTF-16 units of title, description and hashtags, where the platform shows them as one text.
    """

    title: int | None = None
    plain_title: bool = False
    description: int | None = None
    tags: int | None = None
    caption: int | None = None


LIMITS: Mapping[str, Limits] = {
    # developers.google.com/youtube/v3/docs/videos: snippet.title, snippet.description, snippet.tags[]
    "youtube": Limits(title=100, plain_title=True, description=5000, tags=500),
    # developers.tiktok.com/doc/content-posting-api-reference-direct-post: post_info.title is the whole caption
    "tiktok": Limits(caption=2200),
}
"""By platform; one that is not in here takes what a request may hold."""

_NONE = Limits()


@dataclass(frozen=True, slots=True)
class TooMuch:
    """A text that a platform refuses.

    Attributes:
        field: `title`, `description` or `hashtags`.
        why: for a person or a language model.
    """

    field: str
    why: str


def too_much(platform: str, *, title: str = "", description: str = "", hashtags: Sequence[str] = ()) -> list[TooMuch]:
    """What of a post's text a platform would refuse; nothing if it takes it."""
    return list(_too_much(platform, LIMITS.get(platform, _NONE), title, description, hashtags))


def tags_length(hashtags: Sequence[str]) -> int:
    """The length of tags as YouTube counts them: a comma between two, quotes around those with blanks."""
    return sum(len(tag) + (2 if " " in tag else 0) for tag in hashtags) + max(len(hashtags) - 1, 0)


def caption(title: str, description: str, hashtags: Sequence[str]) -> str:
    """Title, description and hashtags as one text, where a platform has a single field for them."""
    return "\n".join(filter(None, [title, description, " ".join(f"#{tag}" for tag in hashtags)]))


def utf16_units(text: str) -> int:
    """The length of a text in UTF-16, as JavaScript and TikTok count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _too_much(
    platform: str, limits: Limits, title: str, description: str, hashtags: Sequence[str]
) -> Iterator[TooMuch]:
    if limits.title is not None and len(title) > limits.title:
        yield TooMuch("title", f"has {len(title)} characters; {platform} takes {limits.title}")
    if limits.plain_title and ("<" in title or ">" in title):
        yield TooMuch("title", f"has < or >, which {platform} refuses")
    size = len(description.encode("utf-8", "surrogatepass"))
    if limits.description is not None and size > limits.description:
        yield TooMuch("description", f"has {size} bytes; {platform} takes {limits.description}")
    length = tags_length(hashtags)
    if limits.tags is not None and length > limits.tags:
        yield TooMuch("hashtags", f"have {length} characters together; {platform} takes {limits.tags}")
    units = utf16_units(caption(title, description, hashtags))
    if limits.caption is not None and units > limits.caption:
        said = f"makes, with title and hashtags, {units} characters (UTF-16); {platform} takes {limits.caption}"
        yield TooMuch("description" if description else "hashtags", said)
