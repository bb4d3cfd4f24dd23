"""Titles, descriptions and hashtags from words that were written for something else."""

import re
from collections import Counter
from collections.abc import Iterable

LONGEST_TITLE = 100
"""Characters: what every platform takes."""

FIT_TITLE = 70
"""Characters that a list of videos shows."""

LONGEST_DESCRIPTION = 300

_END = re.compile(r"(?<=[.!?\u2026\u3002\uff01\uff1f])[\"'\u201d\u2019)]*\s+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|prof|st|vs|no|inc|ltd|co|corp|dept|approx|gen|rev|jr|sr|e\.g|i\.e|u\.s|u\.k|"
    r"jan|feb|aug|sept?|oct|nov|dec)|\b[A-Z])\.$",
    re.IGNORECASE,
)


def one_line(text: str) -> str:
    """The text on one line, without `<` and `>`, which some platforms refuse."""
    return " ".join(text.replace("<", " ").replace(">", " ").split())


def title_from(text: str) -> str:
    """A title of at most 100 characters, about 70 where that is possible, that ends at a sentence, clause or word."""
    # What stands in brackets explains; a title has no room for it.
    plain = re.sub(r"\s*\([^()]*\)", "", one_line(text)).strip()
    first = next(iter(sentences(plain)), "")
    first = first if first.endswith(("...", "\u2026")) else first.rstrip(".\u3002")
    return fitted(first, FIT_TITLE) or "Video"


def fitted(text: str, most: int) -> str:
    """The text cut to `most` characters: at a clause if that keeps half of it, else at a word, else anywhere."""
    if len(text) <= most:
        return text.strip()
    head = text[: most + 1]
    clause = max((match.start() for match in re.finditer(r"[,;:\u2014](?=\s)|\s[-\u2013](?=\s)", head)), default=0)
    if clause >= most // 2:
        return head[:clause].strip()
    word = head.rfind(" ")
    cut = head[:word] if word >= most // 3 else head[: most - 1]
    return cut.rstrip(" ,;:.-\u2013\u2014") + "\u2026"


def description_from(texts: Iterable[str]) -> str:
    """The first sentences of a narration, as many as fit 300 characters."""
    kept: list[str] = []
    for sentence in sentences(one_line(" ".join(texts))):
        if sum(len(one) + 1 for one in kept) + len(sentence) > LONGEST_DESCRIPTION:
            break
        kept.append(sentence)
        if len(kept) == 3:
            break
    return " ".join(kept)


def sentences(text: str) -> list[str]:
    """A rough split of a line, for titles; a period after an abbreviation or an initial ends nothing."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : match.start()]):
            found.append(text[start : match.end()].strip())
            start = match.end()
    return [one for one in [*found, text[start:].strip()] if one]


def hashtags_from(terms: Iterable[str], count: int = 5) -> tuple[str, ...]:
    """Hashtags, without `#`: the words that the search terms of all scenes use most, the first first."""
    words = (tag for term in terms for word in term.split() if (tag := hashtag(word)))
    counted = Counter(word for word in words if 3 <= len(word) <= 24 or word in {"ai", "ev", "vr"})
    return tuple(word for word, _ in counted.most_common(count))


def hashtag(text: str) -> str:
    """A text as a hashtag without `#`: letters and digits of any script; empty if it has none."""
    tag = re.sub(r"[\W_]+", "", text)
    return tag.lower() if not tag.isdigit() else ""


def hashtags_given(tags: Iterable[str]) -> tuple[str, ...]:
    """A requester's hashtags, each once, without `#` and blanks; their capitals are theirs."""
    clean = (re.sub(r"[^\w-]+", "", tag) for tag in tags)
    return tuple(dict.fromkeys(tag for tag in clean if tag))
