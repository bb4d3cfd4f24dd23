"""The writer for source texts: their best sentences, in their order, cut into scenes. No language model.

LexRank (Erkan and Radev, 2004, by sumy) ranks the sentences: one is central that many others resemble.
"""

import functools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from cm_assets.engines.writing import clauses, source
from cm_assets.engines.writing.given import TERMS, finished
from cm_assets.engines.writing.keywords import keywords
from cm_assets.engines.writing.languages import primary, stop_words
from cm_assets.engines.writing.source import Sentence
from cm_assets.models.base import PermanentFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import WORDS_PER_SECOND, Scene, Script

MOST_TOGETHER = 150
"""Sentences that are ranked against each other: the time grows with the square."""

ALIKE = 0.55
"""Share of their subject words from which on two sentences say the same."""

# A sentence that begins so leans on one that may not be there.
_LEANING = re.compile(
    r"^[\"'\u201c\u2018(]*(however|but|and|or|so|yet|nor|then|therefore|thus|hence|moreover|furthermore|also|still|"
    r"besides|this|that|these|those|it|its|it's|he|she|they|they're|he's|she's|his|her|their|them|him|such|both|neither|"
    r"another|others?|as a result|as such|in addition|for example|for instance|instead|otherwise|meanwhile|similarly|"
    r"likewise|consequently|accordingly|nevertheless|nonetheless|in contrast|in other words|in fact|in turn|indeed|"
    r"on the other hand|by contrast|after that|second|secondly|third|thirdly|finally|here|there(?! (is|are|was|were))|"
    r"the (former|latter|same|other|second|third))\b",
    re.IGNORECASE,
)
# Words that point back, near the beginning of a sentence, and speakers whose names were said before.
_POINTING = frozenset({"these", "those", "them", "they", "he", "she", "this", "him", "theirs", "both", "such"})
_OWNING = frozenset({"its", "their", "his", "her"})
_SAID = re.compile(
    r"\b(he|she|they) (said|says|added|adds|explained|explains|told|wrote|writes|noted)\b", re.IGNORECASE
)
_HOOK = re.compile(
    r"\d|\?|!|\b(first|never|most|largest|fastest|only|half|twice|million|billion|secret|why|how)\b", re.IGNORECASE
)


class Extractive:
    """Chooses sentences; never changes what one says."""

    name = "extractive"

    def write(self, request: VideoRequest) -> Script:
        """A script of about the length that was asked for; the whole text, where that is shorter.

        Raises:
            PermanentFailure: the text has no sentence that could be spoken, or is in another language.
        """
        text = source.read(request.source_text or "", request.language)
        if not text.sentences and source.has_no_blanks(request.source_text or ""):
            raise PermanentFailure(
                "source_text: its words are not set apart by blanks, so that their number is unknown; give scenes"
            )
        if not text.sentences:
            raise PermanentFailure(
                f"source_text: has no sentence of {source.SHORTEST} to {source.LONGEST} words; "
                "give whole sentences with their full stops, or give scenes"
            )
        if not source.reads_as(text.sentences, request.language):
            raise PermanentFailure(
                f"source_text: does not read as prose in the language {request.language!r}; "
                "set `language`, or give scenes"
            )
        words = round(request.target_seconds * request.speed * WORDS_PER_SECOND)
        chosen = choose(text.sentences, words, request.language)
        scenes = tuple(
            Scene(text=text, search_terms=keywords(text, TERMS, request.language))
            for text in clauses.scenes(one.text for one in chosen)
        )
        return finished(request, scenes, self.name, text.heading)

    def revise(self, request: VideoRequest, script: Script, feedback: str) -> Script:
        """Not done here: an extract has no words of its own to change.

        Raises:
            PermanentFailure: always.
        """
        raise PermanentFailure("an extract of a source text cannot answer feedback: change the text and ask again")


def choose(sentences: Sequence[Sentence], words: int, language: str) -> list[Sentence]:
    """The sentences to speak, in the order of the source: the best of about `words` words, the first a hook."""
    whole = [one for one in sentences if one.whole]
    # Items of lists are fragments: taken only where the prose does not suffice.
    pool = whole if sum(one.words for one in whole) >= 0.6 * words else list(sentences)
    pool = _supported(pool) or pool
    if sum(one.words for one in pool) <= 1.15 * words:
        return pool
    rank = _ranks(pool, language)
    opening = _opening(pool, rank, words)
    kept = {opening}
    subjects = _subjects(language)
    length = pool[opening].words
    for index in sorted(range(opening + 1, len(pool)), key=lambda at: (-rank[at], at)):
        group = _with_support(pool, index, kept)
        added = sum(pool[at].words for at in group)
        if not group or length + added > 1.08 * words or _said(pool, group, kept, subjects):
            continue
        kept |= group
        length += added
    return [pool[index] for index in sorted(kept)]


def _supported(pool: Sequence[Sentence]) -> list[Sentence]:
    """The sentences that stand by themselves or follow right after one that was kept."""
    kept: list[Sentence] = []
    for one in pool:
        if not _leans(one) or (kept and kept[-1].place == one.place - 1):
            kept.append(one)
    return kept


def _leans(sentence: Sentence) -> bool:
    """Whether a sentence means nothing, or something else, without the one before it."""
    if _LEANING.match(sentence.text) or _SAID.search(sentence.text):
        return True
    first = re.findall(r"\w+", sentence.text.lower())[:5]
    return not _POINTING.isdisjoint(first) or not _OWNING.isdisjoint(first[:3])


def _opening(pool: Sequence[Sentence], rank: Sequence[float], words: int) -> int:
    """The first sentence: early, standing by itself, and with something that catches."""

    def worth(index: int) -> float:
        one = pool[index]
        catches = 0.35 * bool(_HOOK.search(one.text)) + 0.25 * (one.words <= 16) - 0.5 * (one.words > clauses.LONGEST)
        return rank[index] + catches - 1.2 * index / len(pool)

    # Enough must be left after it to fill the time.
    total = sum(one.words for one in pool)
    before, early = 0, []
    for index, one in enumerate(pool):
        if before > 0.25 * total or total - before < words:
            break
        if not _leans(one) and one.words <= words:
            early.append(index)
        before += one.words
    return max(early, key=worth) if early else next((at for at, one in enumerate(pool) if not _leans(one)), 0)


def _with_support(pool: Sequence[Sentence], index: int, kept: set[int]) -> set[int]:
    """A sentence with those before it that it leans on; nothing if they are not to be had."""
    group: set[int] = set()
    while index not in kept:
        group.add(index)
        if not _leans(pool[index]):
            return group
        if index == 0 or pool[index - 1].place != pool[index].place - 1 or len(group) == 3:
            return set()
        index -= 1
    return group if index in kept else set()


def _said(pool: Sequence[Sentence], group: set[int], kept: set[int], subjects: Callable[[str], frozenset[str]]) -> bool:
    """Whether a sentence of the group says what one that was kept says already."""
    for index in group:
        mine = subjects(pool[index].text)
        for other in kept:
            theirs = subjects(pool[other].text)
            if mine and len(mine & theirs) > ALIKE * min(len(mine), len(theirs)):
                return True
    return False


def _ranks(sentences: Sequence[Sentence], language: str) -> list[float]:
    """The worth of each sentence, 0 to 1, plus what its place adds.

    A long text is ranked by stretches of equal length, so that its end counts like its beginning.
    """
    count = math.ceil(len(sentences) / MOST_TOGETHER)
    size = math.ceil(len(sentences) / count)
    central: list[float] = []
    for start in range(0, len(sentences), size):
        central += _lex_rank([one.text for one in sentences[start : start + size]], language)
    # The opening of a text says what it is about; the weight fades over its first tenth.
    fade = max(1.0, len(sentences) / 10)
    return [score + 0.5 * math.exp(-at / fade) for at, score in enumerate(central)]


def _lex_rank(texts: Sequence[str], language: str) -> list[float]:
    from sumy.models.dom import ObjectDocumentModel, Paragraph
    from sumy.models.dom import Sentence as Ranked
    from sumy.summarizers.lex_rank import LexRankSummarizer

    summarizer = LexRankSummarizer(_stemmer(language))
    summarizer.stop_words = stop_words(language)
    scores: dict[str, float] = {}

    def note(ranked: Sequence[Any]) -> Sequence[Any]:
        scores.update((str(one.sentence), float(one.rating)) for one in ranked)
        return ranked

    summarizer(ObjectDocumentModel([Paragraph(Ranked(text, _Words()) for text in texts)]), note)
    best = max(scores.values())
    return [scores[text] / best if best > 0 else 0.0 for text in texts]


class _Words:
    """The tokenizer that sumy asks for, without the data that its own one downloads."""

    def to_words(self, text: str) -> tuple[str, ...]:
        return tuple(re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?", text))


def _subjects(language: str) -> Callable[[str], frozenset[str]]:
    """A function that gives the stems of a sentence's words, stop words aside."""
    stem, stop = _stemmer(language), stop_words(language)

    @functools.cache
    def of(text: str) -> frozenset[str]:
        words = (word.lower() for word in _Words().to_words(text))
        return frozenset(stem(word) for word in words if word not in stop)

    return of


def _stemmer(language: str) -> Callable[[str], str]:
    from sumy.nlp.stemmers import Stemmer, null_stemmer

    try:
        stemmer: Callable[[str], str] = Stemmer(primary(language))
    except LookupError:
        stemmer = null_stemmer
    return stemmer
