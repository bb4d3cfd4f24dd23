"""Titles and hashtags from words that were written for something else."""

import re
from collections import Counter
from collections.abc import Iterable

LONGEST_TITLE = 100


def title_from(text: str) -> str:
    """A title of at most 100 characters: the first sentence, cut at a word, without `<` and `>`."""
    plain = " ".join(text.replace("<", " ").replace(">", " ").split())
    first = re.split(r"(?<=[.!?])\s", plain, maxsplit=1)[0].rstrip(".")
    title = first if len(first) <= 70 else plain[:70].rsplit(" ", 1)[0].rstrip(",;:.- ")
    return title[:LONGEST_TITLE].strip() or "Video"


def hashtags_from(terms: Iterable[str], count: int = 5) -> tuple[str, ...]:
    """Hashtags, without `#`: the words that the search terms of all scenes use most, the first first."""
    words = (re.sub(r"[^a-z0-9]", "", word.lower()) for term in terms for word in term.split())
    return tuple(word for word, _ in Counter(word for word in words if 3 <= len(word) <= 24).most_common(count))
