"""Which illustrations a scene's words stand for. Precision before coverage: no match is better than a wrong picture.

The knowledge lies in `data/`: `words.txt` and `themes.txt` by hand, `cldr.json` made from Unicode's own names.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

LONGEST_PHRASE = 5
MOST_WORDS = 1_500
"""Words of a scene that are looked at; a 10,000 character scene has about as many."""

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*(?:\+\+)?")
_WORD = re.compile(r"(?P<terms_only>\?)?(?P<phrase>[^(]+?)\s*(?:\((?P<conditions>[^)]*)\))?$")
_SHORTEST_STEM = 5
_BESIDE = frozenset("night morning evening summer winter world time window people person team man woman".split())  # noqa: SIM905
"""Last words of search terms that say where or when more than what: "airplane window" is about the airplane."""

_AFTER = frozenset("of from in on at with for by under over near during without".split())  # noqa: SIM905
_ENDINGS = frozenset({"", "s", "es", "ing", "er", "ers", "ies"})
"""What a word may end in beyond the stem that it shares with a known one. No `-ed`, `-ion` or `-ive`: "production" is
no "product", and "directed" no "direction"."""


_ENDINGS_OF_KNOWN = frozenset({"", "s", "e", "y", "ing", "er", "ers"})
"""The same for the known word: "still" is no "stillness"."""


@dataclass(frozen=True, slots=True)
class Match:
    """Words that something can be drawn for.

    Attributes:
        words: as the vocabulary has them.
        pictures: illustration codes, best first; never empty.
        term: the search term that they come from; None for the narration.
    """

    words: str
    pictures: tuple[str, ...]
    term: str | None


@dataclass(frozen=True, slots=True)
class _Sense:
    pictures: tuple[str, ...]
    near: frozenset[str]
    not_near: frozenset[str]
    terms_only: bool

    def fits(self, context: frozenset[str], *, in_term: bool) -> bool:
        if self.terms_only and not in_term:
            return False
        return (not self.near or bool(self.near & context)) and not self.not_near & context


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All words that mean an illustration.

    Attributes:
        names: what each illustration shows, by code.
        themes: codes of illustrations that go together, by the code of the first.
    """

    names: dict[str, str]
    themes: tuple[tuple[str, ...], ...]
    senses: dict[str, tuple[_Sense, ...]]
    stems: dict[str, str]

    def companions(self, code: str) -> tuple[str, ...]:
        """Illustrations that go well beside this one: those of the theme that it leads, else of the first it is in."""
        for theme in self.themes:
            if theme[0] == code:
                return theme[1:]
        return next((tuple(other for other in theme if other != code) for theme in self.themes if code in theme), ())


def matches(terms: Sequence[str], text: str, vocabulary: Vocabulary | None = None) -> list[Match]:
    """What can be drawn for a scene, best first: search terms in their order, then the narration's words in theirs.

    Within a term the last words come first: in English they name the thing, those before it say which one. Not so after
    a preposition ("earth from space"), and a participle says what the thing does ("horse running").
    """
    known = vocabulary or load()
    tokens = [_tokens(term) for term in terms]
    narration = _tokens(text)
    context = frozenset(form for words in (*tokens, narration) for word in words for form in (word, stem(word)))
    found = [
        Match(words, pictures, term)
        for term, words_of_term in zip(terms, tokens, strict=True)
        for words, pictures in _best_first(words_of_term, context, known)
    ]
    found += [Match(words, pictures, None) for words, pictures in _scan(narration, context, known, in_term=False)]
    first: dict[tuple[str, ...], Match] = {}
    for match in found:
        first.setdefault(match.pictures, match)
    return list(first.values())


@cache
def load() -> Vocabulary:
    """The vocabulary that is shipped."""
    data = resources.files("cm_assets.engines.footage") / "data"
    cldr: dict[str, list[str]] = json.loads((data / "cldr.json").read_text("utf-8"))
    senses: dict[str, list[_Sense]] = {}
    for pictures, word in _lines((data / "words.txt").read_text("utf-8")):
        parsed = _WORD.match(word)
        if parsed is None:
            raise ValueError(f"words.txt: {word!r} is no word")
        conditions = (parsed["conditions"] or "").split()
        sense = _Sense(
            pictures,
            frozenset(stem(item[1:]) for item in conditions if item.startswith("+")),
            frozenset(stem(item[1:]) for item in conditions if item.startswith("-")),
            terms_only=parsed["terms_only"] is not None,
        )
        senses.setdefault(" ".join(_tokens(parsed["phrase"])), []).append(sense)
    by_hand = set(senses)
    for code, (_, *words) in cldr.items():
        for word in words:
            phrase = " ".join(_tokens(word))
            if phrase not in by_hand:
                senses.setdefault(phrase, []).append(
                    _Sense((code,), frozenset(), frozenset(), terms_only=word.startswith("?"))
                )
    stems: dict[str, str] = {}
    for phrase, meanings in senses.items():
        plain = all(meaning.pictures and not meaning.near and not meaning.not_near for meaning in meanings)
        if plain and " " not in phrase and len(stem(phrase)) >= _SHORTEST_STEM:
            stems.setdefault(stem(phrase), phrase)
    themes = tuple(
        tuple(dict.fromkeys(code_of(emoji) for emoji in line.split()))
        for line in (data / "themes.txt").read_text("utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    )
    return Vocabulary(
        {code: entry[0] for code, entry in cldr.items()},
        themes,
        {phrase: tuple(meanings) for phrase, meanings in senses.items()},
        stems,
    )


def code_of(emoji: str) -> str:
    """An illustration's code: the character's code points in lower-case hexadecimal, without the variation selector."""
    return "-".join(f"{ord(character):x}" for character in emoji if character != "\ufe0f")


def _lines(table: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for line in table.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pictures, _, words = line.partition(":")
        codes = tuple(code_of(emoji) for emoji in pictures.split())
        for word in words.split(","):
            if word.strip():
                yield codes, word.strip()


def _best_first(tokens: Sequence[str], context: frozenset[str], known: Vocabulary) -> list[tuple[str, tuple[str, ...]]]:
    found = list(reversed(list(_scan(tokens, context, known, in_term=True))))
    if len(found) > 1:
        cut = next((place for place, token in enumerate(tokens) if token in _AFTER), len(tokens))
        before = {words for words, _ in _scan(tokens[:cut], context, known, in_term=True)}
        found.sort(key=lambda item: (item[0] not in before, _is_beside(item[0])))
    return found


def _is_beside(words: str) -> bool:
    return words in _BESIDE or (" " not in words and words.endswith("ing"))


def _scan(
    tokens: Sequence[str], context: frozenset[str], known: Vocabulary, *, in_term: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The longest known phrases from left to right; a known phrase that means no picture is passed over as a whole."""
    position = 0
    while position < len(tokens):
        for length in range(min(LONGEST_PHRASE, len(tokens) - position), 0, -1):
            phrase = _known(tokens[position : position + length], known)
            if phrase is None:
                continue
            fitting = [sense for sense in known.senses[phrase] if sense.fits(context, in_term=in_term)]
            if fitting and fitting[0].pictures:
                yield phrase, fitting[0].pictures
            if fitting or length == 1:
                position += length - 1
                break
        position += 1


def _known(tokens: Sequence[str], known: Vocabulary) -> str | None:
    phrase = " ".join(tokens)
    if phrase in known.senses:
        return phrase
    for last in _singulars(tokens[-1]):
        singular = " ".join((*tokens[:-1], last))
        if singular in known.senses:
            return singular
    if len(tokens) > 1:
        return None
    lemma = known.stems.get(stem(phrase))
    if lemma is None:
        return None
    shared = next(
        (i for i, (a, b) in enumerate(zip(phrase, lemma, strict=False)) if a != b), min(len(phrase), len(lemma))
    )
    both = phrase[shared:] in _ENDINGS and lemma[shared:] in _ENDINGS_OF_KNOWN
    return lemma if both else None


def _singulars(word: str) -> Iterator[str]:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is", "news")):
        return
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        yield word[:-2]
    yield word[:-1]


def _tokens(text: str) -> list[str]:
    words = []
    for found in _TOKEN.finditer(text.lower()):
        word = found.group().replace("\u2019", "'")
        words.append(word.removesuffix("'s"))
        if len(words) >= MOST_WORDS:
            break
    return words


@cache
def _stemmer() -> Any:
    import snowballstemmer  # type: ignore[import-untyped,unused-ignore]

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The stem of an English word by Snowball's rules."""
    return str(_stemmer().stemWord(word))
