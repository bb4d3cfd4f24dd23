"""Phrasing: which words are shown together, so that each caption is a unit of sense that is read at a glance."""

import re
from collections.abc import Callable, Sequence

from cm_assets.models.audio import Word
from cm_assets.models.base import Seconds

PAUSE: Seconds = 0.4
"""A silence that ends a caption."""

_END = re.compile(r"[.!?…:;。]+[\"')\]»”\u2019]*$")
_COMMA = re.compile(r"[,—、\u2013][\"')\]»”\u2019]*$|^[-—\u2013]$")
_ABBREVIATION = re.compile(r"(?:[a-z]\.)+|(?:mr|mrs|ms|dr|prof|st|vs|approx)\.", re.IGNORECASE)

_LEADS_ON = frozenset(
    """
    a an the of to in on at by for from with into as and or but so if than that which who when where why how what
    because while is are was were be not no my your our their its this these those i he she we they can will
    would could should very more most
    """.split()  # noqa: SIM905 - as a list it would fill a screen
)
"""Words that belong to what follows them: a caption that ends with one reads badly."""

# Costs of the ways to part a sentence, against the cost of one more caption.
_CAPTION = 1.0
_LONE_WORD = 0.9
_LEADING_ON = 0.55
_STARTING_SO = -0.15
_COMMA_INSIDE = 0.6
_AT_COMMA = -0.35
_UNEVEN = 1.4


def phrases(words: Sequence[Word], most: int, fits: Callable[[Sequence[Word]], bool]) -> list[list[Word]]:
    """Part a scene's words into captions.

    A sentence's end or a pause always ends one. Within a sentence, that parting is taken which costs least: few and
    even captions, at commas rather than inside, none that is a single word or ends with one that leads on.

    Args:
        words: of one scene, in order.
        most: words in one caption.
        fits: whether words can be shown together at full size; a single word is always taken.

    Returns:
        All words in their order, in groups of at least one.
    """
    groups: list[list[Word]] = []
    sentence: list[Word] = []
    for word in words:
        if sentence and _parts(sentence[-1], word):
            groups += _parted(sentence, most, fits)
            sentence = []
        sentence.append(word)
    return groups + _parted(sentence, most, fits)


def _parts(last: Word, word: Word) -> bool:
    if word.start - last.end > PAUSE:
        return True
    return bool(_END.search(last.text)) and not _ABBREVIATION.fullmatch(last.text)


def _parted(sentence: Sequence[Word], most: int, fits: Callable[[Sequence[Word]], bool]) -> list[list[Word]]:
    """The cheapest parting: `best[n]` is that of the first n words, as its cost and where its last caption starts."""
    best = [(0.0, 0)]
    for end in range(1, len(sentence) + 1):
        ways = []
        for start in range(end - 1, max(end - most, 0) - 1, -1):
            group = sentence[start:end]
            if len(group) > 1 and not fits(group):
                break
            ways.append((best[start][0] + _cost(group, most, first=not start, last=end == len(sentence)), start))
        best.append(min(ways))
    groups: list[list[Word]] = []
    end = len(sentence)
    while end:
        start = best[end][1]
        groups.insert(0, list(sentence[start:end]))
        end = start
    return groups


def _cost(group: Sequence[Word], most: int, *, first: bool, last: bool) -> float:
    cost = _CAPTION + _UNEVEN * (1 - len(group) / most) ** 2
    if len(group) == 1:
        cost += _LONE_WORD
    cost += _COMMA_INSIDE * sum(1 for word in group[:-1] if _COMMA.search(word.text))
    if not first and group[0].text.lower() in _LEADS_ON:
        cost += _STARTING_SO
    if not last:
        ending = group[-1].text
        if _COMMA.search(ending):
            cost += _AT_COMMA
        elif ending.lower() in _LEADS_ON:
            cost += _LEADING_ON
    return cost
