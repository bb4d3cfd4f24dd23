"""What a post may say on each platform: how much text, in which category, and who may see it.

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
        categories: numbers by lower-case name, where it has categories; other numbers may be some account's.
        privacy: what `post.privacy` may be.
    """

    title: int | None = None
    plain_title: bool = False
    description: int | None = None
    tags: int | None = None
    caption: int | None = None
    categories: Mapping[str, str] | None = None
    privacy: Sequence[str] | None = None


CATEGORIES: Mapping[str, str] = {
    "film & animation": "1",
    "autos & vehicles": "2",
    "music": "10",
    "pets & animals": "15",
    "sports": "17",
    "travel & events": "19",
    "gaming": "20",
    "people & blogs": "22",
    "comedy": "23",
    "entertainment": "24",
    "news & politics": "25",
    "howto & style": "26",
    "education": "27",
    "science & technology": "28",
    "nonprofits & activism": "29",
}
"""YouTube's that can be chosen everywhere: https://developers.google.com/youtube/v3/docs/videoCategories/list."""

LIMITS: Mapping[str, Limits] = {
    # developers.google.com/youtube/v3/docs/videos: snippet.title, snippet.description, snippet.tags[]
    "youtube": Limits(title=100, plain_title=True, description=5000, tags=500, categories=CATEGORIES),
    # developers.tiktok.com/doc/content-posting-api-reference-direct-post: post_info.title is the whole caption
    # Nothing on it is unlisted: who has no link finds a post all the same.
    "tiktok": Limits(caption=2200, privacy=("public", "private")),
}
"""By platform; one that is not in here takes what a request may hold."""

_NONE = Limits()


@dataclass(frozen=True, slots=True)
class Unfit:
    """Something of a post that a platform refuses.

    Attributes:
        field: of `post`: `title`, `description`, `hashtags`, `category` or `privacy`.
        why: for a person or a language model.
    """

    field: str
    why: str


def too_much(platform: str, *, title: str = "", description: str = "", hashtags: Sequence[str] = ()) -> list[Unfit]:
    """What of a post's text a platform would refuse; nothing if it takes it."""
    return list(_too_much(platform, LIMITS.get(platform, _NONE), title, description, hashtags))


def not_offered(platform: str, *, category: str = "", privacy: str = "") -> list[Unfit]:
    """What of a post's category and privacy a platform does not have; nothing if it has them, or they are empty."""
    limits, found = LIMITS.get(platform, _NONE), []
    if category and limits.categories is not None and not category_number(category):
        known = ", ".join(limits.categories)
        found.append(Unfit("category", f"{category!r} is none of {platform}'s: {known}, or a number"))
    if privacy and limits.privacy is not None and privacy not in limits.privacy:
        choice = " or ".join(limits.privacy)
        own = f"for {platform} alone under post.per_platform.{platform}"
        found.append(Unfit("privacy", f"{platform} has no {privacy} posts; choose {choice}, {own}"))
    return found


def category_number(category: str) -> str:
    """The number of a category of YouTube's, given its name or its number; empty if it is neither."""
    number = CATEGORIES.get(category.strip().lower(), category.strip())
    return number if number.isascii() and number.isdigit() else ""


def tags_length(hashtags: Sequence[str]) -> int:
    """The length of tags as YouTube counts them: a comma between two, quotes around those with blanks."""
    return sum(len(tag) + (2 if " " in tag else 0) for tag in hashtags) + max(len(hashtags) - 1, 0)


def caption(title: str, description: str, hashtags: Sequence[str]) -> str:
    """Title, description and hashtags as one text, where a platform has a single field for them."""
    return "\n".join(filter(None, [title, description, " ".join(f"#{tag}" for tag in hashtags)]))


def utf16_units(text: str) -> int:
    """The length of a text in UTF-16, as JavaScript and TikTok count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _too_much(platform: str, limits: Limits, title: str, description: str, hashtags: Sequence[str]) -> Iterator[Unfit]:
    if limits.title is not None and len(title) > limits.title:
        yield Unfit("title", f"has {len(title)} characters; {platform} takes {limits.title}")
    if limits.plain_title and ("<" in title or ">" in title):
        yield Unfit("title", f"has < or >, which {platform} refuses")
    size = len(description.encode("utf-8", "surrogatepass"))
    if limits.description is not None and size > limits.description:
        yield Unfit("description", f"has {size} bytes; {platform} takes {limits.description}")
    length = tags_length(hashtags)
    if limits.tags is not None and length > limits.tags:
        yield Unfit("hashtags", f"have {length} characters together; {platform} takes {limits.tags}")
    units = utf16_units(caption(title, description, hashtags))
    if limits.caption is not None and units > limits.caption:
        said = f"makes, with title and hashtags, {units} characters (UTF-16); {platform} takes {limits.caption}"
        yield Unfit("description" if description else "hashtags", said)
