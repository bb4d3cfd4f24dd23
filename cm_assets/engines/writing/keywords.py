"""Search terms for a scene that has none: its weightiest phrases.

RAKE (Rose et al., 2010, "Automatic keyword extraction from individual documents"): phrases lie between stop words and
punctuation; a word weighs as much as the length of the phrases that it stands in, over how often it stands.
"""

import functools
import re
from collections import defaultdict

LONGEST = 2
"""Words in a phrase: stock sites answer short questions."""


def keywords(text: str, count: int) -> tuple[str, ...]:
    """At most `count` phrases of a text, weightiest first; the longest word if there is no other."""
    phrases = [phrase for part in re.split(r"[^\w\s'\u2019-]+", text.lower()) for phrase in _phrases(part)]
    frequency: dict[str, int] = defaultdict(int)
    degree: dict[str, int] = defaultdict(int)
    for phrase in phrases:
        for word in phrase:
            frequency[word] += 1
            degree[word] += len(phrase)
    weights = {" ".join(phrase): sum(degree[word] / frequency[word] for word in phrase) for phrase in phrases}
    ranked = sorted(weights, key=lambda phrase: (-weights[phrase], phrases.index(tuple(phrase.split()))))
    if not ranked:
        words = sorted(re.findall(r"\w+", text), key=len, reverse=True)
        ranked = [words[0].lower()[:60]] if words else ["abstract"]
    return tuple(ranked[:count])


def _phrases(text: str) -> list[tuple[str, ...]]:
    stop = _stop_words()
    found: list[tuple[str, ...]] = []
    run: list[str] = []
    for word in [*re.findall(r"[\w'\u2019-]+", text), ""]:
        bare = re.sub(r"['\u2019]s$", "", word).strip("'\u2019-")
        if 2 < len(bare) <= 40 and bare not in stop and not bare.isdigit():
            run.append(bare)
            continue
        found += [tuple(run[at : at + LONGEST]) for at in range(0, len(run), LONGEST)]
        run = []
    return found


@functools.cache
def _stop_words() -> frozenset[str]:
    from sumy.utils import get_stop_words

    # The list is for texts, not for speech: what a speaker says to an audience shows nothing either.
    return frozenset(get_stop_words("english")) | {"today", "video", "week", "year", "thing", "things", "way", "lot"}
