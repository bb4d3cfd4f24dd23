"""From sentences to scenes: long ones end at their own clauses, very short ones share a scene. No word changes."""

import re
from collections.abc import Iterable, Sequence

SHORTEST, LONGEST = 6, 22
"""Words of a scene: fewer flash by, more cannot be shown under one picture."""

_CONJUNCTIONS = frozenset(
    "and but because which while who where when whose so or although though if since that until".split()  # noqa: SIM905
)
_TIGHT = frozenset(
    "a an the of in on at to for with by from as into over under about between than very more most less no not is are "  # noqa: SIM905
    "was were be been has have had will would can could may might must should do does did its their his her my your "
    "our this these those per".split()
)
"""Words that belong to the next one: a scene must not end with them."""


def scenes(sentences: Iterable[str]) -> list[str]:
    """The texts of scenes: each of 6 to 22 words as far as the sentences allow, their words unchanged and in order."""
    made: list[str] = []
    for part in (part for sentence in sentences for part in split(sentence)):
        # A short one opens the next scene rather than trailing after the last.
        if made and _length(made[-1]) < SHORTEST and _go_together(made[-1], part):
            made[-1] += f" {part}"
        else:
            made.append(part)
    if len(made) > 1 and _length(made[-1]) < SHORTEST and _go_together(*made[-2:]):
        made[-2:] = [" ".join(made[-2:])]
    return made


def _go_together(one: str, other: str) -> bool:
    # Without a mark between them, two items of a list would run into one sentence.
    return _length(one) + _length(other) <= LONGEST and not one[-1].isalnum()


def split(sentence: str) -> list[str]:
    """A sentence of at most 22 words as it is; a longer one in the parts that break it least."""
    words = sentence.split()
    if len(words) <= LONGEST:
        return [sentence]
    depth = _depths(words)
    places = range(SHORTEST, len(words) - SHORTEST + 1)
    at = min(places, key=lambda place: (_cost(words, place, depth[place - 1]), place))
    return [*split(" ".join(words[:at])), *split(" ".join(words[at:]))]


def _cost(words: Sequence[str], place: int, depth: int) -> float:
    """How much a break before `words[place]` hurts; a lopsided one hurts as well."""
    before, after = words[place - 1], words[place].lower().strip("\"'(\u201c\u2018")
    if re.search(r"[;:\u2014][\"'\u201d\u2019)]*$", before) or after in {"\u2014", "\u2013", "-"}:
        cost = 0.0
    elif re.search(r",[\"'\u201d\u2019)]*$", before):
        cost = 0.05 if after in _CONJUNCTIONS else 0.25
    elif after in _CONJUNCTIONS and before.lower() not in _CONJUNCTIONS | _TIGHT:
        cost = 0.45
    elif before.lower() in _TIGHT | _CONJUNCTIONS:
        cost = 2.0
    else:
        cost = 1.0
    # A break within brackets or quotes tears what was said in one breath.
    return cost + 0.8 * depth + abs(2 * place - len(words)) / len(words)


def _depths(words: Sequence[str]) -> list[int]:
    """After each word: 1 while a bracket or a quotation is open, else 0."""
    brackets, quoted = 0, False
    found = []
    for word in words:
        brackets += sum(word.count(one) for one in "([\u201c") - sum(word.count(one) for one in ")]\u201d")
        quoted ^= word.count('"') % 2 == 1
        found.append(int(brackets > 0 or quoted))
    return found


def _length(text: str) -> int:
    return len(text.split())
