"""Search terms for a scene that has none: its weightiest phrases.

RAKE (Rose et al., 2010, "Automatic keyword extraction from individual documents"): phrases lie between stop words and
punctuation; a word weighs as much as the length of the phrases that it stands in, over how often it stands.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from cm_assets.engines.writing.languages import stop_words, unseen_words

LONGEST = 2
"""Words in a phrase: stock sites answer short questions."""

_MOST_CHARACTERS = 20_000
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_THINGS_IN_LY = frozenset({"family", "supply", "assembly", "butterfly", "dragonfly", "firefly", "monopoly", "anomaly"})
_BREAK = re.compile(r"[^\w\s'\u2019-]+|\s[-\u2019']|[-\u2019']\s|\n")


def keywords(text: str, count: int, language: str = "en") -> tuple[str, ...]:
    """At most `count` phrases of a text in lower case, weightiest first; never none.

    A text without a phrase gives its longest word that means something, and one without such a word gives `abstract`.
    """
    text = text[:_MOST_CHARACTERS]
    unseen = unseen_words(language)
    phrases = [phrase for part in _BREAK.split(text) for phrase in _phrases(part, unseen)]
    frequency: dict[str, int] = defaultdict(int)
    degree: dict[str, int] = defaultdict(int)
    for phrase in phrases:
        for word in phrase:
            frequency[word] += 1
            degree[word] += len(phrase)
    weights = {phrase: sum(degree[word] / frequency[word] for word in phrase) for phrase in phrases}
    # Sorting is stable and a dict keeps its order: of two that weigh the same, the first in the text comes first.
    ranked = [" ".join(phrase) for phrase in sorted(weights, key=lambda phrase: -weights[phrase])]
    if not ranked:
        empty = stop_words(language)
        words = (word.lower() for word in _WORD.findall(text))
        telling = [word for word in words if len(word) > 1 and word not in empty and not _is_contraction(word)]
        ranked = [max(telling, key=len, default="abstract")[:40]]
    return tuple(ranked[:count])


def _phrases(text: str, unseen: frozenset[str]) -> Iterable[tuple[str, ...]]:
    run: list[str] = []
    for word in [*_WORD.findall(text), ""]:
        bare = re.sub(r"['\u2019]s$", "", word)
        if _is_seen(bare, unseen):
            run.append(bare.lower())
            continue
        while run and _is_verb(run[-1]):
            run.pop()
        # From the end: in "new solar energy storage" the storage is what can be seen.
        while run:
            yield tuple(run[-LONGEST:])
            del run[-LONGEST:]


def _is_seen(word: str, unseen: frozenset[str]) -> bool:
    """Whether a word may stand in a search: no stop word, number or contraction; of two letters only AI, EV, UK."""
    lower = word.lower().replace("\u2019", "'")
    if lower in unseen or _is_contraction(lower) or lower[:1].isdigit() or len(word) > 40 or _is_adverb(lower):
        return False
    if len(word) == 2:
        return word.isupper() or not word.isascii()
    return len(word) > 2 or (len(word) == 1 and not word.isascii())


def _is_contraction(word: str) -> bool:
    return "'" in word or "\u2019" in word


def _is_verb(word: str) -> bool:
    """Whether a word at the end of a phrase is more likely what was done than a thing; English alone ends so."""
    return len(word) > 5 and word.endswith("ed") and not word.endswith("eed")


def _is_adverb(word: str) -> bool:
    return len(word) > 5 and word.endswith("ly") and word not in _THINGS_IN_LY
