"""What a stock site is asked for a scene, step by step from what was wanted to what is near it."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from cm_assets.models.clips import FootageQuery, Step

LONGEST = 100
"""Characters: more are refused by Pixabay (https://pixabay.com/api/docs/#api_search_videos, `q`)."""

MOST_SEARCHES = 8
"""For one shot at one site: whoever finds nothing by then finds nothing worth the calls."""

FROM_NARRATION = 2

_AFTER = re.compile(r"\s(?:of|from|in|on|at|with|for|by|under|over|near|during|without|and|or)\s", re.IGNORECASE)


def searches(query: FootageQuery) -> Iterator[tuple[Step, str]]:
    """Searches in the order in which they are to be made; none twice, and at most `MOST_SEARCHES`.

    The shots of a scene begin with different terms, so that it does not show the same thing again and again.
    """
    seen: set[str] = set()
    for step, term in _all(query):
        if len(seen) < MOST_SEARCHES and term and term.casefold() not in seen:
            seen.add(term.casefold())
            yield step, term


def _all(query: FootageQuery) -> Iterator[tuple[Step, str]]:
    terms = [clean(term) for term in query.terms]
    turn = query.shot % max(1, len(terms))
    terms = terms[turn:] + terms[:turn]
    # Room is left for what is broader, should nothing be found for long lists of terms.
    for term in terms[: MOST_SEARCHES // 2]:
        yield "terms", term
    for term in terms:
        for wider in broader(term):
            yield "broader", wider
    for term in terms:
        yield "terms", term
    yield from (("narration", clean(term)) for term in _of_narration(query))


def broader(term: str) -> Sequence[str]:
    """What a term is about, with less said about it: "red vintage car in the rain" is a "vintage car", and a "car"."""
    words = _without_place(term).split()
    wider = dict.fromkeys(clean(" ".join(some)) for some in (words, words[-2:], words[-1:]))
    return [one for one in wider if one and one != term]


def thing(term: str) -> str:
    """The word of a term that names the thing: in English and its relatives the last one before any preposition."""
    return (_without_place(term).split() or [""])[-1]


def _without_place(term: str) -> str:
    return _AFTER.split(term, maxsplit=1)[0]


def clean(term: str) -> str:
    """A term without control characters and in one line, cut between words; empty if it has no letter or digit."""
    shown = "".join(c if unicodedata.category(c)[0] not in "CZ" else " " for c in term)
    words = " ".join(shown.split())
    if len(words) > LONGEST:
        words = words[: LONGEST + 1].rsplit(" ", 1)[0][:LONGEST]
    return words if any(c.isalnum() for c in words) else ""


def _of_narration(query: FootageQuery) -> Sequence[str]:
    from cm_assets.engines.writing.keywords import keywords

    return [word for word in keywords(query.text, FROM_NARRATION, query.language) if word != "abstract"]
